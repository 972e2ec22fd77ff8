// Who takes part: keys, and the roster of those that are known.
#pragma once

#include "pellucid/aggregation/crypto.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pellucid::aggregation {

using PublicKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

/// An Ed25519 key, of a client or of the server.
struct Key {
  Digest seed{};  ///< all that is secret
  PublicKey public_key{};
};

[[nodiscard]] Key make_key();

/// Writes a key as a line of text, readable to its owner only.
/// @throws Error(kUsage) if the file exists: a key is not written over.
/// @throws Error(kIo) if it cannot be written.
void save_key(const Key& key, const std::filesystem::path& path);

/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kData) if it is no key.
[[nodiscard]] Key load_key(const std::filesystem::path& path);

/// Signs a digest, and checks the signature of one.
[[nodiscard]] Signature sign(const Digest& digest, const Key& key);
[[nodiscard]] bool is_signed(const Digest& digest, const Signature& signature, const PublicKey& key);

/// The clients of a round, in order, and the server where it has a key.
struct Roster {
  struct Member {
    std::string name;
    PublicKey key{};
  };
  std::vector<Member> clients;
  std::optional<PublicKey> server;

  /// The place of a client. @throws Error(kUsage) if its key is not in the roster.
  [[nodiscard]] std::uint32_t place(const PublicKey& key) const;
  /// The same for the same names and keys in the same order.
  [[nodiscard]] Digest digest() const;
};

/// A roster: a line "NAME PUBLIC-KEY" for each client, as `pellucid aggregate key` prints the keys; the name "server"
/// is the server's. What follows '#' is left out.
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kData) for a line that is none, or a name or key that stands there twice.
[[nodiscard]] Roster load_roster(const std::filesystem::path& path);
[[nodiscard]] Roster parse_roster(const std::string& text, const std::string& name);

}  // namespace pellucid::aggregation
