#include "pellucid/inversion/options.h"

#include "pellucid/core/error.h"

namespace pellucid::inversion {

core::Fields fields(InversionOptions& o) {
  return {
      core::field("functional", o.functional, "whose gradient is matched: the loss at the label, or <residual, logits>",
                  core::Choices<Functional>{{"loss", Functional::kLoss}, {"residual", Functional::kResidual}}),
      core::field("objective", o.objective, "how two gradients are compared: cosine distance, or squared distance over |g*|^2",
                  core::Choices<Objective>{{"cosine", Objective::kCosine}, {"l2", Objective::kL2}}),
      core::field("iterations", o.iterations, "steps of the optimiser in each restart", 1, 10'000'000),
      core::field("restarts", o.restarts, "independent starts; the lowest matching loss is chosen", 1, 10'000),
      core::field("tv", o.tv, "weight of the total variation; 0 is none", 0, 1e6),
      core::field("learning_rate", o.learning_rate, "learning rate of Adam, in the network's normalised units", 0, 1e6),
      core::field("decay", o.decay, "divide the learning rate by 10 after 3/8, 5/8 and 7/8 of the iterations"),
      core::field("sign", o.sign, "feed Adam the sign of the gradient"),
      core::field("box", o.box, "clamp the pixels to [0, 1] after each step"),
      core::field("start", o.start, "where a restart begins: normal noise, uniform noise, or black",
                  core::Choices<Start>{{"normal", Start::kNormal}, {"uniform", Start::kUniform}, {"zero", Start::kZero}}),
      core::field("keep", o.keep, "which iterate is the result", core::Choices<Keep>{{"last", Keep::kLast}, {"best", Keep::kBest}}),
      core::field("precision", o.precision, "the attacker's arithmetic",
                  core::Choices<Precision>{{"float32", Precision::kFloat32}, {"float64", Precision::kFloat64}}),
      core::field("seed", o.seed, "seed of the start noise"),
  };
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> list = {
      {.name = "residual",
       .summary = "takes the residual at the logits from the last bias's gradient, so that neither the loss, the label nor the rounding "
                  "of the softmax matters; one image",
       .source = "ours; the reading of the bias's gradient extends iDLG (Zhao et al. 2020)",
       .options = {}},
      {.name = "ig",
       .summary = "the published attack: one cosine over all layers, total variation, Adam on the gradient's sign",
       .source = "Geiping et al. 2020, Inverting Gradients, arXiv:2003.14053, as its rec_mult.py runs it",
       .options = {.functional = Functional::kLoss,
                   .objective = Objective::kCosine,
                   .iterations = 4800,
                   .restarts = 1,
                   .tv = 1e-4,
                   .keep = Keep::kLast}},
  };
  return list;
}

const Preset& preset(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& candidate : presets()) {
    if (candidate.name == name) return candidate;
    names.push_back(candidate.name);
  }
  throw core::Error(core::ErrorKind::kUsage, "attack: got \"{}\", expected {}{}", name, core::join_choices(names),
                    core::suggestion(name, names));
}

}  // namespace pellucid::inversion
