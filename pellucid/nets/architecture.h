// A network's architecture as plain data: a list of named layers. Everything else interprets it.
#pragma once

#include "pellucid/core/fields.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace pellucid::nets {

/// How a layer's weight and bias are drawn at the start. `fan_in` and `fan_out` count kernel positions in.
enum class Init {
  kPyTorch,      ///< PyTorch's default: weight and bias uniform in +-1/sqrt(fan_in)
  kHeFanIn,      ///< weight normal with deviation sqrt(2/fan_in), bias 0 (He et al. 2015)
  kHeFanOut,     ///< weight normal with deviation sqrt(2/fan_out), bias 0
  kZero,         ///< weight and bias 0
  kZeroBias,     ///< weight as PyTorch's default, bias 0
  kUniformHalf,  ///< weight and bias uniform in +-1/2 (Zhu et al. 2019)
};

/// (x - mean) / deviation per channel: pixels are in [0, 1] everywhere outside the network.
struct Normalise {
  std::vector<double> mean, deviation;
};
struct Conv {
  std::int64_t in, out, kernel, stride = 1, padding = 0;
  bool bias = true;
  Init init = Init::kPyTorch;
};
struct Linear {
  std::int64_t in, out;
  Init init = Init::kPyTorch;
};
/// Batch normalisation: batch statistics in training mode, running ones in evaluation mode.
struct BatchNorm {
  std::int64_t channels;
  double momentum = 0.1, epsilon = 1e-5;
};
/// Each image's groups of channels normalised by their own mean and variance, in both modes (Wu and He 2018): images do
/// not see one another. `groups` divides `channels`.
struct GroupNorm {
  std::int64_t channels, groups;
  double epsilon = 1e-5;
};
struct Relu {};
/// x where x > 0, slope * x elsewhere.
struct LeakyRelu {
  double slope = 0.01;
};
struct Sigmoid {};
struct Tanh {};
/// x times the standard normal's distribution function at x (Hendrycks and Gimpel 2016), not its tanh approximation.
struct Gelu {};
/// The largest value of each window; windows do not overlap, and rows and columns that fill none are left out.
struct MaxPool {
  std::int64_t size;
};
/// The mean of each such window.
struct AveragePool {
  std::int64_t size;
};
/// The mean over all positions of each channel.
struct GlobalAveragePool {};
struct Flatten {};
/// Zeroes each value with the given probability in training mode, and scales the rest up; nothing in evaluation mode.
struct Dropout {
  double probability;
};
/// The sum of its two inputs.
struct Add {};

using Op = std::variant<Normalise, Conv, Linear, BatchNorm, Relu, LeakyRelu, Sigmoid, Tanh, Gelu, MaxPool, AveragePool,
                        GlobalAveragePool, Flatten, Dropout, Add, GroupNorm>;

/// One step of the evaluation.
struct Layer {
  Op op;
  std::string name;         ///< prefix of its parameters in a PyTorch state dict; empty where it has none
  std::vector<int> inputs;  ///< the layers whose outputs it takes, by index; `kNetworkInput` is the image
};
inline constexpr int kNetworkInput = -1;

/// What a network is asked to be; with this alone `nets::build` makes its layers.
struct Spec {
  std::string net = "small_cnn";                  ///< a name from `nets::zoo()`
  std::vector<std::int64_t> input = {1, 28, 28};  ///< (C, H, W)
  std::int64_t classes = 10;
  std::vector<double> mean = {}, deviation = {};  ///< the normalisation inside the network; empty: none

  bool operator==(const Spec&) const = default;
};

struct Architecture {
  Spec spec;
  std::vector<Layer> layers;  ///< in order of evaluation; the last one's output is the logits
};

/// A tensor that the state dict of an architecture holds.
struct Entry {
  enum class Kind {
    kParameter,  ///< trained by gradient
    kStatistic,  ///< batch norm's running mean and variance
    kCounter,    ///< batch norm's number of batches seen: one int64, written so that PyTorch loads strictly
  };
  std::string name;
  std::vector<std::int64_t> shape;
  Kind kind = Kind::kParameter;
};

/// The state dict's entries, in PyTorch's order.
[[nodiscard]] std::vector<Entry> entries(const Architecture& architecture);

/// The names of the trainable tensors, in that order: the order of every list of gradients.
[[nodiscard]] std::vector<std::string> parameter_names(const Architecture& architecture);

/// The number of trainable values.
[[nodiscard]] std::int64_t count_parameters(const Architecture& architecture);

/// Multiply-accumulates of convolutions and linear layers in one forward pass of one image.
[[nodiscard]] std::int64_t count_macs(const Architecture& architecture);

/// The shape of a layer's output. @param in of its first input, (C, H, W) or (features), which the layer can take.
/// @return may have sizes below 1 where the input is too small.
[[nodiscard]] std::vector<std::int64_t> output_shape(const Op& op, const std::vector<std::int64_t>& in);

/// Output shape (C, H, W) or (features) of each layer, for an input of the spec's shape.
/// @throws Error(kUsage) if the input is too small for the network, naming the layer.
[[nodiscard]] std::vector<std::vector<std::int64_t>> output_shapes(const Architecture& architecture);

/// A spec as JSON and back.
/// @throws Error(kModel) if a key is missing or of the wrong type.
[[nodiscard]] core::Json to_json(const Spec& spec);
[[nodiscard]] Spec spec_from_json(const core::Json& json);

}  // namespace pellucid::nets
