// The Gaussian mechanism without sampling, where everything is exact. Noise is given in units of the sensitivity: the
// noise multiplier, sigma / Delta.
#pragma once

#include <cstdint>

namespace pellucid::privacy {

/// The smallest delta at which one use of the Gaussian mechanism is (epsilon, delta)-differentially private.
///
/// Theorem: delta = Phi(1 / 2s - epsilon s) - e^epsilon Phi(-1 / 2s - epsilon s), for noise s; necessary and
/// sufficient, for vectors too. Balle, Wang 2018, "Improving the Gaussian mechanism for differential privacy", theorem
/// 8. Computed without overflow for any epsilon. What it does not show: anything of noise in floating point.
/// @param noise above 0. @param epsilon from 0. @throws Error(kUsage) if either is out of range.
[[nodiscard]] double gaussian_delta(double noise, double epsilon);

/// The smallest epsilon at `delta`, by the same theorem: the true one.
/// @throws Error(kUsage) for noise that is not above 0, and as `check_delta`.
[[nodiscard]] double gaussian_epsilon(double noise, double delta);

/// The least noise that is (epsilon, delta)-differentially private, by the same theorem.
/// @throws Error(kUsage) as `check_epsilon` and `check_delta`.
[[nodiscard]] double gaussian_noise(double epsilon, double delta);

/// sqrt(2 ln(1.25 / delta)) / epsilon, as frameworks compute it: enough for epsilon below 1, which is where it was
/// proven (Dwork, Roth 2014, theorem A.1), too much there, and too little past `classical_limit`.
/// @throws Error(kUsage) as `check_epsilon` and `check_delta`.
[[nodiscard]] double classical_noise(double epsilon, double delta);

/// The epsilon past which `classical_noise` is too little at `delta`: 8.42 at 1e-5.
/// @throws Error(kUsage) as `check_delta`.
[[nodiscard]] double classical_limit(double delta);

/// The noise of one use that is as private as `times` uses of `noise`: noise / sqrt(times), exactly.
/// Dong, Roth, Su 2022, "Gaussian differential privacy", corollary 3.3.
[[nodiscard]] double composed_noise(double noise, double times);

}  // namespace pellucid::privacy
