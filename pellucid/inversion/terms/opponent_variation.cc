// The total variation of the images in the network's units by the length of each pixel's gradient, of every channel and
// of the difference of every two (double opponents: red and green, red and blue, green and blue), so that edges of the
// channels are drawn to the same places. One channel has no opponents.
//
// Source: Geiping's breaching, regularizers.py, with inner exponent 2 and outer exponent 1/2. Deviates: nothing is
// differenced across the border, where the published code takes what lies outside for zero; any number of channels.
#include "pellucid/inversion/terms.h"

namespace pellucid::inversion {

Term opponent_variation(const Problem& /*problem*/, const Units& /*units*/, double weight) {
  constexpr double kSquareOfNothing = 1e-16;  // of a gradient's length, so that it has a derivative at zero
  return [weight](const Candidate& candidate, Evaluated& sum) {
    const Tensor& z = candidate.standardised;
    const std::int64_t channels = z.size(1);
    std::vector<Tensor> planes = {z};
    for (std::int64_t a = 0; a < channels; ++a) {
      for (std::int64_t b = a + 1; b < channels; ++b) planes.push_back(z.narrow(1, a, 1) - z.narrow(1, b, 1));
    }
    const Tensor all = torch::cat(planes, 1);
    Tensor dx = torch::zeros_like(all), dy = torch::zeros_like(all);
    dx.slice(3, 0, -1).copy_(all.slice(3, 1) - all.slice(3, 0, -1));
    dy.slice(2, 0, -1).copy_(all.slice(2, 1) - all.slice(2, 0, -1));
    const Tensor length = (dx.square() + dy.square() + kSquareOfNothing).sqrt();
    sum.losses.add_(weight * length.reshape({candidate.trials, -1}).mean(1).to(torch::kFloat64));

    const double share = weight * static_cast<double>(candidate.trials) / static_cast<double>(all.numel());
    dx.mul_(share).div_(length);
    dy.mul_(share).div_(length);
    Tensor gradient = -dx - dy;
    gradient.slice(3, 1).add_(dx.slice(3, 0, -1));
    gradient.slice(2, 1).add_(dy.slice(2, 0, -1));
    sum.gradient.add_(gradient.narrow(1, 0, channels));
    std::int64_t pair = channels;
    for (std::int64_t a = 0; a < channels; ++a) {
      for (std::int64_t b = a + 1; b < channels; ++b, ++pair) {
        sum.gradient.narrow(1, a, 1).add_(gradient.narrow(1, pair, 1));
        sum.gradient.narrow(1, b, 1).sub_(gradient.narrow(1, pair, 1));
      }
    }
  };
}

}  // namespace pellucid::inversion
