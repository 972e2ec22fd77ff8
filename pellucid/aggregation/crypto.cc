#include "pellucid/aggregation/crypto.h"

#include "pellucid/core/error.h"

#include <sodium.h>

namespace pellucid::aggregation {
namespace {

// Picks the fastest code for this processor and opens the system's source; again is free.
void require_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) throw core::Error(core::ErrorKind::kIo, "libsodium: got no random bytes of the system");
}

template <typename T>
std::span<std::uint8_t> bytes_of(std::span<T> words) {
  return {reinterpret_cast<std::uint8_t*>(words.data()), words.size_bytes()};
}

}  // namespace

View view(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

Digest hash(std::string_view purpose, std::initializer_list<View> parts) {
  require_sodium();
  crypto_generichash_state state;
  Digest digest;
  crypto_generichash_init(&state, nullptr, 0, digest.size());
  const auto add = [&state](View part) {
    std::array<std::uint8_t, 8> size{};
    for (std::size_t i = 0; i < size.size(); ++i) size[i] = static_cast<std::uint8_t>(part.size() >> (8 * i));
    crypto_generichash_update(&state, size.data(), size.size());
    crypto_generichash_update(&state, part.data(), part.size());
  };
  add(view(purpose));
  for (const auto part : parts) add(part);
  crypto_generichash_final(&state, digest.data(), digest.size());
  return digest;
}

Digest random_key() {
  require_sodium();
  Digest key;
  randombytes_buf(key.data(), key.size());
  return key;
}

void expand(const Digest& key, std::span<std::uint8_t> out) {
  require_sodium();
  static_assert(randombytes_SEEDBYTES == sizeof(Digest));
  randombytes_buf_deterministic(out.data(), out.size(), key.data());
}

void expand(const Digest& key, std::span<std::uint64_t> out) { expand(key, bytes_of(out)); }

void fill_random(std::span<std::uint8_t> out) {
  Digest key = random_key();
  expand(key, out);
  forget(key);
}

void fill_random(std::span<std::uint64_t> out) { fill_random(bytes_of(out)); }

void forget(std::span<std::uint8_t> secret) { sodium_memzero(secret.data(), secret.size()); }

std::string hex(View bytes) {
  std::string text(2 * bytes.size() + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), bytes.data(), bytes.size());
  text.pop_back();
  return text;
}

}  // namespace pellucid::aggregation
