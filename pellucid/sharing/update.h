// What a client sends, and what an observer of it knows.
#pragma once

#include "pellucid/nets/network.h"
#include "pellucid/sharing/protocol.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pellucid::sharing {

/// The update of one client: what its protocol makes of its batch, with the mean cross-entropy as the loss.
struct Update {
  /// What is shared, by parameter name, in the client's arithmetic, each of its parameter's shape: the gradient, or
  /// with local training the weights before less those after.
  nets::TensorMap gradient;
  /// Where the protocol says so, the new running statistics of batch norm, under their names, averaged over the
  /// clients.
  nets::TensorMap statistics = {};
  Protocol protocol;  ///< how it came about
  std::string model;  ///< fingerprint of the network that it was computed with
};

/// Computes the update as a client's framework does, in the protocol's arithmetic: the framework's cross-entropy,
/// rounding and all, because that is what leaks. (Past a logit margin of about 16.6 = ln 2^24, p(true) rounds to 1
/// there.)
///
/// @param network computes where its tensors lie; what is shared lies on the cpu.
/// @param images (B, C, H, W) in [0, 1].   @param labels (B) int64.
/// @param protocol its batch size is set to that of `images`; of several clients each takes an equal share of them.
/// @param randomness the client's: see `simulate`.
/// @param noise seed of the mechanisms that draw.
/// @param memory of each client's error feedback, which goes from round to round; empty at first. Null: none.
/// @throws Error(kUsage) as `require_equal_shares`.
/// @throws Error(kUsage) if statistics are to be shared that are not new: without batch norm, or in evaluation mode.
/// @throws Error(kUsage) as `apply`.
/// @throws Error(kData) as `require_memory`.
[[nodiscard]] Update compute_update(const nets::Network& network, const Tensor& images, const Tensor& labels,
                                    Protocol protocol = {}, std::optional<core::Stream> randomness = std::nullopt,
                                    std::uint64_t noise = 0, std::vector<nets::TensorMap>* memory = nullptr);

/// @throws Error(kData) if the gradient of a batch of that size needs more memory than is allowed: at the least what
///   the layers give for each image, and its gradient.
void require_memory(const nets::Architecture& architecture, std::int64_t batch_size);

/// The same update as a gradient, where each client trained one step on all its images at a known rate; else itself.
[[nodiscard]] Update as_gradient(Update update);

/// SHA-256 over the names and values of all that is shared, in lower-case hexadecimal: which update it is, for whoever
/// holds it.
[[nodiscard]] std::string digest(const Update& update);

/// The Euclidean norm of the whole gradient, in float64 and scaled before squaring.
[[nodiscard]] double gradient_norm(const Update& update);

/// The network that the server hands out next: with a gradient, after a step of SGD at that rate; with a change of the
/// weights, after that change; with the new statistics of batch norm where they are shared. No one but the client moves
/// it.
///
/// Source: McMahan et al. 2017, arXiv:1602.05629: FedSGD and FedAvg.
[[nodiscard]] nets::Network next(const nets::Network& network, const Update& update, double rate);

/// A further round of a client: what the server handed out then, and what came back of the same batch.
struct Round {
  nets::TensorMap state;  ///< of a network of the first round's architecture
  Update update;          ///< by the first round's protocol
};

/// All that the attacker is given. There is no image in it and no way to one but the gradient.
///
/// Threat model: an honest-but-curious server, which knows the network it handed out, the protocol, and (only if the
/// client says so) the labels, without saying which image has which.
struct Observation {
  nets::Network network;
  Update update;
  std::vector<std::int64_t> labels;  ///< of the batch, where shared; else empty
  /// Selects the start noise of an attack, and nothing else. Of an observation from a file it is drawn from the digest
  /// of the update. A study numbers its images, so that all its attacks and networks start at the same noise for an
  /// image.
  std::int64_t id = 0;
  /// Further rounds of the same client on the same batch, as where it trains on the same images again; else empty.
  std::vector<Round> further = {};
};

/// Each round as an observation of its own, in order.
[[nodiscard]] std::vector<Observation> rounds(const Observation& observation);

/// The other way round: the observation of these rounds of one client. Its labels are those that any of them shared.
/// @pre there is at least one, and none has further rounds.
/// @throws Error(kModel) if one is of another architecture than the first, or by another protocol.
/// @throws Error(kModel) if two share different labels, or are the same update.
[[nodiscard]] Observation together(const std::vector<Observation>& rounds);

/// The same observation with each update `as_gradient`.
[[nodiscard]] Observation as_gradient(Observation observation);

/// One sentence that says what the attacker is given.
[[nodiscard]] std::string describe(const Observation& observation);

}  // namespace pellucid::sharing
