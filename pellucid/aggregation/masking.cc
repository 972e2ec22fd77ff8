#include "pellucid/aggregation/masking.h"

#include "pellucid/aggregation/wire.h"
#include "pellucid/core/error.h"

#include <sodium.h>

#include <algorithm>

namespace pellucid::aggregation {
namespace {

std::vector<std::uint32_t> mask(const Digest& key, std::size_t n) {
  std::vector<std::uint32_t> words(n);
  expand(key, std::span(reinterpret_cast<std::uint8_t*>(words.data()), 4 * n));
  return words;
}

Digest direction(const Digest& key, std::uint32_t sender) {
  return hash("pellucid: shares of one sender", {key, Writer().number(sender, 4).take()});
}

constexpr std::array<std::uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES> kNonce{};  // a key is for one text

}  // namespace

Digest exchange_key(const Scalar& seed) {
  Digest secret = hash("pellucid: X25519 secret", {seed}), key;
  crypto_scalarmult_base(key.data(), secret.data());
  forget(secret);
  return key;
}

Digest pair_key(const Scalar& seed, const Digest& other, const Digest& round) {
  Digest secret = hash("pellucid: X25519 secret", {seed}), common;
  if (crypto_scalarmult(common.data(), secret.data(), other.data()) != 0) {
    throw core::Error(core::ErrorKind::kIo, "a client's X25519 key: got {}, expected none of small order", hex(other));
  }
  const Digest own = exchange_key(seed);
  const Digest key = hash("pellucid: key of a pair", {common, std::min(own, other), std::max(own, other), round});
  forget(secret);
  forget(common);
  return key;
}

void add_mask(std::span<std::uint32_t> values, const Digest& key) {
  const auto words = mask(key, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += words[i];
}

void subtract_mask(std::span<std::uint32_t> values, const Digest& key) {
  const auto words = mask(key, values.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] -= words[i];
}

Digest self_mask(const Scalar& seed) { return hash("pellucid: self mask", {seed}); }

core::Bytes sealed(View text, const Digest& key, std::uint32_t sender) {
  core::Bytes out(text.size() + crypto_aead_chacha20poly1305_ietf_ABYTES);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, text.data(), text.size(), nullptr, 0, nullptr,
                                            kNonce.data(), direction(key, sender).data());
  return out;
}

core::Bytes opened(View text, const Digest& key, std::uint32_t sender) {
  core::Bytes out(std::max<std::size_t>(text.size(), crypto_aead_chacha20poly1305_ietf_ABYTES) -
                  crypto_aead_chacha20poly1305_ietf_ABYTES);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, text.data(), text.size(), nullptr, 0,
                                                kNonce.data(), direction(key, sender).data()) != 0)
    throw core::Error(core::ErrorKind::kIo, "shares from another client: they were changed on the way");
  return out;
}

}  // namespace pellucid::aggregation
