// A network as a value: its architecture and its state. Evaluating it changes nothing.
#pragma once

#include "pellucid/core/random.h"
#include "pellucid/core/torch.h"
#include "pellucid/nets/architecture.h"

#include <functional>
#include <map>
#include <optional>

namespace pellucid::nets {

/// Tensors by their PyTorch state-dict names.
using TensorMap = std::map<std::string, Tensor>;

struct Network {
  Architecture architecture;
  TensorMap state;                        ///< every entry of `entries(architecture)`
  std::vector<std::string> classes = {};  ///< what the outputs stand for, in order; empty where the file does not say
};

/// Evaluation: running statistics, no dropout. Training: batch statistics, dropout.
enum class Mode { kEvaluation, kTraining };

/// "evaluation" or "training".
[[nodiscard]] std::string to_string(Mode mode);

/// The field of an options struct that holds a mode.
[[nodiscard]] core::Field mode_field(std::string name, Mode& value, std::string help);

struct Output {
  Tensor logits;      ///< (B, classes)
  Tensor features;    ///< (B, F): what the last linear layer takes, the "penultimate features"
  TensorMap running;  ///< training mode: the new values of batch norm's statistics and counters; else empty
};

/// Some images of a batch whose others lie with other processes. Batch norm and dropout see the batch as one.
struct Part {
  std::int64_t begin = 0, batch = 0;         ///< images begin, begin + 1, ... of `batch`; 0: they are the batch
  std::function<Tensor(const Tensor&)> sum;  ///< the sum over the processes, differentiable; empty: there is one
};

/// What a layer with parameters took and gave in an evaluation.
struct Passed {
  std::size_t layer;     ///< its place in the architecture
  Tensor input, output;  ///< (B, ...) each
};

/// Evaluates the network on a batch.
///
/// The parameters are an argument: gradients flow to those that ask for them, and none of the tensors is changed.
///
/// @param images (B, C, H, W) in [0, 1]. A convolution or linear layer computes in its weight's type; the layers
///   between take what comes.
/// @param dropout the randomness of dropout in training mode; without it dropout passes everything.
/// @param part which part of a batch the images are, in training mode.
/// @param passed where given, each layer with parameters is added to it, in order.
/// @throws Error(kUsage) if the images do not have the architecture's shape.
[[nodiscard]] Output evaluate(const Architecture& architecture, const TensorMap& state, const Tensor& images,
                              Mode mode = Mode::kEvaluation, std::optional<core::Stream> dropout = std::nullopt,
                              const Part& part = {}, std::vector<Passed>* passed = nullptr);

/// The mean and the unbiased variance, over the batch, of what each batch norm takes: (channels) each, under the names
/// of its running statistics. Differentiable by the images.
///
/// @param images (B, C, H, W) in [0, 1].   @param mode how the layers before it are evaluated.
/// @throws as `evaluate`.
[[nodiscard]] TensorMap batch_statistics(const Architecture& architecture, const TensorMap& state, const Tensor& images,
                                         Mode mode);

/// The logits of `evaluate` in evaluation mode.
[[nodiscard]] Tensor logits(const Network& network, const Tensor& images);

/// Where the network's tensors lie.
[[nodiscard]] torch::Device device_of(const Network& network);

/// The network with its tensors there.
[[nodiscard]] Network on(Network network, const torch::Device& device);

/// A freshly initialised state, float32; each tensor depends on (seed, its name) alone.
[[nodiscard]] TensorMap initialise(const Architecture& architecture, std::uint64_t seed);

/// A detached copy of the state with every parameter and statistic converted to `type`.
[[nodiscard]] TensorMap converted(const TensorMap& state, torch::ScalarType type);

/// The state laid out for fast batches: weights of convolutions with their channels last, and with `brain_floats` the
/// weights and biases of convolutions and linear layers in bfloat16. Differentiable; the same values but for rounding.
[[nodiscard]] TensorMap for_batches(const Architecture& architecture, const TensorMap& state, bool brain_floats);

/// A copy of the state whose parameters are leaves that ask for gradients, and those leaves in `parameter_names` order.
struct Leaves {
  TensorMap state;
  std::vector<Tensor> parameters;
};
[[nodiscard]] Leaves with_gradients(const Network& network);

/// SHA-256 over architecture, names and values: two networks that differ in any bit have different fingerprints. (Of a
/// network of the zoo the spec stands for its layers.)
[[nodiscard]] std::string fingerprint(const Network& network);

}  // namespace pellucid::nets
