#include "pellucid/inversion/surrogate.h"

#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/optimise.h"

#include <array>

namespace pellucid::inversion {
namespace {

// A round as it were, had the client sent the gradient at the network between.
void move_between(nets::TensorMap& state, sharing::Update& update, double share) {
  const double gradients = sharing::gradients_in(update.protocol);
  update.protocol.local = {};
  for (auto& [name, change] : update.gradient) {
    Tensor& weights = state.at(name);
    weights = weights - share * change.to(weights.scalar_type());
    change = change / gradients;
  }
}

// What the client would have sent, had it sent that.
sharing::Observation between(const sharing::Observation& observation, double share) {
  sharing::Observation at = observation;
  move_between(at.network.state, at.update, share);
  for (auto& round : at.further) move_between(round.state, round.update, share);
  return at;
}

}  // namespace

std::optional<std::string> surrogate_lacks(const sharing::Observation& observation, const Attack& attack) {
  const auto& local = observation.update.protocol.local;
  if (local.hidden && !any_size(attack.objective)) {
    return fmt::format(
        "surrogate: objective: got {} with an unknown learning rate, expected cosine or angular, which do not need it",
        to_string(attack.objective));
  }
  if (local.epochs > 0) return std::nullopt;
  return "surrogate: is for the change of weights by several steps (got a gradient); use ig";
}

std::vector<Trial> surrogate(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                             std::int64_t count, const torch::Device& device) {
  constexpr auto kTimes = std::to_array({1.0, 0.5, 1.5});
  const bool hidden = observation.update.protocol.local.hidden;
  const auto steps = static_cast<double>(sharing::steps(observation.update.protocol));
  const double mean = hidden ? 0.5 : (steps - 1) / (2 * steps);
  std::vector<Trial> trials;
  for (std::int64_t t = first; t < first + count; ++t) {
    const double share = mean * kTimes[static_cast<std::size_t>(t) % kTimes.size()];
    const auto at = between(observation, share);
    const auto labels = infer_labels(hidden ? observation : at, attack.labels);
    auto problem = make_problem(at, attack, labels);
    problem.statistics = known_statistics(observation);
    auto trial = descend_on(problem, at.id, attack, t, 1, device).front();
    trial.labels = labels;
    trial.method += fmt::format("; at {:.0f} % of the way", 100 * share);
    trials.push_back(std::move(trial));
  }
  return trials;
}

Problem judged_by_surrogate(const sharing::Observation& observation, const Attack& attack,
                            const std::vector<std::int64_t>& labels) {
  return make_problem(observation.update.protocol.local.hidden ? between(observation, 0.5) : observation, attack,
                      labels);
}

}  // namespace pellucid::inversion
