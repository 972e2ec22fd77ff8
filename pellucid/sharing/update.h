// What a client sends, and what an observer of it knows.
#pragma once

#include "pellucid/nets/network.h"
#include "pellucid/nets/safetensors.h"

#include <filesystem>

namespace pellucid::sharing {

/// The update of one client: the gradient of its mean cross-entropy over one batch.
struct Update {
  nets::TensorMap gradient;  ///< by parameter name, float32, each of its parameter's shape
  std::int64_t batch_size = 0;
  nets::Mode mode = nets::Mode::kEvaluation;  ///< how the client evaluated the network
  std::string model;                          ///< fingerprint of the network that it was computed with
};

/// Computes the update as a client's framework does: float32, the framework's cross-entropy, rounding and all, because
/// that is what leaks. (Past a logit margin of about 16.6 = ln 2^24, p(true) rounds to 1 there.)
///
/// @param network computes where its tensors lie; what is shared lies on the cpu.
/// @param images (B, C, H, W) in [0, 1].   @param labels (B) int64.
/// @param dropout the client's randomness, in training mode.
/// @throws Error(kData) as `require_memory`.
[[nodiscard]] Update compute_update(const nets::Network& network, const Tensor& images, const Tensor& labels,
                                    nets::Mode mode = nets::Mode::kEvaluation,
                                    std::optional<core::Stream> dropout = std::nullopt);

/// @throws Error(kData) if the gradient of a batch of that size needs more memory than is allowed: at the least what
///   the layers give for each image, and its gradient.
void require_memory(const nets::Architecture& architecture, std::int64_t batch_size);

/// SHA-256 over the gradient's names and values, in lower-case hexadecimal: which update it is, for whoever holds it.
[[nodiscard]] std::string digest(const Update& update);

/// The Euclidean norm of the whole gradient, in float64 and scaled before squaring.
[[nodiscard]] double gradient_norm(const Update& update);

/// All that the attacker is given. There is no image in it and no way to one but the gradient.
///
/// Threat model: an honest-but-curious server, which knows the network it handed out, the batch's size, the mode, and
/// (only if the client says so) the labels, without saying which image has which.
struct Observation {
  nets::Network network;
  Update update;
  std::vector<std::int64_t> labels;  ///< of the batch, where shared; else empty
  /// Selects the start noise of an attack, and nothing else. Of an observation from a file it is drawn from the digest
  /// of the update. A study numbers its images, so that all its attacks and networks start at the same noise for an
  /// image.
  std::int64_t id = 0;
};

/// One sentence that says what the attacker is given.
[[nodiscard]] std::string describe(const Observation& observation);

/// Writes the update and what else the attacker is given, without the network, as safetensors: the gradient, the
/// batch's size, the mode, the network's fingerprint and its classes' names, and the labels in ascending order where
/// they are shared. Nothing in it says which images they were: no number, no time, no name of a file or a data set, no
/// order.
/// @throws Error(kIo) if the file cannot be written.
void save_observation(const Observation& observation, const std::filesystem::path& path);

/// Reads an observation of the given network.
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kModel) if it is damaged or no update, or was computed with another network.
/// @throws Error(kModel) if the gradient has values that are not finite.
[[nodiscard]] Observation load_observation(const std::filesystem::path& path, const nets::Network& network);
[[nodiscard]] Observation load_observation(const nets::SafeTensorsFile& file, const nets::Network& network);

}  // namespace pellucid::sharing
