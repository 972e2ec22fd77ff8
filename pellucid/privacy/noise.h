// How much noise a guarantee takes.
#pragma once

#include "pellucid/privacy/guarantee.h"

namespace pellucid::privacy {

enum class Accountant {
  kRenyi,             ///< `renyi_epsilon`
  kLossDistribution,  ///< the upper bound of `tight_epsilon`: less noise for the same guarantee
};

/// The accuracy at which `noise_for` asks `tight_epsilon`: at the same one, `tight_guarantee` keeps what was asked for.
inline constexpr double kNoiseAccuracy = 5e-4;

/// The least noise multiplier with which the accountant allows `steps` steps at `rate` to be called (epsilon,
/// delta)-differentially private: it does for this one, and for less than a ten-thousandth below it does not.
///
/// Epsilon falls as noise grows; it is bisected (TOMS 748). With kLossDistribution take seconds.
/// @throws Error(kUsage) as `check_epsilon`, `check_delta` and `check`.
/// @throws Error(kUsage) for a rate of 0, which needs no noise.
/// @throws Error(kUsage) if no noise up to 1e6 is enough by this accountant.
[[nodiscard]] double noise_for(double epsilon, double delta, double rate, std::int64_t steps, Accountant accountant);

}  // namespace pellucid::privacy
