#include "pellucid/inversion/descent.h"

#include "pellucid/core/recording.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::inversion {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;  // of Adam
constexpr std::int64_t kCurvePoints = 100;
constexpr std::int64_t kLook = 100;  // iterations between looks at a device: whether every trial has diverged

// What each trial prefers of its images beside the matching loss, tv (mean|dz/dx| + mean|dz/dy|) + l1 mean|pixel|, with
// its gradient by z.
struct Prior {
  Tensor values;  // (trials) float64
  Tensor gradient;

  Prior(const Tensor& z, const Tensor& pixels, const Tensor& deviation, const InversionOptions& options,
        std::int64_t trials) {
    const auto each = [&](const Tensor& t) { return t.reshape({trials, -1}); };
    const Tensor dx = z.slice(3, 1) - z.slice(3, 0, -1), dy = z.slice(2, 1) - z.slice(2, 0, -1);
    values = options.tv * (each(dx).abs().mean(1) + each(dy).abs().mean(1)).to(torch::kFloat64);
    const auto share = [&](const Tensor& t) {
      return options.tv * static_cast<double>(trials) / static_cast<double>(t.numel());
    };
    const Tensor sx = dx.sign() * share(dx), sy = dy.sign() * share(dy);
    gradient = torch::zeros_like(z);
    gradient.slice(3, 1).add_(sx);
    gradient.slice(3, 0, -1).sub_(sx);
    gradient.slice(2, 1).add_(sy);
    gradient.slice(2, 0, -1).sub_(sy);
    if (options.l1 > 0) {
      values += options.l1 * each(pixels).abs().mean(1).to(torch::kFloat64);
      gradient.add_(pixels.sign() * deviation,
                    options.l1 * static_cast<double>(trials) / static_cast<double>(z.numel()));
    }
  }
};

// The state of a descent, all of it on the device; an iteration changes it in place and reads nothing back.
class Descent {
 public:
  Descent(const Evaluation& matching, const Units& units, const Tensor& start, const InversionOptions& options,
          std::int64_t trials)
      : matching_(matching),
        units_(units),
        options_(options),
        trials_(trials),
        z_(start.clone()),
        low_(units.from_pixels(torch::zeros_like(start))),
        high_(units.from_pixels(torch::ones_like(start))),
        first_(torch::zeros_like(start)),
        second_(torch::zeros_like(start)),
        best_images_(torch::zeros_like(start)),
        stride_(std::max<std::int64_t>(1, (options.iterations + kCurvePoints - 1) / kCurvePoints)) {
    const auto on_device = [&](const std::vector<double>& values) {
      return torch::tensor(values, torch::kFloat64).to(start.options());
    };
    const auto losses = start.options().dtype(torch::kFloat64);
    std::vector<double> rates, roots;
    std::vector<std::int64_t> points;
    for (std::int64_t i = 0; i <= options.iterations; ++i) {
      const auto step = static_cast<double>(i + 1);
      rates.push_back(-learning_rate(options, i) / (1 - std::pow(kBeta1, step)));
      roots.push_back(std::sqrt(1 - std::pow(kBeta2, step)));
      points.push_back(i % stride_ == 0 ? i / stride_ : points_of_curve());
    }
    rates_ = on_device(rates);
    roots_ = on_device(roots);
    points_ = torch::tensor(points, torch::kInt64).to(start.device());
    iteration_ = torch::zeros({1}, points_.options());
    best_ = torch::full({trials}, std::numeric_limits<double>::infinity(), losses);
    best_loss_ = torch::full({trials}, std::numeric_limits<double>::quiet_NaN(), losses);
    best_prior_ = torch::zeros({trials}, losses);
    curve_ = torch::zeros({points_of_curve() + 1, trials}, losses);  // the last row takes what is between the points
    alive_ = torch::ones({trials}, start.options().dtype(torch::kBool));
    ended_ = torch::full({trials}, options.iterations + 1, points_.options());
    taken_ = torch::zeros_like(alive_);
  }

  // Evaluates where the trials stand, and steps.
  void iterate() {
    const Tensor gradient = judge();
    const Tensor direction = options_.sign ? gradient.sign() : gradient;
    first_.mul_(kBeta1).add_(direction, 1 - kBeta1);
    second_.mul_(kBeta2).addcmul_(direction, direction, 1 - kBeta2);
    const Tensor rate = rates_.index_select(0, iteration_), root = roots_.index_select(0, iteration_);
    z_.add_(first_ * rate / (second_.sqrt() / root).add_(kEpsilon));
    if (options_.box) z_.copy_(torch::min(torch::max(z_, low_), high_));
    iteration_.add_(1);
  }

  // Evaluates where the trials stand: notes the losses, keeps what is better. @return the gradient of the objective by
  // z.
  Tensor judge() {
    const Tensor pixels = units_.to_pixels(z_);
    const auto [losses, matched] = matching_.at(pixels);
    const Prior prior(z_, pixels, units_.deviation(), options_, trials_);
    const Tensor gradient = matched * units_.deviation() + prior.gradient;
    const Tensor objective = losses + prior.values;
    const Tensor finite =
        torch::isfinite(objective).logical_and(torch::isfinite(gradient).reshape({trials_, -1}).all(1));
    ended_.copy_(torch::where(alive_.logical_and(finite.logical_not()), iteration_, ended_));
    alive_.logical_and_(finite);
    curve_.index_copy_(0, points_.index_select(0, iteration_), losses.unsqueeze(0));
    const Tensor better = options_.keep == Keep::kLast ? alive_ : alive_.logical_and(objective < best_);
    taken_.logical_or_(better);
    best_.copy_(torch::where(better, objective, best_));
    best_loss_.copy_(torch::where(better, losses, best_loss_));
    best_prior_.copy_(torch::where(better, prior.values, best_prior_));
    const auto each = [&](const Tensor& images) { return images.view({trials_, -1}); };
    each(best_images_).copy_(torch::where(better.unsqueeze(1), each(pixels), each(best_images_)));
    return gradient;
  }

  [[nodiscard]] bool any_alive() const { return alive_.any().item<bool>(); }

  void write(std::span<Trial> trials) const {
    const Tensor ended = ended_.to(torch::kCPU), taken = taken_.to(torch::kCPU), losses = best_loss_.to(torch::kCPU),
                 priors = best_prior_.to(torch::kCPU), curve = curve_.to(torch::kCPU);
    const std::int64_t batch = z_.size(0) / trials_;
    for (std::int64_t t = 0; t < trials_; ++t) {
      Trial& trial = trials[t];
      const auto end = ended[t].item<std::int64_t>();
      if (end <= options_.iterations) {
        trial.status = Status::kDiverged;
        trial.reason = fmt::format("the matching loss or its gradient is not finite at iteration {}", end);
      }
      for (std::int64_t i = 0; i <= options_.iterations && i < end; i += stride_) {
        trial.curve.iteration.push_back(i);
        trial.curve.matching_loss.push_back(curve[i / stride_][t].item<double>());
      }
      if (!taken[t].item<bool>()) continue;
      trial.matching_loss = losses[t].item<double>();
      trial.prior = priors[t].item<double>();
      trial.images = best_images_.narrow(0, t * batch, batch);
    }
  }

 private:
  [[nodiscard]] std::int64_t points_of_curve() const { return options_.iterations / stride_ + 1; }

  const Evaluation& matching_;
  const Units& units_;
  const InversionOptions& options_;
  std::int64_t trials_;
  Tensor z_, low_, high_, first_, second_, best_images_;
  std::int64_t stride_;
  Tensor rates_, roots_, points_;  // of each iteration: Adam's rate, its second moment's correction, the curve's point
  Tensor iteration_;               // (1)
  Tensor best_, best_loss_,
      best_prior_;  // (trials): the lowest objective, and its parts, the matching loss and the priors
  Tensor curve_, alive_, ended_, taken_;
};

}  // namespace

Units::Units(const nets::Spec& spec, const torch::TensorOptions& options)
    : mean_(torch::zeros({1, 1, 1, 1}, options)), deviation_(torch::ones({1, 1, 1, 1}, options)) {
  if (spec.mean.empty()) return;
  mean_ = torch::tensor(spec.mean, torch::kFloat64).view({1, -1, 1, 1}).to(options);
  deviation_ = torch::tensor(spec.deviation, torch::kFloat64).view({1, -1, 1, 1}).to(options);
}

void descend(const Evaluation& matching, const Units& units, const Tensor& z, const InversionOptions& options,
             std::span<Trial> trials) {
  const auto device = z.device();
  Descent descent(matching, units, z, options, static_cast<std::int64_t>(trials.size()));
  core::Recording iterate(matching.reads_back ? torch::kCPU : device, [&] { descent.iterate(); });
  const std::int64_t look = device.is_cpu() ? 1 : kLook;
  bool alive = true;
  for (std::int64_t i = 0; i < options.iterations && alive; ++i) {
    core::throw_if_stopped();
    iterate();
    if ((i + 1) % look == 0) {
      iterate.wait();
      alive = descent.any_alive();
    }
  }
  iterate.wait();
  if (alive) (void)descent.judge();  // the last evaluation only judges the last step
  descent.write(trials);
}

}  // namespace pellucid::inversion
