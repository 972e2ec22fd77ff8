// Auto-PGD: gradient ascent with momentum whose step size follows from the number of iterations and from how it goes.
#pragma once

#include "pellucid/evasion/ball.h"
#include "pellucid/evasion/objective.h"

namespace pellucid::evasion {

struct ApgdOptions {
  std::int64_t iterations = 100;
  std::int64_t restarts = 1;  ///< random starts, one after the other, of the images that still stand
  double rho = 0.75;          ///< the share of steps that must raise the objective, else the step size is halved
};

struct TargetedApgdOptions : ApgdOptions {
  std::int64_t targets = 9;  ///< classes aimed at, the likeliest first; no more than there are wrong ones
};

[[nodiscard]] core::Fields fields(ApgdOptions& options);
[[nodiscard]] core::Fields fields(TargetedApgdOptions& options);

/// The iterations after which the step size may be halved: 22, 41, 57, 70, 80, 87, 93, 99 of 100.
///
/// The periods are 22 % of the iterations, then 3 % less each, at least 6 %. In whole numbers, rounded down and at
/// least 1, as in the authors' code (the paper rounds the sums up instead; at 100 iterations both say the same).
[[nodiscard]] std::vector<std::int64_t> apgd_checkpoints(std::int64_t iterations);

struct ApgdResult {
  Tensor x;     ///< (B, C, H, W): the last iterate at which the model errs, else the one with the highest objective
  Tensor best;  ///< (B): the highest objective met
  Tensor step_sizes;  ///< (iterations, B): what each step was taken with
};

/// One run of APGD from a start.
///
/// x1 = P(x0 + eta g), then z = P(x + eta g), x <- P(x + 0.75 (z - x) + 0.25 (x - x_before)), with P and g as in `pgd`
/// and eta = 2 epsilon at first. At each checkpoint eta is halved, and the run goes on from its best point, where fewer
/// than rho of the steps since the last checkpoint raised the objective, or where eta was not halved then and the best
/// has not risen. Source: Croce and Hein 2020, arXiv:2003.01690, algorithm 1 and section 3. Nothing is random.
/// @param images, start (B, C, H, W) in [0, 1].   @param objective of these B images' logits.
[[nodiscard]] ApgdResult apgd(const Model& model, const Tensor& images, const Tensor& labels,
                              const Objective& objective, const Ball& ball, const ApgdOptions& options,
                              const Tensor& start);

/// The random start of a run: epsilon * t / ||t||, t uniform for L-infinity and normal for L2. Depends on (seed,
/// purpose, ids[i]) alone. Source: the authors' code.
[[nodiscard]] Tensor apgd_start(const Tensor& images, const Tensor& ids, const Ball& ball, std::uint64_t seed,
                                std::string_view purpose);

/// APGD-CE: APGD on the cross-entropy from random starts.
/// @return (B, C, H, W): for each image a point at which the model errs, where one was found.
[[nodiscard]] Tensor apgd_ce(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                             const Ball& ball, const ApgdOptions& options, std::uint64_t seed);

/// APGD-T: APGD on the targeted DLR, towards the likeliest wrong classes one after the other; images that are broken
/// are not aimed at the next. Shapes as for `apgd_ce`.
/// @throws Error(kUsage) if there are fewer than 4 classes.
[[nodiscard]] Tensor apgd_t(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                            const Ball& ball, const TargetedApgdOptions& options, std::uint64_t seed);

}  // namespace pellucid::evasion
