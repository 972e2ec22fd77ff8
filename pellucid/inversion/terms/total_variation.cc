// The total variation of the images in the network's units, mean|dz/dx| + mean|dz/dy| over a trial's batch.
#include "pellucid/inversion/terms.h"

namespace pellucid::inversion {

Term total_variation(const Problem& /*problem*/, const Units& /*units*/, double weight) {
  return [weight](const Candidate& candidate, Evaluated& sum) {
    const Tensor& z = candidate.standardised;
    const auto each = [&](const Tensor& t) { return t.reshape({candidate.trials, -1}); };
    const Tensor dx = z.slice(3, 1) - z.slice(3, 0, -1), dy = z.slice(2, 1) - z.slice(2, 0, -1);
    sum.losses.add_(weight * (each(dx).abs().mean(1) + each(dy).abs().mean(1)).to(torch::kFloat64));
    const auto share = [&](const Tensor& t) {
      return weight * static_cast<double>(candidate.trials) / static_cast<double>(t.numel());
    };
    const Tensor sx = dx.sign() * share(dx), sy = dy.sign() * share(dy);
    sum.gradient.slice(3, 1).add_(sx);
    sum.gradient.slice(3, 0, -1).sub_(sx);
    sum.gradient.slice(2, 1).add_(sy);
    sum.gradient.slice(2, 0, -1).sub_(sy);
  };
}

}  // namespace pellucid::inversion
