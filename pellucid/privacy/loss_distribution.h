// The accountant by privacy loss distributions: bounds on epsilon and delta from both sides, as near as is asked for.
#pragma once

#include "pellucid/privacy/guarantee.h"

namespace pellucid::privacy {

/// A quantity known to lie between two numbers, and how it was found.
struct Certified {
  double lower = 0;
  double upper = 0;
  double interval = 0;      ///< of the grid of losses
  std::int64_t points = 0;  ///< of the Fourier transform
  double rounding = 0;      ///< what rounding was bounded by, as a part of delta
};

/// Bounds on the least epsilon at which the phases are (epsilon, delta)-differentially private.
///
/// Each step's privacy loss, log P(o) / Q(o) for o ~ P, is a random variable; the steps' losses add up, and
/// delta(epsilon) = E[max(0, 1 - e^(epsilon - sum))], so that one convolution, by FFT, gives the whole curve (Sommer,
/// Meiser, Mohammadi 2019; Koskela, Jaelkoe, Honkela 2020, "Computing tight differential privacy guarantees using FFT";
/// Gopi, Lee, Wutschitz 2021, "Numerical composition of differential privacy"). What each part rests on:
///
/// - The pairs: P = (1 - q) N(0, s^2) + q N(1, s^2) and Q = N(0, s^2) for removing an example, swapped for adding one.
///   They dominate the sampled Gaussian mechanism, and dominating pairs compose, also when each step sees what came
///   before (Zhu, Dong, Wang 2022, "Optimal accounting of differential privacy via characteristic function", theorems
///   10 and 11). A run without an example against one with it is one direction in all steps: the worse one counts
///   (removing, wherever we looked). The bounds are tight: the mechanism with gradients of norm C along one line
///   attains the pair.
/// - From above: the losses between two points of the grid are moved to these two so that the probabilities under P
///   and Q stay, which joins points of delta(epsilon) by lines and dominates the pair (Doroshenko, Ghazi, Kamath,
///   Kumar, Manurangsi 2022, "Connect the dots: tighter discrete approximations of privacy loss distributions"). Losses
///   past the last point count as infinite.
/// - From below: outcomes are merged into bins, each chosen so that the loss of the whole bin is a point of the grid.
///   Merging is post-processing, so the pair of bins is dominated by the pair. Losses before the first point are left
///   out, those past the last are rounded down.
///   Both errors shrink with the square of the interval, which shrinks until the bounds are near enough.
/// - Only the window that matters is transformed: all is tilted by e^(theta loss), theta = order - 1 of the best Renyi
///   bound, so that the middle of the tilted distribution lies at epsilon and a small delta keeps its digits. What
///   lies outside, and comes back in at the other end, is bounded by Chernoff's inequality and counted.
/// - Rounding: the probabilities are rounded outwards; the FFT's error is bounded in the 2-norm (Higham 2002, "Accuracy
///   and stability of numerical algorithms", theorem 24.2), carried through powers and weights by Cauchy and Schwarz,
///   and counted; so are tilting and summing. `rounding` says how much that is. These bounds are our derivation, by
///   hand, with constants rounded up, and not interval arithmetic.
///
/// What it does not show: see `Phase`.
/// @param accuracy stop when upper - lower is at most this part of upper, or of 0.1 if that is larger; or at 2^22
/// points, with bounds that hold and are further apart.
/// @throws Error(kUsage) as `check` and `check_delta`.
/// @throws Error(kUsage) unless accuracy is in [1e-6, 1].
[[nodiscard]] Certified tight_epsilon(const Phases& phases, double delta, double accuracy = 1e-3);

/// Which of two neighbours is P: the run with the record, the one without it, or whichever is worse.
enum class Direction { kWorse, kRemove, kAdd };

/// Bounds on the least delta at `epsilon`, the same way: the largest P(E) - e^epsilon Q(E) of any event E.
/// @param epsilon from 0. @throws Error(kUsage) as `tight_epsilon`, and for an epsilon below 0.
/// @param small accuracy is as a part of this where delta is smaller
[[nodiscard]] Certified tight_delta(const Phases& phases, double epsilon, double accuracy = 1e-2,
                                    Direction direction = Direction::kWorse, double small = 0);

/// The same as a guarantee.
/// @throws Error(kUsage) as `tight_epsilon`.
[[nodiscard]] Guarantee tight_guarantee(const Phases& phases, double delta, double accuracy = 1e-3);

}  // namespace pellucid::privacy
