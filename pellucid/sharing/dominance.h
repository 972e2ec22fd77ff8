// How far one image's gradient stands out of a batch's, on the client's side: what a malicious server makes happen.
#pragma once

#include "pellucid/nets/network.h"

#include <string>
#include <vector>

namespace pellucid::sharing {

struct Dominance {
  /// The D-SNR: of the norms of the images' gradients by a layer's weight, the largest over the sum of the others, in
  /// the layer where that is most. Infinite for one image. With images of like size about 1 / (B - 1); above 1 the
  /// batch does not hide that image.
  double ratio = 0;
  std::string layer;          ///< that layer
  std::vector<double> share;  ///< of each image in the sum of the norms there, in [0, 1]
};

/// In evaluation mode and float64, an image after the other.
///
/// Source: Garov et al. 2024, "Hiding in Plain Sight" (SEER), arXiv:2306.03013, section 3. A confident network of an
/// honest server may have a large one too, for the images of which it is not sure.
/// @param images (B, C, H, W) in [0, 1].   @param labels (B) int64.
[[nodiscard]] Dominance dominance(const nets::Network& network, const Tensor& images, const Tensor& labels);

}  // namespace pellucid::sharing
