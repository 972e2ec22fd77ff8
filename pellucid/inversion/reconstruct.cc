#include "pellucid/inversion/reconstruct.h"

#include "pellucid/core/error.h"
#include "pellucid/core/parallel.h"
#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/engine/tensor_engine.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/terms.h"
#include "pellucid/inversion/threat_model.h"

#include <algorithm>
#include <cmath>
#include <mutex>

namespace pellucid::inversion {
namespace {

constexpr std::int64_t kPack = 4;         // trials in one engine, at most: each adds memory
constexpr std::int64_t kDevicePack = 64;  // on a device, where more trials keep it busy

// For so many trials in one engine, or one for each round.
void require_memory(const sharing::Observation& observation, std::int64_t trials) {
  const auto rounds = static_cast<std::int64_t>(1 + observation.further.size());
  for (const auto times : {std::int64_t{1}, trials * rounds})  // first as the batch is: a file may claim any size
    sharing::require_memory(observation.network.architecture, times * observation.update.protocol.batch_size);
}

// Clamps what a solver gave and evaluates it.
void judge(const sharing::Observation& observation, const Attack& attack, const torch::Device& device,
           std::vector<Trial>& trials) {
  const auto exact = torch::TensorOptions(device).dtype(torch::kFloat64);
  const Units units(observation.network.architecture.spec, exact);
  Term preferred;
  std::vector<std::int64_t> labels;
  std::optional<DoubleBackward> reference;
  for (auto& trial : trials) {
    if (!trial.images.defined()) continue;
    if (trial.labels.empty()) trial.labels = infer_labels(observation, attack.labels);
    if (!reference || trial.labels != labels) {
      const auto problem = on(solver(attack).judged(observation, attack, labels = trial.labels), device);
      reference.emplace(problem, Precision::kFloat64);
      preferred = prior(attack, problem, units);
    }
    trial.images = trial.images.detach().to(torch::kCPU, torch::kFloat32).clamp(0, 1).clone();
    const Tensor pixels = trial.images.to(exact);
    trial.matching_loss = reference->loss(pixels);
    if (solver(attack).runs_presets) continue;
    const Candidate candidate{.trials = 1, .pixels = pixels, .standardised = units.from_pixels(pixels)};
    trial.prior = evaluate(preferred, candidate).losses.item<double>();
  }
}

}  // namespace

std::string to_string(Status status) {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kDiverged: return "diverged";
    case Status::kNotApplicable: return "not_applicable";
  }
  return "";
}

std::vector<Trial> run_trials(const sharing::Observation& given, const Attack& attack, std::int64_t first,
                              std::int64_t count, const torch::Device& device) {
  const auto observation = sharing::as_gradient(given);
  try {
    if (const auto reason = solver(attack).lacks(observation, attack))
      throw core::Error(core::ErrorKind::kUsage, "{}", *reason);
    check_threat_model(observation, attack);
    auto trials = solver(attack).solve(observation, attack, first, count, device);
    judge(observation, attack, device, trials);
    return trials;
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::kUsage && error.kind() != core::ErrorKind::kModel) throw;
    Trial none;
    none.status = Status::kNotApplicable;
    none.reason = error.what();
    return std::vector<Trial>(static_cast<std::size_t>(count), none);
  }
}

Trial run_trial(const sharing::Observation& observation, const Attack& attack, std::int64_t restart) {
  return run_trials(observation, attack, restart, 1).front();
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

void check_applies(const sharing::Observation& given, const Attack& attack) {
  const auto observation = sharing::as_gradient(given);
  require_memory(observation, 1);
  if (const auto reason = solver(attack).lacks(observation, attack))
    throw core::Error(core::ErrorKind::kUsage, "{}", *reason);
  check_threat_model(observation, attack);
  const auto any = std::vector<std::int64_t>(static_cast<std::size_t>(observation.update.protocol.batch_size), 0);
  const auto& row = solver(attack);
  static_cast<void>(
      row.judged(observation, attack, finds_labels(attack) ? any : infer_labels(observation, attack.labels)));
}

Reconstruction reconstruct(const sharing::Observation& observation, const Attack& attack, const core::Run& run) {
  require_memory(observation, 1);
  const torch::Device device(run.device);
  check_precision(attack.precision, device);
  const std::int64_t streams = device.is_cpu() ? std::max(run.threads, 1) : 1;  // a device is kept busy by one
  std::int64_t pack =
      std::clamp<std::int64_t>((attack.restarts + streams - 1) / streams, 1, device.is_cpu() ? kPack : kDevicePack);
  if (compares_restarts(attack)) {
    pack = attack.restarts;
    require_memory(observation, pack);
  }
  std::vector<Trial> trials(attack.restarts);
  std::mutex mutex;
  std::int64_t done = 0;
  core::parallel_for((attack.restarts + pack - 1) / pack, static_cast<int>(streams), [&](std::int64_t p) {
    const std::int64_t first = p * pack;
    auto packed = run_trials(observation, attack, first, std::min(pack, attack.restarts - first), device);
    std::lock_guard lock(mutex);
    const double loss = packed.front().matching_loss;
    done += static_cast<std::int64_t>(packed.size());
    std::move(packed.begin(), packed.end(), trials.begin() + first);
    run.report({.task = "invert",
                .done = done,
                .total = attack.restarts,
                .unit = "restarts",
                .note = fmt::format("matching loss {:.3g}", loss)});
  });
  return choose(std::move(trials));
}

}  // namespace pellucid::inversion
