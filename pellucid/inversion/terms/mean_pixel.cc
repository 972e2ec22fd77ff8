// The mean absolute pixel over a trial's batch.
#include "pellucid/inversion/terms.h"

namespace pellucid::inversion {

Term mean_pixel(const Problem& /*problem*/, const Units& units, double weight) {
  return [deviation = units.deviation(), weight](const Candidate& candidate, Evaluated& sum) {
    const Tensor& x = candidate.pixels;
    sum.losses.add_(weight * x.reshape({candidate.trials, -1}).abs().mean(1).to(torch::kFloat64));
    sum.gradient.add_(x.sign() * deviation,
                      weight * static_cast<double>(candidate.trials) / static_cast<double>(x.numel()));
  };
}

}  // namespace pellucid::inversion
