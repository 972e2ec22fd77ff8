// A malicious server's layer that sorts images into bins by their brightness, and the solver that reads the bins.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// The network with a layer planted before it, of one unit for each bin, which is on where an image's mean pixel is
/// above the bin's lower edge. A small constant times the sum of all units is added to the image, so that the loss has
/// the same derivative by every unit that is on, and the network answers nearly as before.
///
/// Of n images and K bins as likely as each other, n (1 - 1/K)^(n - 1) are alone in theirs, on average, and come back
/// exactly, whatever the network behind.
///
/// Source: Robbing the Fed, Fowl et al. 2022, arXiv:2110.13057. There the layer is linear; as a convolution as large as
/// the image it takes any network of images.
/// @param edges ascending, in [0, 1]: of the mean over all pixels and channels.
/// @throws Error(kUsage) if images are not square, the network has such a layer already, or there are fewer than 2
/// edges
///   or they do not ascend.
[[nodiscard]] nets::Network imprinted(const nets::Network& network, const std::vector<double>& edges);

/// Whether all rows of a layer's weight, (out, ...), are one row, as those of a layer that sorts into bins are.
[[nodiscard]] bool rows_are_alike(const Tensor& weight);

/// Why `imprint` does not apply: no such layer stands first.
[[nodiscard]] std::optional<std::string> imprint_lacks(const sharing::Observation& observation, const Attack& attack);

/// The difference of the gradients of neighbouring units is that of the images in one bin: the quotient by that of
/// their biases is the image, or the mean of several, weighted by what each derivative is. One that is not within [0,
/// 1] or not in its bin is left out. At most a batch of images is given, the strongest first; grey for those that are
/// missing.
/// @pre `imprint_lacks` names nothing.
[[nodiscard]] std::vector<Trial> imprint(const sharing::Observation& observation, const Attack& attack,
                                         std::int64_t first, std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
