// How far the statistics of a trial's batch, at each batch norm, are from those that are known of the client's.
#include "pellucid/inversion/terms.h"

namespace pellucid::inversion {

Term batch_norm(const Problem& problem, const Units& units, double weight) {
  const auto kind = units.deviation().options();
  nets::TensorMap state, known;
  for (const auto& [name, tensor] : problem.state)
    state[name] = tensor.is_floating_point() ? tensor.detach().to(kind) : tensor.to(kind.device());
  for (const auto& [name, tensor] : problem.statistics) known[name] = tensor.to(kind);
  return [architecture = problem.architecture, mode = problem.protocol.mode, batch = problem.protocol.batch_size, state,
          known, deviation = units.deviation(), weight](const Candidate& candidate, Evaluated& sum) {
    if (known.empty()) return;
    const Tensor x = candidate.pixels.detach().requires_grad_(true);
    std::vector<Tensor> distances;
    for (std::int64_t t = 0; t < candidate.trials; ++t) {
      Tensor distance = torch::zeros({}, x.options());
      for (const auto& [name, value] : nets::batch_statistics(architecture, state, x.narrow(0, t * batch, batch), mode))
        distance = distance + ((value - known.at(name)).square().sum() + 1e-20).sqrt();  // its root has a slope at 0
      distances.push_back(weight * distance);
    }
    const Tensor losses = torch::stack(distances);
    sum.gradient.add_(torch::autograd::grad({losses.sum()}, {x})[0] * deviation);
    sum.losses.add_(losses.detach().to(torch::kFloat64));
  };
}

}  // namespace pellucid::inversion
