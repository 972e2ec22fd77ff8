// Masks that cancel in a sum. Unaudited: for measurement.
#pragma once

#include "pellucid/aggregation/crypto.h"
#include "pellucid/aggregation/shamir.h"

#include <cstdint>
#include <span>

namespace pellucid::aggregation {

/// The X25519 public key of the secret that a seed determines.
[[nodiscard]] Digest exchange_key(const Scalar& seed);

/// What two hold in common: a key of X25519's result, both public keys and the round, the same from either side.
/// @throws Error(kIo) if the other's public key is one of the few that give everybody the same result.
[[nodiscard]] Digest pair_key(const Scalar& seed, const Digest& other, const Digest& round);

/// Adds the mask of a key to the values, or takes it off, modulo 2^32: its ChaCha20 stream.
void add_mask(std::span<std::uint32_t> values, const Digest& key);
void subtract_mask(std::span<std::uint32_t> values, const Digest& key);

/// The mask that hides one client's values until it is known who is in the sum.
[[nodiscard]] Digest self_mask(const Scalar& seed);

/// Encrypts a text for the other of a pair, and checks and decrypts it (ChaCha20-Poly1305).
/// @param key a `pair_key`. @param sender is bound to it: a key is for one text in each direction.
/// @throws Error(kIo) if it was changed or is of somebody else.
[[nodiscard]] core::Bytes sealed(View text, const Digest& key, std::uint32_t sender);
[[nodiscard]] core::Bytes opened(View text, const Digest& key, std::uint32_t sender);

}  // namespace pellucid::aggregation
