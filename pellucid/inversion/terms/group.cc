// How far a restart is from the mean of all, each shifted to where it fits the others best.
#include "pellucid/inversion/terms.h"

namespace pellucid::inversion {
namespace {

constexpr std::int64_t kReach = 2;  // pixels that a restart is shifted by, at most, along each axis

// Each image at the shift at which it is closest to `towards`, in squares. @param images (trials, B, C, H, W).
Tensor registered(const Tensor& images, const Tensor& towards) {
  std::vector<Tensor> shifted, distances;
  for (std::int64_t dy = -kReach; dy <= kReach; ++dy) {
    for (std::int64_t dx = -kReach; dx <= kReach; ++dx) {
      shifted.push_back(images.roll({dy, dx}, {3, 4}));
      distances.push_back((shifted.back() - towards).square().sum({2, 3, 4}));
    }
  }
  const Tensor closest = torch::stack(distances).argmin(0).view({1, images.size(0), images.size(1), 1, 1, 1});
  const Tensor all = torch::stack(shifted);
  return all.gather(0, closest.expand({1, -1, -1, all.size(3), all.size(4), all.size(5)})).squeeze(0);
}

}  // namespace

Term group(const Problem& problem, const Units& /*units*/, double weight) {
  return [batch = problem.protocol.batch_size, weight](const Candidate& candidate, Evaluated& sum) {
    const Tensor& z = candidate.standardised;
    const Tensor images = z.view({candidate.trials, batch, z.size(1), z.size(2), z.size(3)});
    const Tensor apart = images - registered(images, images.mean(0, /*keepdim=*/true)).mean(0, /*keepdim=*/true);
    sum.losses.add_(weight * apart.flatten(1).square().mean(1).to(torch::kFloat64));
    sum.gradient.add_(apart.view(z.sizes()),
                      2 * weight * static_cast<double>(candidate.trials) / static_cast<double>(z.numel()));
  };
}

}  // namespace pellucid::inversion
