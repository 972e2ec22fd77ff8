// How an image is read back from a gradient: the parameters, and the published sets of them.
#pragma once

#include "pellucid/core/fields.h"

namespace pellucid::inversion {

/// Whose gradient is matched with the observed one.
enum class Functional {
  kLoss,      ///< the cross-entropy at the label, as the client computed it
  kResidual,  ///< <r, logits> with r the residual at the logits, read from the last bias's gradient; one image only
};
/// How far a gradient g is from the observed g*.
enum class Objective {
  kCosine,  ///< 1 - <g, g*> / (|g| |g*|) over all parameters together
  kL2,      ///< |g - g*|^2 / |g*|^2
};
enum class Start {
  kNormal,   ///< standard normal in the network's normalised units
  kUniform,  ///< in [0, 1]
  kGrey,     ///< 0.5, and normal noise of deviation 0.01 so that restarts differ
  kZero,     ///< black
};
/// How the learning rate falls over n iterations.
enum class Decay {
  kNone,
  kStep,    ///< to a tenth after 3/8, 5/8 and 7/8 of them, as published with `ig`
  kCosine,  ///< (1 + cos(pi t / n)) / 2, and a thousandth at the end
};
/// What computes the matching loss and its gradient.
enum class Method {
  kEngine,          ///< engine.h on the cpu, tensor_engine.h elsewhere; or double backward, and the result says why
  kTensor,          ///< tensor_engine.h, on any device and in any precision
  kDoubleBackward,  ///< matching.h
};
enum class Keep {
  kLast,  ///< the last iterate
  kBest,  ///< the iterate with the lowest optimised value (matching loss + TV)
};
enum class Precision {
  kFloat32,  ///< strictly, on a CUDA device too
  kTf32,     ///< factors of products rounded to TF32's 10 bits in all but the forward sweep; CUDA only
  kMixed,    ///< brain floats in every convolution but the forward sweep's; by the engine on a processor that has them
             ///< (float32 elsewhere), or by the tensor engine
  kFloat64,  ///< for verification; by double backward or the tensor engine
};

struct InversionOptions {
  Functional functional = Functional::kResidual;
  Objective objective = Objective::kL2;
  /// Weight of |h - h*|^2 / |h*|^2, h* the first linear layer's input read off its gradient; one image only.
  double features = 1;
  std::int64_t iterations = 1000;
  std::int64_t restarts = 8;
  double tv = 1e-2;            ///< weight of the total variation, mean|dx| + mean|dy|; 0: none
  double l1 = 1e-3;            ///< weight of the mean pixel: what the network does not answer to stays dark; 0: none
  double learning_rate = 0.1;  ///< of Adam, in the network's normalised units
  Decay decay = Decay::kCosine;
  bool sign = true;  ///< Adam is fed the sign of the gradient
  bool box = true;   ///< pixels are clamped to [0, 1] after each step
  Start start = Start::kGrey;
  Keep keep = Keep::kBest;
  Method method = Method::kEngine;
  Precision precision = Precision::kFloat32;  ///< of the attacker's arithmetic
  std::uint64_t seed = 0;                     ///< of the start noise

  bool operator==(const InversionOptions&) const = default;
};

[[nodiscard]] core::Fields fields(InversionOptions& options);

/// A named set of parameters.
struct Preset {
  std::string name;
  std::string summary;
  std::string source;
  InversionOptions options;
};

/// Every preset, the one place that lists them. The first is the default.
[[nodiscard]] const std::vector<Preset>& presets();

/// @throws Error(kUsage) if no preset has that name, naming the nearest.
[[nodiscard]] const Preset& preset(const std::string& name);

}  // namespace pellucid::inversion
