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
enum class Start { kNormal, kUniform, kZero };
enum class Keep {
  kLast,  ///< the last iterate
  kBest,  ///< the iterate with the lowest optimised value (matching loss + TV)
};
enum class Precision { kFloat32, kFloat64 };

struct InversionOptions {
  Functional functional = Functional::kResidual;
  Objective objective = Objective::kL2;
  std::int64_t iterations = 1000;
  std::int64_t restarts = 8;
  double tv = 1e-2;             ///< weight of the total variation, mean|dx| + mean|dy|; 0: none
  double learning_rate = 0.1;   ///< of Adam, in the network's normalised units
  bool decay = true;            ///< times 0.1 after 3/8, 5/8 and 7/8 of the iterations
  bool sign = true;             ///< Adam is fed the sign of the gradient
  bool box = true;              ///< pixels are clamped to [0, 1] after each step
  Start start = Start::kNormal; ///< kNormal: standard normal in normalised units; kUniform: in [0, 1]; kZero: black
  Keep keep = Keep::kBest;
  Precision precision = Precision::kFloat32;  ///< of the attacker's arithmetic
  std::uint64_t seed = 0;       ///< of the start noise

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
