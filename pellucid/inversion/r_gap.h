// One image, read back from the last layer to the first, without a descent.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// Why `r-gap` does not apply: the update is not the gradient of one image, the network does not end in a linear layer,
/// or is not a chain of layers whose output determines their input (ReLU, GELU, pooling, batch norm, dropout in
/// training mode).
[[nodiscard]] std::optional<std::string> r_gap_lacks(const sharing::Observation& observation, const Attack& attack);

/// The image that solves every layer's linear equations, the same for every restart. The last layer took
/// `linear_input`. For one before, with x its input, z = W x + b its output and k = dL/dz, both known from the layers
/// behind it, x is the least squares solution, in float64, of
///
///     W x = z - b      (an equation for each output)
///     K x = dL/dW      (one for each weight, whose gradient is a sum of products of k and x)
///
/// where the squares of each block's rows are scaled to have the mean 1, so that a small gradient counts as a large one
/// does. Then W^T k is the derivative by x, and the activation before it is inverted. Where the equations do not
/// determine x, it is the shortest solution, and the trial's method names the layer and the rank.
///
/// Source: R-GAP, Zhu and Blaschko 2021, arXiv:2010.07733. There the network has one logit, whose derivative is found
/// from the product of weight and gradient; here it is the last bias's gradient. There padding is solved for, as 0.
/// @pre `r_gap_lacks` names nothing.
/// @throws Error(kModel) as `linear_input`.
/// @throws Error(kModel) if a layer's equations are not finite.
/// @throws Error(kData) if they need more memory than is allowed.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] std::vector<Trial> r_gap(const sharing::Observation& observation, const Attack& attack,
                                       std::int64_t first, std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
