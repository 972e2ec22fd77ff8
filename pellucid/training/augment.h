// Random crops and flips of training images.
#pragma once

#include "pellucid/training/options.h"

namespace pellucid::training {

/// Crops each image from itself padded with zeros, and mirrors half of them, as the options ask.
/// @param images (B, C, H, W).   @param ids (B) int64: what happens to image i depends on (seed, ids[i]) alone.
[[nodiscard]] Tensor augment(const Tensor& images, const Tensor& ids, const TrainingOptions& options);

}  // namespace pellucid::training
