#include "pellucid/aggregation/identity.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/text.h"

#include <sodium.h>

#include <algorithm>
#include <sstream>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;

constexpr const char* kFirstWord = "pellucid-secret-key";

std::optional<Digest> from_hex(const std::string& text) {
  Digest bytes{};
  std::size_t size = 0;
  if (text.size() != 2 * bytes.size() ||
      sodium_hex2bin(bytes.data(), bytes.size(), text.data(), text.size(), nullptr, &size, nullptr) != 0 ||
      size != bytes.size())
    return std::nullopt;
  return bytes;
}

// libsodium's form: the seed and the public key behind one another.
using SecretForm = std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES>;

Key key_of(const Digest& seed) {
  Key key{.seed = seed};
  SecretForm secret;
  crypto_sign_seed_keypair(key.public_key.data(), secret.data(), seed.data());
  forget(secret);
  return key;
}

}  // namespace

Key make_key() { return key_of(random_key()); }

void save_key(const Key& key, const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) {
    throw Error(ErrorKind::kUsage, "{}: exists, and a key is not written over; name another file or remove it",
                core::printable(path.string(), 4096));
  }
  core::write_file(path, fmt::format("{} {}\n", kFirstWord, hex(key.seed)), 0600);
}

Key load_key(const std::filesystem::path& path) {
  std::istringstream words(core::read_text(path, 4096));
  std::string first, seed, more;
  words >> first >> seed >> more;
  const auto bytes = from_hex(seed);
  if (first != kFirstWord || !bytes || !more.empty()) {
    throw Error(ErrorKind::kData, "{}: got no key, expected what `pellucid aggregate key --out FILE` writes",
                core::printable(path.string(), 4096));
  }
  return key_of(*bytes);
}

Signature sign(const Digest& digest, const Key& key) {
  SecretForm secret;
  std::ranges::copy(key.seed, secret.begin());
  std::ranges::copy(key.public_key, secret.begin() + sizeof(Digest));
  Signature signature;
  crypto_sign_detached(signature.data(), nullptr, digest.data(), digest.size(), secret.data());
  forget(secret);
  return signature;
}

bool is_signed(const Digest& digest, const Signature& signature, const PublicKey& key) {
  return crypto_sign_verify_detached(signature.data(), digest.data(), digest.size(), key.data()) == 0;
}

std::uint32_t Roster::place(const PublicKey& key) const {
  const auto found = std::ranges::find(clients, key, &Member::key);
  if (found == clients.end()) {
    throw Error(ErrorKind::kUsage, "the key {} is not in the roster: expected a line \"NAME {}\" in everybody's",
                hex(key), hex(key));
  }
  return static_cast<std::uint32_t>(found - clients.begin());
}

Digest Roster::digest() const {
  Digest digest = hash("pellucid: roster", {server ? View(*server) : View()});
  for (const auto& client : clients) digest = hash("pellucid: roster", {digest, view(client.name), client.key});
  return digest;
}

Roster load_roster(const std::filesystem::path& path) {
  return parse_roster(core::read_text(path, 1 << 20), core::printable(path.string(), 4096));
}

Roster parse_roster(const std::string& text, const std::string& name) {
  Roster roster;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::string who, key, more;
    if (!(words >> who)) continue;
    words >> key >> more;
    const auto bytes = from_hex(key);
    const auto fail = [&](const std::string& got, const char* expected) {
      return Error(ErrorKind::kData, "{}:{}: got {}, expected {}", name, number, got, expected);
    };
    if (!bytes || !more.empty() || who.size() > 64)
      throw fail(core::quoted(line), "a line \"NAME PUBLIC-KEY\", as `pellucid aggregate key` prints it");
    const auto known = std::ranges::find(roster.clients, *bytes, &Roster::Member::key);
    if (known != roster.clients.end() || roster.server == *bytes)
      throw fail("a key that stands there already", "another one for each");
    if (std::ranges::find(roster.clients, who, &Roster::Member::name) != roster.clients.end() ||
        (who == "server" && roster.server))
      throw fail("the name " + core::quoted(who) + " again", "another one for each");
    if (who == "server")
      roster.server = *bytes;
    else
      roster.clients.push_back({who, *bytes});
  }
  return roster;
}

}  // namespace pellucid::aggregation
