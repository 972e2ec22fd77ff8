// Autoencoders: networks with an output for each pixel, which are to be the image that they were given.
#pragma once

#include "pellucid/nets/network.h"

namespace pellucid::nets {

/// @throws Error(kUsage) if the network has not as many outputs as its images have values.
void require_autoencoder(const Architecture& architecture);

/// The mean squared difference of each image and what an autoencoder gives of it, (B), in pixels' units. Differentiable
/// by both. Source of the score: Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647.
///
/// @param outputs (B, C * H * W).   @param images (B, C, H, W) in [0, 1].
[[nodiscard]] Tensor reconstruction_errors(const Tensor& outputs, const Tensor& images);

}  // namespace pellucid::nets
