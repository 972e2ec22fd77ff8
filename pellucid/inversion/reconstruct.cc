#include "pellucid/inversion/reconstruct.h"

#include "pellucid/core/error.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/recording.h"
#include "pellucid/core/tensor.h"
#include "pellucid/core/text.h"
#include "pellucid/inversion/descent.h"
#include "pellucid/inversion/engine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>
#include <numbers>

namespace pellucid::inversion {
namespace {

constexpr double kGreyNoise = 0.01;
constexpr double kLastRate = 1e-3;        // of the first, at the end of a cosine
constexpr std::int64_t kPack = 4;         // trials in one engine, at most: each adds memory
constexpr std::int64_t kDevicePack = 64;  // on a device, where more trials keep it busy

Tensor start(const sharing::Observation& observation, const InversionOptions& options, const Units& units,
             std::int64_t restart) {
  std::vector<std::int64_t> shape = {observation.update.batch_size};
  for (auto n : observation.network.architecture.spec.input) shape.push_back(n);
  const core::Stream stream(options.seed, fmt::format("inversion start {}", observation.id), restart);
  switch (options.start) {
    case Start::kNormal: return core::normal(stream, shape);
    case Start::kUniform: return units.from_pixels(core::uniform(stream, shape));
    case Start::kGrey: return units.from_pixels(0.5 + kGreyNoise * core::normal(stream, shape));
    case Start::kZero: break;
  }
  return units.from_pixels(torch::zeros(shape));
}

Evaluation by_double_backward(const Problem& problem, const InversionOptions& options, const torch::Device& device,
                              const std::string& why) {
  const auto precision = options.precision == Precision::kFloat64 ? Precision::kFloat64 : Precision::kFloat32;
  auto matching = std::make_shared<Matching>(on(problem, device), precision);
  const std::int64_t batch = problem.batch_size;
  return {.method = fmt::format("double backward, {}{}", precision == Precision::kFloat64 ? "float64" : "float32", why),
          .at =
              [matching, batch](const Tensor& pixels) {
                std::vector<Tensor> gradients;
                std::vector<double> losses;
                for (std::int64_t i = 0; i < pixels.size(0); i += batch) {
                  Matched matched = (*matching)(pixels.narrow(0, i, batch));
                  losses.push_back(matched.matching_loss);
                  gradients.push_back(std::move(matched.gradient));
                }
                return Evaluated{.losses = torch::tensor(losses, torch::kFloat64).to(pixels.device()),
                                 .gradient = torch::cat(gradients)};
              },
          .reads_back = true};
}

Evaluation by_tensors(const Problem& problem, const InversionOptions& options, std::int64_t trials,
                      const torch::Device& device) {
  if (const auto reason = TensorEngine::lacks(problem.architecture))
    return by_double_backward(problem, options, device, fmt::format(": the network has {}", *reason));
  auto engine = std::make_shared<TensorEngine>(problem, trials, options.precision, device);
  constexpr auto kNames = std::to_array<std::pair<Precision, const char*>>({{Precision::kFloat32, "float32"},
                                                                            {Precision::kTf32, "tf32"},
                                                                            {Precision::kMixed, "mixed"},
                                                                            {Precision::kFloat64, "float64"}});
  const auto name = std::ranges::find(kNames, options.precision, &std::pair<Precision, const char*>::first);
  return {.method = fmt::format("tensor engine, {}", name->second),
          .at = [engine](const Tensor& pixels) { return engine->evaluate(pixels); }};
}

Evaluation evaluation(const Problem& problem, const InversionOptions& options, std::int64_t trials,
                      const torch::Device& device) {
  if (options.method == Method::kDoubleBackward) return by_double_backward(problem, options, device, "");
  if (options.method == Method::kTensor || !device.is_cpu()) return by_tensors(problem, options, trials, device);
  if (options.precision == Precision::kFloat64)
    return by_double_backward(problem, options, device, ": the engine has no float64");
  if (const auto reason = Engine::lacks(problem.architecture))
    return by_double_backward(problem, options, device, fmt::format(": the network has {}", *reason));
  const bool asked = options.precision == Precision::kMixed, mixed = asked && has_brain_floats();
  auto engine = std::make_shared<Engine>(problem, trials, mixed ? Precision::kMixed : Precision::kFloat32);
  return {.method = fmt::format("engine, {}", mixed   ? "mixed"
                                              : asked ? "float32: this processor has no brain floats for mixed"
                                                      : "float32"),
          .at = [engine, trials](const Tensor& pixels) {
            std::vector<double> losses(trials);
            const Tensor gradient = engine->evaluate(pixels, losses);
            return Evaluated{.losses = torch::tensor(losses, torch::kFloat64), .gradient = gradient};
          }};
}

// A sign that a descent has not reached what it could, or nothing; see `diagnose`.
std::optional<std::string> not_converged(const Trial& trial) {
  constexpr double kAbovePriors = 3, kRounding = 1e-4, kFalling = 0.9;
  const double loss = trial.matching_loss;
  if (!(loss > kRounding)) return std::nullopt;
  if (loss > kAbovePriors * trial.prior) {
    return fmt::format("the matching loss is {:.2g} where the priors cost {:.2g}, and on the true image it is about 0",
                       loss, trial.prior);
  }
  const auto& along = trial.curve.matching_loss;
  const auto before = along.empty() ? loss : along[(along.size() - 1) * 9 / 10];
  if (along.size() >= 10 && loss < kFalling * before) {
    return fmt::format("the matching loss fell from {:.2g} to {:.2g} in the last tenth of the iterations", before,
                       loss);
  }
  return std::nullopt;
}

}  // namespace

double learning_rate(const InversionOptions& options, std::int64_t iteration) {
  double rate = options.learning_rate;
  const auto n = static_cast<double>(options.iterations), i = static_cast<double>(iteration);
  switch (options.decay) {
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

std::string to_string(Status status) {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kDiverged: return "diverged";
    case Status::kNotApplicable: return "not_applicable";
  }
  return "";
}

std::vector<Trial> run_trials(const sharing::Observation& observation, const InversionOptions& options,
                              std::int64_t first, std::int64_t count, const torch::Device& device) {
  std::vector<Trial> trials(count);
  for (auto& trial : trials) trial.matching_loss = std::numeric_limits<double>::quiet_NaN();
  try {
    static std::mutex one_recording;  // CUDA records one graph at a time
    const auto alone = device.is_cpu() ? std::unique_lock<std::mutex>() : std::unique_lock(one_recording);
    const core::Tf32 strictly(device, false);
    const Evaluation matching =
        evaluation(make_problem(observation, options, infer_labels(observation)), options, count, device);
    for (auto& trial : trials) trial.method = matching.method;
    const auto& spec = observation.network.architecture.spec;
    const auto kind = torch::TensorOptions(device).dtype(options.precision == Precision::kFloat64 ? torch::kFloat64
                                                                                                  : torch::kFloat32);
    std::vector<Tensor> starts;
    for (std::int64_t t = 0; t < count; ++t) starts.push_back(start(observation, options, Units(spec), first + t));
    descend(matching, Units(spec, kind), torch::cat(starts).to(kind), options, trials);
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::kUsage && error.kind() != core::ErrorKind::kModel) throw;
    for (auto& trial : trials) {
      trial.status = Status::kNotApplicable;
      trial.reason = error.what();
    }
  }
  for (auto& trial : trials) {
    if (trial.images.defined())
      trial.images = trial.images.detach().to(torch::kCPU, torch::kFloat32).clamp(0, 1).clone();
  }
  return trials;
}

Trial run_trial(const sharing::Observation& observation, const InversionOptions& options, std::int64_t restart) {
  return run_trials(observation, options, restart, 1).front();
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

void check_applies(const sharing::Observation& observation, const InversionOptions& options) {
  sharing::require_memory(observation.network.architecture, observation.update.batch_size);
  static_cast<void>(make_problem(observation, options, infer_labels(observation)));
}

Reconstruction reconstruct(const sharing::Observation& observation, const InversionOptions& options,
                           const core::Run& run) {
  sharing::require_memory(observation.network.architecture, observation.update.batch_size);
  const torch::Device device(run.device);
  check_precision(options.precision, device);
  const std::int64_t streams = device.is_cpu() ? std::max(run.threads, 1) : 1;  // a device is kept busy by one
  const std::int64_t pack =
      std::clamp<std::int64_t>((options.restarts + streams - 1) / streams, 1, device.is_cpu() ? kPack : kDevicePack);
  std::vector<Trial> trials(options.restarts);
  std::mutex mutex;
  std::int64_t done = 0;
  core::parallel_for((options.restarts + pack - 1) / pack, static_cast<int>(streams), [&](std::int64_t p) {
    const std::int64_t first = p * pack;
    auto packed = run_trials(observation, options, first, std::min(pack, options.restarts - first), device);
    std::lock_guard lock(mutex);
    const double loss = packed.front().matching_loss;
    done += static_cast<std::int64_t>(packed.size());
    std::move(packed.begin(), packed.end(), trials.begin() + first);
    run.report({.task = "invert",
                .done = done,
                .total = options.restarts,
                .unit = "restarts",
                .note = fmt::format("matching loss {:.3g}", loss)});
  });
  return choose(std::move(trials));
}

core::Json to_json(const std::vector<Diagnosis>& diagnoses) {
  core::Json list = core::Json::array();
  for (const auto& d : diagnoses) list.push_back({{"code", d.code}, {"sentence", d.sentence}});
  return list;
}

namespace {

std::string class_name(const sharing::Observation& observation, std::int64_t label) {
  const auto& names = observation.network.classes;
  return names.empty() ? std::to_string(label) : core::quoted(names.at(static_cast<std::size_t>(label)));
}

// What the last bias's gradient says of the labels. It is the mean over the images of p - onehot(label): for a class of
// n of B images, -n/B plus a mean probability. Only these classes can be negative, none below -n/B, and the sum is
// zero.
std::vector<Diagnosis> check_labels(const sharing::Observation& observation, Functional functional) {
  const Tensor residual = residual_at_logits(observation).to(torch::kFloat64);
  const auto batch = static_cast<double>(observation.update.batch_size);
  // Float32's, of probabilities and of their mean.
  const double rounding = 1e-6 + 1e-5 * residual.abs().max().item<double>();
  const auto negative = residual.lt(-rounding).sum().item<std::int64_t>();
  if (std::abs(residual.sum().item<double>()) > rounding + 1e-3 * residual.abs().sum().item<double>() ||
      negative > observation.update.batch_size) {
    return {
        {"not-as-described",
         fmt::format("the last bias's gradient is not that of the mean cross-entropy over {} image{}, where at most as "
                     "many classes are negative (got {}) "
                     "and the sum is zero: the update was changed (noise, compression), or is of more images or steps",
                     observation.update.batch_size, observation.update.batch_size == 1 ? "" : "s", negative)}};
  }
  if (observation.labels.empty()) return {};
  Tensor probability = residual.clone();  // the mean of each class's, if the labels are right
  for (const auto label : observation.labels) probability[label] += 1 / batch;
  const auto least = probability.argmin().item<std::int64_t>(), most = probability.argmax().item<std::int64_t>();
  if (probability[least].item<double>() >= -rounding && probability[most].item<double>() <= 1 + rounding) return {};
  return {{"wrong-label", fmt::format("the labels that were shared contradict the gradient: it holds more images of "
                                      "class {} than were named, and fewer of {}; {}",
                                      class_name(observation, least), class_name(observation, most),
                                      functional == Functional::kLoss ? "the attack matched the wrong ones"
                                                                      : "this attack does not use them")}};
}

}  // namespace

std::vector<Diagnosis> diagnose(const sharing::Observation& observation, const InversionOptions& options,
                                const Reconstruction& reconstruction) {
  std::vector<Diagnosis> causes;
  const auto& layers = observation.network.architecture.layers;
  const Trial& trial = reconstruction.trials[reconstruction.chosen];
  if (trial.status == Status::kDiverged) causes.push_back({"diverged", trial.reason});
  if (trial.status == Status::kNotApplicable) causes.push_back({"not-applicable", trial.reason});
  const double norm = sharing::gradient_norm(observation.update);
  if (norm < 1e-12)
    causes.push_back({"gradient-near-zero", fmt::format("the gradient is close to zero (norm {:.1e})", norm)});
  const bool linear = std::holds_alternative<nets::Linear>(layers.back().op);
  if (linear) {
    for (auto& cause : check_labels(observation, options.functional)) causes.push_back(std::move(cause));
  }
  if (linear && observation.update.batch_size == 1 && options.functional == Functional::kLoss) {
    const double true_class = residual_at_logits(observation).min().item<double>();
    if (true_class >= 0) {
      causes.push_back({"float32-rounding",
                        "float32 rounding: p(true) rounded to 1, so the true class is missing from the gradient; the "
                        "published attack "
                        "cannot match it, the residual attack can"});
    } else if (true_class > -1e-6) {
      causes.push_back(
          {"few-bits", fmt::format("float32 rounding: 1 - p(true) = {:.1e} has few correct bits left", -true_class)});
    }
  }
  const auto holds = [&](auto is_kind) {
    return std::any_of(layers.begin(), layers.end(), [&](const auto& l) { return is_kind(l.op); });
  };
  if (observation.update.mode == nets::Mode::kTraining) {
    if (holds([](const auto& op) { return std::holds_alternative<nets::Dropout>(op); })) {
      causes.push_back(
          {"dropout",
           "the client computed the gradient with dropout, and the attacker does not know what was dropped"});
    }
    if (holds([](const auto& op) { return std::holds_alternative<nets::BatchNorm>(op); })) {
      causes.push_back({"batch-norm",
                        "the client computed the gradient with batch norm in training mode: each layer subtracts the "
                        "batch's mean and divides by its "
                        "deviation, so brightness and contrast leave hardly a trace in the gradient"});
    }
  }
  if (const auto sign = not_converged(trial)) {
    causes.push_back({"not-converged", fmt::format("not converged: {}{}", *sign,
                                                   causes.empty() ? "; more iterations or restarts may help" : "")});
  }
  return causes;
}

}  // namespace pellucid::inversion
