// How sure a network is of an image, on the client's side: it decides what float32 leaves of the gradient.
#pragma once

#include "pellucid/nets/network.h"

namespace pellucid::sharing {

/// Past this logit margin float32 rounds p(true) to 1: 24 bits of significand, ln 2^24.
inline constexpr double kRoundingMargin = 16.635532333438686;
/// From here on most bits of 1 - p(true) are gone.
inline constexpr double kWarningMargin = 15;

struct Confidence {
  double margin;  ///< the true class's logit minus the largest other one
  double p_true;  ///< the true class's probability
};

/// For each image of a batch, in float64 and evaluation mode.
/// @param images (B, C, H, W) in [0, 1].   @param labels (B) int64.
[[nodiscard]] std::vector<Confidence> confidence(const nets::Network& network, const Tensor& images,
                                                 const Tensor& labels);

}  // namespace pellucid::sharing
