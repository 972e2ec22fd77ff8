#include "pellucid/inversion/options.h"

#include "pellucid/core/error.h"

namespace pellucid::inversion {

core::Fields fields(InversionOptions& o) {
  return {
      core::field("functional", o.functional, "whose gradient is matched: the loss at the label, or <residual, logits>",
                  core::Choices<Functional>{{"loss", Functional::kLoss}, {"residual", Functional::kResidual}}),
      core::field("objective", o.objective,
                  "how two gradients are compared: cosine distance, or squared distance over |g*|^2",
                  core::Choices<Objective>{{"cosine", Objective::kCosine}, {"l2", Objective::kL2}}),
      core::field(
          "features", o.features,
          "weight of the distance from the first linear layer's input, read off its gradient; one image; 0 is none", 0,
          1e6),
      core::field("iterations", o.iterations, "steps of the optimiser in each restart", 1, 10'000'000),
      core::field("restarts", o.restarts, "independent starts; the lowest matching loss is chosen", 1, 10'000),
      core::field("tv", o.tv, "weight of the total variation; 0 is none", 0, 1e6),
      core::field("l1", o.l1,
                  "weight of the mean pixel, which keeps dark what the network does not answer to; 0 is none", 0, 1e6),
      core::field("learning_rate", o.learning_rate, "learning rate of Adam, in the network's normalised units", 0, 1e6),
      core::field("decay", o.decay,
                  "how the learning rate falls: not at all, to a tenth after 3/8, 5/8 and 7/8, or along a cosine",
                  core::Choices<Decay>{{"none", Decay::kNone}, {"step", Decay::kStep}, {"cosine", Decay::kCosine}}),
      core::field("sign", o.sign, "feed Adam the sign of the gradient"),
      core::field("box", o.box, "clamp the pixels to [0, 1] after each step"),
      core::field("start", o.start,
                  "where a restart begins: normal noise, uniform noise, grey with a little noise, or black",
                  core::Choices<Start>{{"normal", Start::kNormal},
                                       {"uniform", Start::kUniform},
                                       {"grey", Start::kGrey},
                                       {"zero", Start::kZero}}),
      core::field("keep", o.keep, "which iterate is the result",
                  core::Choices<Keep>{{"last", Keep::kLast}, {"best", Keep::kBest}}),
      core::field(
          "method", o.method,
          "what computes the matching: the engine (on a CUDA device the tensor engine), the tensor engine, or "
          "double backward, their reference",
          core::Choices<Method>{
              {"engine", Method::kEngine}, {"tensor", Method::kTensor}, {"double_backward", Method::kDoubleBackward}}),
      core::field("precision", o.precision,
                  "the attacker's arithmetic; tf32 needs a CUDA device; mixed is float32 on a processor without brain "
                  "floats (AVX-512); float64 goes by double backward or the tensor engine",
                  core::Choices<Precision>{{"float32", Precision::kFloat32},
                                           {"tf32", Precision::kTf32},
                                           {"mixed", Precision::kMixed},
                                           {"float64", Precision::kFloat64}}),
      core::field("seed", o.seed, "seed of the start noise"),
  };
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> list = {
      {.name = "residual",
       .summary = "takes the residual at the logits from the last bias's gradient, so that neither the loss, the label "
                  "nor the rounding "
                  "of the softmax matters, and matches what the first linear layer took; one image",
       .source = "ours; the reading of the bias's gradient extends iDLG (Zhao et al. 2020), that a linear layer's "
                 "input is its weight's "
                 "gradient over its bias's is in Phong et al. 2017 and Geiping et al. 2020",
       .options = {}},
      {.name = "ig",
       .summary = "the published attack: one cosine over all layers, total variation, Adam on the gradient's sign",
       .source = "Geiping et al. 2020, Inverting Gradients, arXiv:2003.14053, as its rec_mult.py runs it",
       .options = {.functional = Functional::kLoss,
                   .objective = Objective::kCosine,
                   .features = 0,
                   .iterations = 4800,
                   .restarts = 1,
                   .tv = 1e-4,
                   .l1 = 0,
                   .decay = Decay::kStep,
                   .start = Start::kNormal,
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
