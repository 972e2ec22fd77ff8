// Encrypted sums: each client's vector under a key of which each has a part (`rlwe.h`). Unaudited: for measurement.
#pragma once

#include "pellucid/aggregation/round.h"

namespace pellucid::aggregation {

/// 1. joining: each client tells the hash of its part of the public key.
/// 2. keys: the part itself. All add up the same parts.
/// 3. promises: it encrypts its vector and tells the hash of c_1.
/// 4. encrypted updates: c_1; c_0 goes to the server only.
/// 5. decryption: each adds up all c_1 itself and tells its partial decryption of the sum, once.
///
/// A server that does not follow the protocol cannot have anything decrypted but the sum over all: keys and c_1 come
/// signed by the clients and are added up by each of them. Clients that help it cannot choose their keys or ciphertexts
/// by the others', because hashes are sent first. It costs a client the download of everybody's c_1.
///
/// @throws Error(kIo) when called, if a key or c_1 is not what its hash promised, or no polynomials.
[[nodiscard]] Answers encrypted_client(std::vector<std::uint32_t> codes);

/// Checks the parts of a message, for the server. @throws Error(kIo) as `encrypted_client`.
void check_encrypted(const History& history, const Message& message, std::uint64_t values);

/// The sum of all vectors, from all messages.
/// @throws Error(kIo) as `decode`.
[[nodiscard]] std::vector<std::uint32_t> encrypted_sum(const History& history, std::uint64_t values);

}  // namespace pellucid::aggregation
