// The solver for local training: one gradient, at a network between the weights before and after.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// Why `surrogate` does not apply: the client did not train.
[[nodiscard]] std::optional<std::string> surrogate_lacks(const sharing::Observation& observation, const Attack& attack);

/// Descends as `optimise` on the gradient over all images at (1 - a) w0 + a w1, w0 the weights before and w1 those
/// after local training, as if the client had sent that: the mean gradient along a path is near that at a point of it.
/// a is 1/2, 1/4 and 3/4 by turns of the restarts. The labels are read at that network too.
///
/// Neither the order of the images nor the number of steps matters, and a step costs what one on a gradient costs.
///
/// Source: SME, Zhu, Yao and Blaschko 2023, arXiv:2306.00127. There a is optimised too, from 1/2.
/// @pre `surrogate_lacks` names nothing.
/// @throws as `optimise`.
[[nodiscard]] std::vector<Trial> surrogate(const sharing::Observation& observation, const Attack& attack,
                                           std::int64_t first, std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
