#include "pellucid/inversion/best.h"

#include "pellucid/core/error.h"
#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/inversion/surrogate.h"

#include <limits>

namespace pellucid::inversion {
namespace {

constexpr std::int64_t kProbe = 30;  // a short trial takes a part of the iterations
constexpr std::int64_t kLong = 600;  // iterations from which on `ig` reads more where little is read off

bool ends_in_linear(const sharing::Observation& observation) {
  return std::holds_alternative<nets::Linear>(observation.network.architecture.layers.back().op);
}

// Whether the first linear layer, whose input `residual` reads off, takes few values for so large an image. What is
// read off then says little, and with a long descent `ig` goes further.
bool reads_little(const nets::Architecture& architecture) {
  const auto linear = std::ranges::find_if(
      architecture.layers, [](const nets::Layer& l) { return std::holds_alternative<nets::Linear>(l.op); });
  const auto& input = architecture.spec.input;
  return 4 * std::get<nets::Linear>(linear->op).in < input[0] * input[1] * input[2];
}

bool applies(const Attack& attack, const sharing::Observation& observation) {
  return !solver(attack).lacks(observation, attack);
}

}  // namespace

std::vector<Attack> parts_of_best(const sharing::Observation& observation, const Attack& attack) {
  const auto part = [&](const char* name) {
    Attack one = preset(name).attack;
    one.iterations = attack.iterations;
    one.restarts = attack.restarts;
    one.labels = attack.labels;
    one.mechanisms = attack.mechanisms;
    one.method = attack.method;
    one.precision = attack.precision;
    one.seed = attack.seed;
    one.threat_model = attack.threat_model;
    one.keep = Keep::kBest;
    return one;
  };
  const auto& protocol = observation.update.protocol;
  if (protocol.local.hidden) return {part("surrogate")};
  if (protocol.local.epochs > 0) return {part("surrogate"), part("unrolled")};
  if (const auto exact = part("analytic"); applies(exact, observation)) return {exact};
  std::vector<Attack> parts;
  for (const char* name : {"r-gap", "disaggregate", "cpa"}) {
    const bool of_one = std::string_view(name) == "r-gap";
    if (const auto exact = part(name); of_one == (protocol.batch_size == 1) && applies(exact, observation))
      parts.push_back(exact);
  }
  if (protocol.batch_size > 1 || !ends_in_linear(observation)) {
    parts.push_back(part("ig"));
    return parts;
  }
  Attack residual = part("residual"), published = part("ig");
  published.functional = Functional::kResidual;
  if (attack.iterations < kLong || !reads_little(observation.network.architecture)) parts.push_back(residual);
  parts.push_back(published);
  return parts;
}

std::optional<std::string> best_lacks(const sharing::Observation& observation, const Attack& attack) {
  std::optional<std::string> why;
  for (const auto& part : parts_of_best(observation, attack)) {
    try {
      check_applies(observation, part);
      return std::nullopt;
    } catch (const core::Error& error) {
      if (error.kind() != core::ErrorKind::kUsage && error.kind() != core::ErrorKind::kModel) throw;
      if (!why) why = error.what();
    }
  }
  return why;
}

std::vector<Trial> best(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                        std::int64_t count, const torch::Device& device) {
  const auto parts = parts_of_best(observation, attack);
  Attack chosen = parts.front();
  const std::int64_t probe = std::max<std::int64_t>(attack.iterations / kProbe, 1);
  if (parts.size() > 1) {
    double least = std::numeric_limits<double>::infinity();
    for (Attack part : parts) {
      part.iterations = probe;
      const auto trial = run_trials(observation, part, 0, 1, device).front();
      if (!trial.images.defined()) continue;
      const DoubleBackward common(on(judged_by_best(observation, attack, trial.labels), device), Precision::kFloat64);
      const double loss = common.loss(trial.images.to(device, torch::kFloat64));
      if (!(loss < least)) continue;
      least = loss;
      chosen = part;
    }
    const auto others = static_cast<std::int64_t>(parts.size()) - 1;
    chosen.iterations = std::max<std::int64_t>(attack.iterations - others * probe, 1);
  }
  return run_trials(observation, chosen, first, count, device);
}

Problem judged_by_best(const sharing::Observation& observation, const Attack& attack,
                       const std::vector<std::int64_t>& labels) {
  Attack common = attack;
  common.objective = Objective::kL2;
  common.features = 0;
  const auto& protocol = observation.update.protocol;
  if (protocol.local.hidden) return judged_by_surrogate(observation, preset("surrogate").attack, labels);
  const bool one = protocol.batch_size == 1 && protocol.local.epochs == 0 && ends_in_linear(observation);
  common.functional = one ? Functional::kResidual : Functional::kLoss;
  return make_problem(observation, common, labels);
}

}  // namespace pellucid::inversion
