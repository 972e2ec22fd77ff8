#include "pellucid/inversion/surrogate.h"

#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/optimise.h"
#include "pellucid/inversion/problem.h"

#include <array>

namespace pellucid::inversion {
namespace {

// What the client would have sent, had it sent the gradient at the network between.
sharing::Observation between(const sharing::Observation& observation, double share) {
  sharing::Observation at = observation;
  const double gradients = sharing::gradients_in(observation.update.protocol);
  at.update.protocol.local = {};
  for (auto& [name, change] : at.update.gradient) {
    Tensor& weights = at.network.state.at(name);
    weights = weights - share * change.to(weights.scalar_type());
    change = change / gradients;
  }
  return at;
}

}  // namespace

std::optional<std::string> surrogate_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  if (observation.update.protocol.local.epochs > 0) return std::nullopt;
  return "surrogate: is for the change of weights by several steps (got a gradient); use ig";
}

std::vector<Trial> surrogate(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                             std::int64_t count, const torch::Device& device) {
  constexpr auto kShares = std::to_array({0.5, 0.25, 0.75});
  std::vector<Trial> trials;
  for (std::int64_t t = first; t < first + count; ++t) {
    const double share = kShares[static_cast<std::size_t>(t) % kShares.size()];
    const auto at = between(observation, share);
    const auto labels = infer_labels(at, attack.labels);
    auto trial = descend_on(make_problem(at, attack, labels), at.id, attack, t, 1, device).front();
    trial.labels = labels;
    trial.method += fmt::format("; at {:.0f} % of the way", 100 * share);
    trials.push_back(std::move(trial));
  }
  return trials;
}

}  // namespace pellucid::inversion
