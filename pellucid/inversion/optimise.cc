#include "pellucid/inversion/optimise.h"

#include "pellucid/core/recording.h"
#include "pellucid/core/stop.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/optimisers.h"
#include "pellucid/inversion/solvers.h"
#include "pellucid/inversion/starts.h"
#include "pellucid/inversion/terms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <numbers>

namespace pellucid::inversion {
namespace {

constexpr double kLastRate = 1e-3;  // of the first, at the end of a cosine
constexpr std::int64_t kCurvePoints = 100;
constexpr std::int64_t kLook = 100;  // iterations between looks at a device: whether every trial has diverged

// The row of that name. @pre there is one, which the settings check.
template <typename Row>
const Row& named(const std::vector<Row>& rows, const std::string& name) {
  return *std::ranges::find(rows, name, &Row::name);
}

std::vector<double> learning_rates(const Attack& attack) {
  std::vector<double> rates;
  for (std::int64_t i = 0; i <= attack.iterations; ++i) rates.push_back(learning_rate(attack, i));
  return rates;
}

// The state of a descent, all of it on the device; an iteration changes it in place and reads nothing back.
class Descent {
 public:
  Descent(const Matching& matching, const Term& preferred, const Units& units, const Beginning& begin,
          const Attack& attack, std::int64_t trials)
      : matching_(matching),
        units_(units),
        attack_(attack),
        prior_(preferred),
        trials_(trials),
        z_(begin.z.clone()),
        labels_(begin.labels),
        step_(named(optimisers(), attack.optimiser).make(moved(z_, labels_), trials, learning_rates(attack))),
        low_(units.from_pixels(torch::zeros_like(z_))),
        high_(units.from_pixels(torch::ones_like(z_))),
        best_images_(torch::zeros_like(z_)),
        stride_(std::max<std::int64_t>(1, (attack.iterations + kCurvePoints - 1) / kCurvePoints)) {
    if (labels_.defined()) {
      labels_ = labels_.clone();
      best_labels_ = torch::zeros_like(labels_);
    }
    const auto losses = z_.options().dtype(torch::kFloat64);
    std::vector<std::int64_t> points;
    for (std::int64_t i = 0; i <= attack.iterations; ++i)
      points.push_back(i % stride_ == 0 ? i / stride_ : points_of_curve());
    points_ = torch::tensor(points, torch::kInt64).to(z_.device());
    iteration_ = torch::zeros({1}, points_.options());
    hardness_ = torch::linspace(1, 0, attack.iterations + 1, z_.options());
    if (attack.langevin > 0) {
      noise_ = torch::zeros_like(z_);
      loudness_ = attack.langevin * torch::tensor(learning_rates(attack), torch::kFloat64).to(z_.options());
    }
    best_ = torch::full({trials}, std::numeric_limits<double>::infinity(), losses);
    best_loss_ = torch::full({trials}, std::numeric_limits<double>::quiet_NaN(), losses);
    best_prior_ = torch::zeros({trials}, losses);
    curve_ = torch::zeros({points_of_curve() + 1, trials}, losses);  // the last row takes what is between the points
    alive_ = torch::ones({trials}, z_.options().dtype(torch::kBool));
    ended_ = torch::full({trials}, attack.iterations + 1, points_.options());
    taken_ = torch::zeros_like(alive_);
  }

  // The noise of the next iteration; to be set before it, from the host. @pre the attack has `langevin`.
  void set_noise(const Tensor& noise) { noise_.copy_(noise); }

  // Evaluates where the trials stand, and steps.
  void iterate() {
    auto [gradient, by_labels] = judge();
    if (noise_.defined()) gradient = gradient + noise_ * loudness_.index_select(0, iteration_);
    Tensor all = moved(z_, labels_);
    step_(all, fed(moved(gradient, by_labels)), iteration_);
    if (labels_.defined()) {
      z_.copy_(all.slice(1, 0, z_.numel() / trials_).reshape_as(z_));
      labels_.copy_(all.slice(1, z_.numel() / trials_).reshape_as(labels_));
    }
    if (attack_.box) z_.copy_(torch::min(torch::max(z_, low_), high_));
    iteration_.add_(1);
  }

  // Evaluates where the trials stand: notes the losses, keeps what is better. @return the gradient of the objective by
  // z, and by the values of which joint labels are the softmax.
  std::pair<Tensor, Tensor> judge() {
    const Tensor pixels = units_.to_pixels(z_), labels = labels_.defined() ? labels_.softmax(1) : Tensor();
    const auto matched = matching_.at(pixels, labels);
    const Tensor& losses = matched.losses;
    const auto preferred = evaluate(prior_, {.trials = trials_, .pixels = pixels, .standardised = z_});
    const Tensor gradient = matched.gradient * units_.deviation() + preferred.gradient;
    const Tensor objective = losses + preferred.losses;
    const Tensor finite =
        torch::isfinite(objective).logical_and(torch::isfinite(gradient).reshape({trials_, -1}).all(1));
    ended_.copy_(torch::where(alive_.logical_and(finite.logical_not()), iteration_, ended_));
    alive_.logical_and_(finite);
    curve_.index_copy_(0, points_.index_select(0, iteration_), losses.unsqueeze(0));
    const Tensor better = attack_.keep == Keep::kLast ? alive_ : alive_.logical_and(objective < best_);
    taken_.logical_or_(better);
    best_.copy_(torch::where(better, objective, best_));
    best_loss_.copy_(torch::where(better, losses, best_loss_));
    best_prior_.copy_(torch::where(better, preferred.losses, best_prior_));
    const auto each = [&](const Tensor& values) { return values.view({trials_, -1}); };
    each(best_images_).copy_(torch::where(better.unsqueeze(1), each(pixels), each(best_images_)));
    if (!labels_.defined()) return {gradient, Tensor()};
    each(best_labels_).copy_(torch::where(better.unsqueeze(1), each(labels), each(best_labels_)));
    return {gradient, labels * (matched.by_labels - (labels * matched.by_labels).sum(1, true))};
  }

  [[nodiscard]] bool any_alive() const { return alive_.any().item<bool>(); }

  void write(std::span<Trial> trials) const {
    const Tensor ended = ended_.to(torch::kCPU), taken = taken_.to(torch::kCPU), losses = best_loss_.to(torch::kCPU),
                 priors = best_prior_.to(torch::kCPU), curve = curve_.to(torch::kCPU);
    const std::int64_t batch = z_.size(0) / trials_;
    for (std::int64_t t = 0; t < trials_; ++t) {
      Trial& trial = trials[t];
      const auto end = ended[t].item<std::int64_t>();
      if (end <= attack_.iterations) {
        trial.status = Status::kDiverged;
        trial.reason = fmt::format("the matching loss or its gradient is not finite at iteration {}", end);
      }
      for (std::int64_t i = 0; i <= attack_.iterations && i < end; i += stride_) {
        trial.curve.iteration.push_back(i);
        trial.curve.matching_loss.push_back(curve[i / stride_][t].item<double>());
      }
      if (!taken[t].item<bool>()) continue;
      trial.matching_loss = losses[t].item<double>();
      trial.prior = priors[t].item<double>();
      trial.images = best_images_.narrow(0, t * batch, batch);
      if (!labels_.defined()) continue;
      for (const auto& of_image : best_labels_.narrow(0, t * batch, batch).unbind(0))
        trial.labels.push_back(of_image.argmax().item<std::int64_t>());
    }
  }

 private:
  // What the optimiser moves: the images, (trials * B, C, H, W), or beside them each trial's labels, (trials, values).
  [[nodiscard]] Tensor moved(const Tensor& images, const Tensor& labels) const {
    if (!labels.defined()) return images;
    return torch::cat({images.reshape({trials_, -1}), labels.reshape({trials_, -1})}, 1);
  }
  // What the optimiser is fed of a gradient.
  [[nodiscard]] Tensor fed(const Tensor& gradient) const {
    if (attack_.sign == Sign::kNone) return gradient;
    if (attack_.sign == Sign::kHard) return gradient.sign();
    const Tensor s = hardness_.index_select(0, iteration_);
    return (gradient * s).tanh() / s;
  }
  [[nodiscard]] std::int64_t points_of_curve() const { return attack_.iterations / stride_ + 1; }

  const Matching& matching_;
  const Units& units_;
  const Attack& attack_;
  const Term& prior_;
  std::int64_t trials_;
  Tensor z_, labels_;  // where the trials stand; the labels as `Beginning` has them
  Step step_;
  Tensor low_, high_, best_images_, best_labels_;
  std::int64_t stride_;
  Tensor points_;     // of each iteration: its point of the curve
  Tensor iteration_;  // (1)
  Tensor hardness_;   // of each iteration: s of the soft sign
  Tensor noise_;      // of the iteration at hand
  Tensor loudness_;   // of each iteration: what the noise is multiplied by
  Tensor best_, best_loss_,
      best_prior_;  // (trials): the lowest objective, and its parts, the matching loss and the priors
  Tensor curve_, alive_, ended_, taken_;
};

}  // namespace

double learning_rate(const Attack& attack, std::int64_t iteration) {
  double rate = attack.learning_rate;
  const auto n = static_cast<double>(attack.iterations), i = static_cast<double>(iteration);
  if (iteration < attack.warm_up) rate *= i / static_cast<double>(attack.warm_up);
  switch (attack.decay) {
    case Decay::kNone: break;
    case Decay::kCosine: return rate * ((1 + std::cos(std::numbers::pi * i / n)) / 2 + kLastRate);
    case Decay::kStep:
      for (const double share : {2.667, 1.6, 1.142}) {
        // Python's n // share: 4800 // 1.6 is 2999.
        const double milestone = std::round((n - std::fmod(n, share)) / share);
        if (i >= milestone) rate *= 0.1;
      }
  }
  return rate;
}

void descend(const Matching& matching, const Term& preferred, const Units& units, const Beginning& begin,
             const Attack& attack, std::span<Trial> trials) {
  const auto device = begin.z.device();
  Descent descent(matching, preferred, units, begin, attack, static_cast<std::int64_t>(trials.size()));
  core::Recording iterate(matching.reads_back ? torch::kCPU : device, [&] { descent.iterate(); });
  const std::int64_t look = device.is_cpu() ? 1 : kLook;
  bool alive = true;
  for (std::int64_t i = 0; i < attack.iterations && alive; ++i) {
    core::throw_if_stopped();
    if (attack.langevin > 0) {
      iterate.wait();  // the device may still be at the last one's
      descent.set_noise(begin.noise(i));
    }
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

std::vector<Trial> optimise(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                            std::int64_t count, const torch::Device& device) {
  const auto labels = finds_labels(attack) ? std::vector<std::int64_t>(observation.update.protocol.batch_size, 0)
                                           : infer_labels(observation, attack.labels);
  return descend_on(make_problem(observation, attack, labels), observation.id, attack, first, count, device);
}

std::optional<std::string> optimise_lacks(const sharing::Observation& /*observation*/, const Attack& attack) {
  if (attack.labels != kJointLabels || attack.functional == Functional::kLoss) return std::nullopt;
  return "labels: joint are found through the loss (got the functional residual); expected functional = loss";
}

std::vector<Trial> descend_on(const Problem& problem, std::int64_t id, const Attack& attack, std::int64_t first,
                              std::int64_t count, const torch::Device& device) {
  static std::mutex one_recording;  // CUDA records one graph at a time
  const auto alone = device.is_cpu() ? std::unique_lock<std::mutex>() : std::unique_lock(one_recording);
  const core::Tf32 strictly(device, false);
  const Matching matching = make_matching(problem, attack, count, device);
  const auto& spec = problem.architecture.spec;
  const std::vector<std::int64_t> shape = {problem.protocol.batch_size, spec.input[0], spec.input[1], spec.input[2]};
  // Drawn for each restart by itself: draw(a stream) of each, one after the other.
  const auto each = [&](const std::string& purpose, const auto& draw) {
    std::vector<Tensor> drawn;
    for (std::int64_t t = first; t < first + count; ++t)
      drawn.push_back(draw(core::Stream(attack.seed, purpose, static_cast<std::uint64_t>(t))));
    return torch::cat(drawn);
  };
  const auto kind =
      torch::TensorOptions(device).dtype(attack.precision == Precision::kFloat64 ? torch::kFloat64 : torch::kFloat32);
  std::vector<Trial> trials(static_cast<std::size_t>(count));
  for (auto& trial : trials) trial.method = matching.method;
  const Tensor z = each(fmt::format("inversion start {}", id), [&](const core::Stream& stream) {
    return named(starts(), attack.start).draw(stream, shape, Units(spec));
  });
  const auto noise = [&](std::int64_t iteration) {
    return each(fmt::format("inversion noise {} {}", id, iteration),
                [&](const core::Stream& stream) { return core::normal(stream, shape); });
  };
  Tensor labels;
  if (attack.labels == kJointLabels && problem.functional == Functional::kLoss)
    labels = each(fmt::format("inversion labels {}", id), [&](const core::Stream& stream) {
               return core::normal(stream, {shape.front(), spec.classes});
             }).to(kind);
  const Units units(spec, kind);
  descend(matching, prior(attack, problem, units), units, {.z = z.to(kind), .noise = noise, .labels = labels}, attack,
          trials);
  return trials;
}

}  // namespace pellucid::inversion
