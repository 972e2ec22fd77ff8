// Several tries at the same images, each at those that the tries before it left standing.
#pragma once

#include "pellucid/evasion/objective.h"

namespace pellucid::evasion {

/// Some of a batch's images.
struct Standing {
  Tensor which;                ///< (b) int64: their rows in the batch
  Tensor images, labels, ids;  ///< (b, ...)
};

/// Runs `attempt(k, standing)`, k = 0, ..., attempts-1, which returns points for the images it is given, (b, C, H, W).
/// An image stands until the model errs at its point.
/// @return (B, C, H, W): each image's last point.
template <typename Attempt>
[[nodiscard]] Tensor attack_standing(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                                     std::int64_t attempts, Attempt attempt) {
  Tensor result = images.clone();
  Standing standing{.which = torch::arange(images.size(0)), .images = images, .labels = labels, .ids = ids};
  for (std::int64_t k = 0; k < attempts && standing.which.size(0) > 0; ++k) {
    const Tensor points = attempt(k, standing);
    result.index_copy_(0, standing.which, points);
    const torch::NoGradGuard no_gradient;
    const Tensor stand = errs(model(points), standing.labels).logical_not();
    standing = {.which = standing.which.index({stand}),
                .images = standing.images.index({stand}),
                .labels = standing.labels.index({stand}),
                .ids = standing.ids.index({stand})};
  }
  return result;
}

}  // namespace pellucid::evasion
