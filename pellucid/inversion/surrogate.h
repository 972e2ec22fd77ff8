// The solver for local training: one gradient, at a network between the weights before and after.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/problem.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// Why `surrogate` does not apply: the client did not train, or the size of its steps is not known and the objective
/// needs it.
[[nodiscard]] std::optional<std::string> surrogate_lacks(const sharing::Observation& observation, const Attack& attack);

/// Descends as `optimise` on the gradient over all images at (1 - a) w0 + a w1, w0 the weights before and w1 those
/// after local training, as if the client had sent that: the mean gradient along a path is near that at a point of it.
/// The k gradients were taken at 0, 1/k, ..., (k - 1)/k of the way, so a is their mean, (k - 1)/2k, or 1/2 where k is
/// not known; and half as much and half as much again, by turns of the restarts. The labels are read at that network
/// too.
///
/// Neither the order of the images nor the number of steps matters, and a step costs what one on a gradient costs. By
/// the cosine the learning rate does not matter either.
///
/// Source: SME, Zhu, Yao and Blaschko 2023, arXiv:2306.00127. There a is optimised, from 1/2.
/// @pre `surrogate_lacks` names nothing.
/// @throws as `optimise`.
[[nodiscard]] std::vector<Trial> surrogate(const sharing::Observation& observation, const Attack& attack,
                                           std::int64_t first, std::int64_t count, const torch::Device& device);

/// What its results are judged by: all steps, or where these are not known the gradient half-way.
[[nodiscard]] Problem judged_by_surrogate(const sharing::Observation& observation, const Attack& attack,
                                          const std::vector<std::int64_t>& labels);

}  // namespace pellucid::inversion
