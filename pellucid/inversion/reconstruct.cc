#include "pellucid/inversion/reconstruct.h"

#include "pellucid/core/error.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/matching.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

namespace pellucid::inversion {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
constexpr std::int64_t kCurvePoints = 100;

// The units in which the descent moves: those of the network's normalisation, or pixels where it has none.
struct Units {
  Tensor mean = torch::zeros({1, 1, 1, 1}), deviation = torch::ones({1, 1, 1, 1});

  explicit Units(const nets::Spec& spec) {
    if (spec.mean.empty()) return;
    mean = torch::tensor(spec.mean, torch::kFloat64).view({1, -1, 1, 1});
    deviation = torch::tensor(spec.deviation, torch::kFloat64).view({1, -1, 1, 1});
  }
  [[nodiscard]] Tensor to_pixels(const Tensor& z) const { return z * deviation.to(z.options()) + mean.to(z.options()); }
  [[nodiscard]] Tensor from_pixels(const Tensor& x) const { return (x - mean.to(x.options())) / deviation.to(x.options()); }
};

// mean|dz/dx| + mean|dz/dy| over the batch, and its gradient.
struct TotalVariation {
  double value;
  Tensor gradient;

  explicit TotalVariation(const Tensor& z) {
    const Tensor dx = z.slice(3, 1) - z.slice(3, 0, -1), dy = z.slice(2, 1) - z.slice(2, 0, -1);
    value = dx.abs().mean().item<double>() + dy.abs().mean().item<double>();
    const Tensor sx = dx.sign() / static_cast<double>(dx.numel()), sy = dy.sign() / static_cast<double>(dy.numel());
    gradient = torch::zeros_like(z);
    gradient.slice(3, 1).add_(sx);
    gradient.slice(3, 0, -1).sub_(sx);
    gradient.slice(2, 1).add_(sy);
    gradient.slice(2, 0, -1).sub_(sy);
  }
};

Tensor start(const sharing::Observation& observation, const InversionOptions& options, const Units& units, std::int64_t restart) {
  std::vector<std::int64_t> shape = {observation.update.batch_size};
  for (auto n : observation.network.architecture.spec.input) shape.push_back(n);
  const core::Stream stream(options.seed, fmt::format("inversion start {}", observation.id), restart);
  switch (options.start) {
    case Start::kNormal: return core::normal(stream, shape);
    case Start::kUniform: return units.from_pixels(core::uniform(stream, shape));
    case Start::kZero: break;
  }
  return units.from_pixels(torch::zeros(shape));
}

// Adam on one tensor.
struct Adam {
  Tensor first, second;
  std::int64_t steps = 0;

  void step(Tensor& z, const Tensor& gradient, double rate) {
    if (steps == 0) first = torch::zeros_like(z), second = torch::zeros_like(z);
    ++steps;
    first.mul_(kBeta1).add_(gradient, 1 - kBeta1);
    second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
    const double bias1 = 1 - std::pow(kBeta1, static_cast<double>(steps)), bias2 = 1 - std::pow(kBeta2, static_cast<double>(steps));
    z.addcdiv_(first, (second.sqrt() / std::sqrt(bias2)).add_(kEpsilon), -rate / bias1);
  }
};

// The descent itself. Fills in the trial; `trial.images` stays undefined if not even the start could be evaluated.
void descend(const Matching& matching, const Units& units, Tensor z, const InversionOptions& options, Trial& trial) {
  const Tensor low = units.from_pixels(torch::zeros_like(z)), high = units.from_pixels(torch::ones_like(z));
  const std::int64_t stride = std::max<std::int64_t>(1, (options.iterations + kCurvePoints - 1) / kCurvePoints);
  Adam adam;
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t iteration = 0; iteration <= options.iterations; ++iteration) {
    core::throw_if_stopped();
    const Tensor pixels = units.to_pixels(z);
    const Matched matched = matching(pixels);
    const TotalVariation variation(z);
    const Tensor gradient = matched.gradient * units.deviation.to(z.options()) + options.tv * variation.gradient;
    const double objective = matched.matching_loss + options.tv * variation.value;
    if (!std::isfinite(objective) || !torch::isfinite(gradient).all().item<bool>()) {
      trial.status = Status::kDiverged;
      trial.reason = fmt::format("the matching loss or its gradient is not finite at iteration {}", iteration);
      return;
    }
    if (iteration % stride == 0) {
      trial.curve.iteration.push_back(iteration);
      trial.curve.matching_loss.push_back(matched.matching_loss);
    }
    if (options.keep == Keep::kLast || objective < best) {
      best = objective;
      trial.matching_loss = matched.matching_loss;
      trial.images = pixels;
    }
    if (iteration == options.iterations) return;  // the last evaluation only judges the last step
    adam.step(z, options.sign ? gradient.sign() : gradient, learning_rate(options, iteration));
    if (options.box) z = torch::min(torch::max(z, low), high);
  }
}

}  // namespace

double learning_rate(const InversionOptions& options, std::int64_t iteration) {
  double rate = options.learning_rate;
  if (!options.decay) return rate;
  const auto n = static_cast<double>(options.iterations);
  for (const double share : {2.667, 1.6, 1.142}) {
    const double milestone = std::round((n - std::fmod(n, share)) / share);  // Python's n // share: 4800 // 1.6 is 2999
    if (static_cast<double>(iteration) >= milestone) rate *= 0.1;
  }
  return rate;
}

std::string to_string(Status status) {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kDiverged: return "diverged";
    case Status::kNotApplicable: return "not_applicable";
  }
  return "";
}

Trial run_trial(const sharing::Observation& observation, const InversionOptions& options, std::int64_t restart) {
  Trial trial;
  trial.matching_loss = std::numeric_limits<double>::quiet_NaN();
  try {
    const Matching matching(observation, options, infer_labels(observation));
    const Units units(observation.network.architecture.spec);
    const auto type = options.precision == Precision::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    descend(matching, units, start(observation, options, units, restart).to(type), options, trial);
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::kUsage && error.kind() != core::ErrorKind::kModel) throw;
    trial.status = Status::kNotApplicable;
    trial.reason = error.what();
  }
  if (trial.images.defined()) trial.images = trial.images.detach().to(torch::kFloat32).clamp(0, 1);
  return trial;
}

Reconstruction choose(std::vector<Trial> trials) {
  Reconstruction reconstruction{.trials = std::move(trials)};
  const auto& all = reconstruction.trials;
  auto worse = [](const Trial& a, const Trial& b) {  // a trial that came to nothing has NaN and is worst
    return !(a.matching_loss <= b.matching_loss) && !std::isnan(b.matching_loss);
  };
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (worse(all[reconstruction.chosen], all[i])) reconstruction.chosen = i;
  }
  return reconstruction;
}

Reconstruction reconstruct(const sharing::Observation& observation, const InversionOptions& options, const core::Run& run) {
  std::vector<Trial> trials(options.restarts);
  std::mutex mutex;
  std::int64_t done = 0;
  core::parallel_for(options.restarts, run.threads, [&](std::int64_t restart) {
    trials[restart] = run_trial(observation, options, restart);
    std::lock_guard lock(mutex);
    run.report({.task = "invert",
                .done = ++done,
                .total = options.restarts,
                .unit = "restarts",
                .note = fmt::format("matching loss {:.3g}", trials[restart].matching_loss)});
  });
  return choose(std::move(trials));
}

std::vector<std::string> diagnose(const sharing::Observation& observation, const InversionOptions& options,
                                  const Reconstruction& reconstruction) {
  std::vector<std::string> causes;
  const Trial& trial = reconstruction.trials[reconstruction.chosen];
  if (trial.status != Status::kOk) causes.push_back(trial.reason);
  const double norm = sharing::gradient_norm(observation.update);
  if (norm < 1e-12) causes.push_back(fmt::format("the gradient is close to zero (norm {:.1e})", norm));
  const bool single = observation.update.batch_size == 1 &&
                      std::holds_alternative<nets::Linear>(observation.network.architecture.layers.back().op);
  if (single && options.functional == Functional::kLoss) {
    const double true_class = residual_at_logits(observation).min().item<double>();
    if (true_class >= 0) {
      causes.push_back("float32 rounding: p(true) rounded to 1, so the true class is missing from the gradient; the published attack "
                       "cannot match it, the residual attack can");
    } else if (true_class > -1e-6) {
      causes.push_back(fmt::format("float32 rounding: 1 - p(true) = {:.1e} has few correct bits left", -true_class));
    }
  }
  if (options.objective == Objective::kCosine ? trial.matching_loss > 0.1 : trial.matching_loss > 0.5) {
    causes.push_back(fmt::format("not converged: matching loss {:.2g}; more iterations or restarts may help", trial.matching_loss));
  }
  return causes;
}

}  // namespace pellucid::inversion
