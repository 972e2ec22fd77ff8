// An attack as data: its settings, and the published sets of them.
#pragma once

#include "pellucid/core/fields.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pellucid::inversion {

/// Whose gradient is matched with the observed one.
enum class Functional {
  kLoss,      ///< the cross-entropy at the label, as the client computed it
  kResidual,  ///< <r, logits> with r the residual at the logits, read from the last bias's gradient; one image only
};
/// How far a gradient g is from the observed g*.
enum class Objective {
  kCosine,   ///< 1 - <g, g*> / (|g| |g*|) over all parameters together
  kAngular,  ///< the angle between them, arccos of the cosine
  kL2,       ///< |g - g*|^2 / |g*|^2
  kL1,       ///< sum |g - g*| / sum |g*|; by double backward alone
  /// The mean over the coordinates of (g - g*)^2 / (g*^2 + 1e-8), of gradients over |g*|; by double backward alone. The
  /// square of g* stands for the diagonal of the Fisher information (LeakPro, its loss "fisher"). Deviates: the mean,
  /// not the sum, and the 1e-8 is of gradients over |g*|, so that their size does not matter.
  kFisher,
};
/// Whether an objective compares directions alone, so that the gradient may be given any size.
[[nodiscard]] constexpr bool any_size(Objective objective) {
  return objective == Objective::kCosine || objective == Objective::kAngular;
}
/// Whether the engines have an objective: its derivative by g is a combination of g and g*.
[[nodiscard]] constexpr bool in_engines(Objective objective) {
  return any_size(objective) || objective == Objective::kL2;
}
[[nodiscard]] std::string to_string(Objective objective);
/// What the attacker makes of what the client did to its update (`sharing::Mechanism`), which the protocol names.
enum class Mechanisms {
  kIgnored,  ///< nothing: the update is matched as if it were exact
  kKnown,    ///< of the gradients that the mechanisms may have made the update of, the nearest is matched
};
/// How much each of n parameters, from the images on, counts in the distance.
enum class Layers {
  kEqual,
  kLinear,       ///< n/n, (n - 1)/n, ..., 1/n
  kExponential,  ///< 1, e^-1, ..., e^-(n - 1)
};
/// How the learning rate falls over n iterations.
enum class Decay {
  kNone,
  kStep,    ///< to a tenth after 3/8, 5/8 and 7/8 of them, as published with `ig`
  kCosine,  ///< (1 + cos(pi t / n)) / 2, and a thousandth at the end
};
/// What becomes of the gradient before the optimiser takes it.
enum class Sign {
  kNone,  ///< nothing
  kHard,  ///< its sign
  kSoft,  ///< tanh(s g) / s, where s falls from 1 to 0 over the iterations: nearly its sign at first, itself at the end
};
/// What computes the matching loss and its gradient.
enum class Method {
  kEngine,  ///< engine/engine.h on the cpu, engine/tensor_engine.h elsewhere; or double backward, and the result says
            ///< why
  kTensor,  ///< engine/tensor_engine.h, on any device and in any precision
  kDoubleBackward,  ///< double_backward.h
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

/// What an attack does, as data. The defaults are those of the preset `residual`.
struct Attack {
  std::string solver = "optimise";   ///< how images are found: a row of `solvers`
  std::string threat_model = "any";  ///< who the attacker is, at most: a row of `threat_models`, or any
  // What is matched.
  Functional functional = Functional::kResidual;
  Objective objective = Objective::kL2;
  Layers layers = Layers::kEqual;
  Mechanisms mechanisms = Mechanisms::kIgnored;
  /// Weight of |h - h*|^2 / |h*|^2, h* the first linear layer's input read off its gradient; one image only.
  double features = 1;
  /// Where they come from: a row of `label_strategies`, or the first that applies, or the descent ("joint").
  std::string labels = "auto";
  /// The weight of what is preferred beside the matching loss, by `TermEntry::name`; 0 or absent: none.
  std::map<std::string, double> terms = {{"tv", 1e-2}, {"l1", 1e-3}};
  std::string prior = {};  ///< weight file of the autoencoder that the term "anomaly" looks through; empty: none
  // How the solver "optimise" descends.
  std::int64_t iterations = 1000;
  std::int64_t restarts = 8;
  std::string start = "grey";      ///< a row of `starts`
  std::string optimiser = "adam";  ///< a row of `optimisers`
  double learning_rate = 0.1;      ///< in the network's normalised units
  Decay decay = Decay::kCosine;
  std::int64_t warm_up = 0;  ///< iterations over which the learning rate rises from 0
  /// Langevin noise: so many learning rates times standard normal noise join the gradient of each iteration.
  double langevin = 0;
  Sign sign = Sign::kHard;
  bool box = true;  ///< pixels are clamped to [0, 1] after each step
  Keep keep = Keep::kBest;
  Method method = Method::kEngine;
  Precision precision = Precision::kFloat32;  ///< of the attacker's arithmetic
  std::uint64_t seed = 0;                     ///< of the starts and of the noise
};

/// Every setting of an attack; the fields point into it.
[[nodiscard]] core::Fields fields(Attack& attack);

/// The settings by which a result is kept. Those that came after the first results were kept are left out where they
/// are off, so that these keep their names. An autoencoder counts by its fingerprint, not by where it lies.
/// @throws as `nets::load_network`, of the file that `prior` names.
[[nodiscard]] core::Json determinants(Attack attack);

/// A named attack: a file in presets/, embedded when built.
struct Preset {
  std::string name;
  std::string summary;
  std::string source;
  Attack attack;
};

/// Every preset, the default first.
[[nodiscard]] const std::vector<Preset>& presets();

/// @throws Error(kUsage) if no preset has that name, naming the nearest.
[[nodiscard]] const Preset& preset(const std::string& name);

/// Reads a preset: `summary`, `source` and the table [attack], whose settings are the defaults where it does not say.
/// @throws Error(kUsage) if the text is not TOML, a key is unknown or missing, or a value is of the wrong kind.
[[nodiscard]] Preset parse_preset(const std::string& name, std::string_view toml);

}  // namespace pellucid::inversion
