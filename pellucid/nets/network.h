// A network as a value: its architecture and its state. Evaluating it changes nothing.
#pragma once

#include "pellucid/core/random.h"
#include "pellucid/core/torch.h"
#include "pellucid/nets/architecture.h"

#include <map>
#include <optional>

namespace pellucid::nets {

/// Tensors by their PyTorch state-dict names.
using TensorMap = std::map<std::string, Tensor>;

struct Network {
  Architecture architecture;
  TensorMap state;  ///< every entry of `entries(architecture)`
};

/// Evaluation: running statistics, no dropout. Training: batch statistics, dropout.
enum class Mode { kEvaluation, kTraining };

/// The field of an options struct that holds a mode.
[[nodiscard]] core::Field mode_field(std::string name, Mode& value, std::string help);

struct Output {
  Tensor logits;      ///< (B, classes)
  Tensor features;    ///< (B, F): what the last linear layer takes, the "penultimate features"
  TensorMap running;  ///< training mode: the new values of batch norm's statistics and counters; else empty
};

/// Evaluates the network on a batch.
///
/// The parameters are an argument: gradients flow to those that ask for them, and none of the tensors is changed.
///
/// @param images (B, C, H, W) in [0, 1], of the state's type.
/// @param dropout the randomness of dropout in training mode; without it dropout passes everything.
/// @throws Error(kUsage) if the images do not have the architecture's shape.
[[nodiscard]] Output evaluate(const Architecture& architecture, const TensorMap& state, const Tensor& images,
                              Mode mode = Mode::kEvaluation, std::optional<core::Stream> dropout = std::nullopt);

/// The logits of `evaluate` in evaluation mode.
[[nodiscard]] Tensor logits(const Network& network, const Tensor& images);

/// A freshly initialised state, float32; each tensor depends on (seed, its name) alone.
[[nodiscard]] TensorMap initialise(const Architecture& architecture, std::uint64_t seed);

/// A detached copy of the state with every parameter and statistic converted to `type`.
[[nodiscard]] TensorMap converted(const TensorMap& state, torch::ScalarType type);

/// A copy of the state whose parameters are leaves that ask for gradients, and those leaves in `parameter_names` order.
struct Leaves {
  TensorMap state;
  std::vector<Tensor> parameters;
};
[[nodiscard]] Leaves with_gradients(const Network& network);

/// SHA-256 over spec, names and values: two networks that differ in any bit have different fingerprints.
[[nodiscard]] std::string fingerprint(const Network& network);

}  // namespace pellucid::nets
