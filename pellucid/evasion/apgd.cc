#include "pellucid/evasion/apgd.h"

#include "pellucid/evasion/standing.h"

#include <algorithm>

namespace pellucid::evasion {
namespace {

constexpr double kMomentum = 0.75, kFirstStep = 2;  // alpha; eta over epsilon

// Takes `a` where the mask (B) says so, else `b`.
Tensor choose(const Tensor& mask, const Tensor& a, const Tensor& b) { return torch::where(per_image(mask), a, b); }

}  // namespace

core::Fields fields(ApgdOptions& o) {
  return {
      core::field("iterations", o.iterations, "gradient steps of a run; the step sizes follow from it", 1, 100000),
      core::field("restarts", o.restarts, "runs from random starts, each on the images that still stand", 1, 1000),
      core::field("rho", o.rho, "the share of steps that must raise the objective, else the step is halved", 0, 1),
  };
}

core::Fields fields(TargetedApgdOptions& o) {
  core::Fields list = fields(static_cast<ApgdOptions&>(o));
  list.push_back(core::field("targets", o.targets, "wrong classes aimed at, the likeliest first", 1, 1000));
  return list;
}

std::vector<std::int64_t> apgd_checkpoints(std::int64_t iterations) {
  const auto percent = [&](std::int64_t p) { return std::max<std::int64_t>(iterations * p / 100, 1); };
  std::vector<std::int64_t> list;
  std::int64_t period = percent(22);
  for (std::int64_t at = period; at <= iterations; at += period) {
    list.push_back(at);
    period = std::max(period - percent(3), percent(6));
  }
  return list;
}

ApgdResult apgd(const Model& model, const Tensor& images, const Tensor& labels, const Objective& objective,
                const Ball& ball, const ApgdOptions& options, const Tensor& start) {
  const auto checkpoints = apgd_checkpoints(options.iterations);
  auto checkpoint = checkpoints.begin();
  std::int64_t last_checkpoint = 0;

  Tensor x = start, before = start;
  Slope here = slope(model, objective, x);
  Tensor best_x = x, best = here.values, best_gradient = here.gradient;
  Tensor wrong = errs(here.logits, labels), wrong_x = x;
  Tensor step = torch::full_like(best, kFirstStep * ball.epsilon.value);
  Tensor rises = torch::zeros_like(best);  // steps since the last checkpoint that raised the objective
  Tensor best_then = best,
         halved_then = torch::ones_like(wrong);  // at the last checkpoint; the first does not count as unhalved
  std::vector<Tensor> step_sizes;

  for (std::int64_t i = 1; i <= options.iterations; ++i) {
    step_sizes.push_back(step);
    Tensor next = project(x + per_image(step) * ascent(here.gradient, ball.norm), images, ball);
    if (i > 1) next = project(x + kMomentum * (next - x) + (1 - kMomentum) * (x - before), images, ball);
    before = x;
    x = next;

    const Tensor value_before = here.values;
    here = slope(model, objective, x);
    const Tensor wrong_here = errs(here.logits, labels), better = here.values > best;
    wrong_x = choose(wrong_here, x, wrong_x);
    wrong = wrong.logical_or(wrong_here);
    best_x = choose(better, x, best_x);
    best_gradient = choose(better, here.gradient, best_gradient);
    best = torch::where(better, here.values, best);
    rises = rises + (here.values > value_before).to(rises.dtype());

    if (checkpoint == checkpoints.end() || i != *checkpoint) continue;
    const auto period = static_cast<double>(i - last_checkpoint);
    const Tensor stuck = halved_then.logical_not().logical_and(best_then >= best);
    const Tensor halve = (rises < options.rho * period).logical_or(stuck);
    step = torch::where(halve, step / 2, step);
    x = choose(halve, best_x, x);
    here.gradient = choose(halve, best_gradient, here.gradient);
    here.values = torch::where(halve, best, here.values);
    halved_then = halve;
    best_then = best;
    rises.zero_();
    last_checkpoint = i;
    ++checkpoint;
  }
  return {.x = choose(wrong, wrong_x, best_x), .best = best, .step_sizes = torch::stack(step_sizes)};
}

Tensor apgd_start(const Tensor& images, const Tensor& ids, const Ball& ball, std::uint64_t seed,
                  std::string_view purpose) {
  const auto shape = images.sizes().slice(1);
  const Tensor noise =
      (ball.norm == Norm::kLinf ? start_noise(seed, purpose, ids, shape) : normal_noise(seed, purpose, ids, shape));
  const Tensor direction = (noise / per_image(lengths(noise, ball.norm))).to(images.options());
  return project(images + ball.epsilon.value * direction, images, ball);
}

Tensor apgd_ce(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids, const Ball& ball,
               const ApgdOptions& options, std::uint64_t seed) {
  return attack_standing(model, images, labels, ids, options.restarts, [&](std::int64_t k, const Standing& s) {
    const Tensor start = apgd_start(s.images, s.ids, ball, seed, fmt::format("apgd-ce start {}", k));
    return apgd(model, s.images, s.labels, cross_entropy(s.labels), ball, options, start).x;
  });
}

Tensor apgd_t(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids, const Ball& ball,
              const TargetedApgdOptions& options, std::uint64_t seed) {
  const Tensor targets = likely_targets(
      [&] {
        const torch::NoGradGuard no_gradient;
        return model(images);
      }(),
      labels, options.targets);
  const std::int64_t runs = options.restarts * targets.size(1);
  return attack_standing(model, images, labels, ids, runs, [&](std::int64_t k, const Standing& s) {
    const Tensor target = targets.select(1, k % targets.size(1)).index({s.which});
    const Tensor start = apgd_start(s.images, s.ids, ball, seed, fmt::format("apgd-t start {}", k));
    return apgd(model, s.images, s.labels, dlr_towards(s.labels, target), ball, options, start).x;
  });
}

}  // namespace pellucid::evasion
