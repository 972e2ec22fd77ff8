// Masked sums: each client's vector is hidden by masks that cancel in the sum. Unaudited: for measurement.
#pragma once

#include "pellucid/aggregation/round.h"

namespace pellucid::aggregation {

/// Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning" (ePrint 2017/281),
/// figure 4, with the signatures against a server that does not follow it.
///
/// 1. joining: each client tells two X25519 keys, one for encryption and one for masks.
/// 2. shares: it draws a seed for its self mask, and shares this and the seed of its mask key (`split`), each share
///    encrypted for one client. It also tells the hash of the self seed.
/// 3. masked updates: y = x + self mask + the masks that it has with each client in order behind it - those with each
///    before it, modulo 2^32. Who sent one is in the sum.
/// 4. agreement: an empty message, signed as all are with what was passed on: here who is in the sum.
/// 5. unmasking: for each client in the sum its share of the self seed, for each other that had sent shares that of its
///    mask seed. Never both, and only where at least `threshold` clients signed the same list (as `Client`
///    checks).
///
/// What the server learns, together with any clients that are fewer than the threshold, is the sum over the others in
/// the list; with a server that does not follow the protocol, if 2 threshold > clients + those that help it.
///
/// Deviations: shares lie in the field of Ed25519's order, and are of seeds from which the keys follow; messages are
/// passed on whole, so that shares take clients^2 bytes times 80; a share that was garbled is seen by the hash, or the
/// key that follows.
///
/// @param me this client's place. @param codes its vector.
/// @throws Error(kIo) when called, if another client's message is not of the protocol.
[[nodiscard]] Answers masked_client(const Round& round, std::uint32_t clients, std::uint32_t me,
                                    std::vector<std::uint32_t> codes);

/// Checks the size of a message's parts, for the server.
/// @throws Error(kIo) if it is none that the protocol has at this step.
void check_masked(const History& history, const Message& message, std::uint64_t values);

/// The sum of the vectors of those that sent a masked one, from all messages.
/// @throws Error(kIo) if the shares do not give a seed whose hash or key somebody sent.
[[nodiscard]] std::vector<std::uint32_t> masked_sum(const Round& round, const History& history, std::uint64_t values);

}  // namespace pellucid::aggregation
