#include "pellucid/evasion/pgd.h"

#include <algorithm>

namespace pellucid::evasion {
namespace {

constexpr const char* kNone = "none";

// A number as any other, or "none".
core::Field step_field(std::optional<core::Number>& step) {
  const auto number = [](core::Number& value) {
    return core::field(
        "step", value,
        "step size, in the same units; none follows from epsilon, iterations and norm: 0.01 for 0.3 in 40 with linf", 0,
        100);
  };
  core::Number unused;
  core::Field field = number(unused);
  field.expected = "none, or " + field.expected;
  field.get = [&step] { return core::Json(step ? step->typed : kNone); };
  field.set = [&step, number](const core::Json& json) {
    core::Number value;
    if (json == kNone) return step.reset(), true;
    return number(value).set(json) && (step = value, true);
  };
  field.set_text = [set = field.set](const std::string& text) { return set(text); };
  return field;
}

}  // namespace

double PgdOptions::step_size() const {
  constexpr double kLinf = 4.0 / 3, kL2 = 2.5;
  if (step) return step->value;
  return (norm == Norm::kLinf ? kLinf : kL2) * epsilon.value /
         static_cast<double>(std::max<std::int64_t>(iterations, 1));
}

core::Fields fields(PgdOptions& o) {
  return {
      core::field("epsilon", o.epsilon, "radius of the ball, in units of the pixels' range [0, 1]", 0, 100),
      step_field(o.step),
      core::field("iterations", o.iterations, "gradient steps; 1 is the one-step attack", 0, 100000),
      core::field("random_start", o.random_start, "begin at a random point of the ball"),
      norm_field(o.norm),
  };
}

std::string describe(const PgdOptions& o) {
  return fmt::format("PGD-{}, {}, eps {}, step {}{}", o.iterations, to_string(o.norm), o.epsilon.typed,
                     o.step ? o.step->typed : fmt::format("{:.4g}", o.step_size()),
                     o.random_start ? ", random start" : "");
}

Tensor pgd(const Model& model, const Tensor& images, const Objective& objective, const PgdOptions& options,
           const Tensor& noise) {
  const Ball ball = options.ball();
  Tensor x = images.clone();
  if (options.random_start) {
    const Tensor direction = ball.norm == Norm::kLinf ? noise : ascent(noise, ball.norm);
    x = project(images + ball.epsilon.value * direction, images, ball);
  }
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    const Tensor gradient = slope(model, objective, x).gradient;
    x = project(x + options.step_size() * ascent(gradient, ball.norm), images, ball);
  }
  return x;
}

Tensor pgd(const nets::Network& network, const Tensor& images, const Tensor& labels, const PgdOptions& options,
           const Tensor& noise, nets::Mode mode) {
  return pgd(model_of(network, mode), images, cross_entropy(labels), options, noise);
}

Tensor pgd_restarts(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                    const PgdOptions& options, std::int64_t restarts, std::uint64_t seed) {
  const std::int64_t batch = images.size(0);
  std::vector<Tensor> noise;
  for (std::int64_t r = 0; r < restarts; ++r) {
    const std::string purpose = r == 0 ? "evasion start" : fmt::format("evasion start {}", r);
    noise.push_back(options.random_start ? start_noise(seed, purpose, ids, images.sizes().slice(1))
                                         : torch::zeros_like(images));
  }
  const Tensor packed_labels = labels.repeat({restarts});
  const Tensor x = pgd(model, images.repeat({restarts, 1, 1, 1}), cross_entropy(packed_labels), options,
                       torch::cat(noise).to(images.options()));
  if (restarts == 1) return x;

  const torch::NoGradGuard no_gradient;
  const Tensor logits = model(x);
  const Tensor loss = cross_entropy(packed_labels)(logits).view({restarts, batch});
  const Tensor wrong = errs(logits, packed_labels).view({restarts, batch});
  const Tensor first_wrong = wrong.to(torch::kInt64).argmax(0), highest = loss.argmax(0);
  const Tensor chosen = torch::where(wrong.any(0), first_wrong, highest);
  return x.view({restarts, batch, -1})
      .gather(0, chosen.view({1, batch, 1}).expand({1, batch, x[0].numel()}))
      .view_as(images);
}

}  // namespace pellucid::evasion
