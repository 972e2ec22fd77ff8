// Half the mean square of the images in the network's units, over a trial's batch.
#include "pellucid/inversion/terms.h"

namespace pellucid::inversion {

Term mean_square(const Problem& /*problem*/, const Units& /*units*/, double weight) {
  return [weight](const Candidate& candidate, Evaluated& sum) {
    const Tensor& z = candidate.standardised;
    sum.losses.add_(weight / 2 * z.reshape({candidate.trials, -1}).square().mean(1).to(torch::kFloat64));
    sum.gradient.add_(z, weight * static_cast<double>(candidate.trials) / static_cast<double>(z.numel()));
  };
}

}  // namespace pellucid::inversion
