#include "pellucid/privacy/noise.h"

#include "pellucid/core/error.h"
#include "pellucid/privacy/loss_distribution.h"
#include "pellucid/privacy/renyi.h"
#include "pellucid/privacy/solve.h"

#include <cmath>

namespace pellucid::privacy {

double noise_for(double epsilon, double delta, double rate, std::int64_t steps, Accountant accountant) {
  using core::Error;
  using core::ErrorKind;
  check_epsilon(epsilon);
  check_delta(delta);
  check({{rate, 1, steps}});
  if (rate == 0)
    throw Error(ErrorKind::kUsage, "rate: got 0, expected a number above 0: who takes no example needs no noise");

  constexpr double kTolerance = 5e-5, kLeast = 1e-2, kMost = 1e6;
  const auto renyi = [=](double log_noise) {
    return renyi_epsilon({{rate, std::exp(log_noise), steps}}, delta).value / epsilon - 1;
  };
  double low = 0, high = 0;
  while (renyi(high) > 0) {
    if (std::exp(high) > kMost) {
      throw Error(
          ErrorKind::kUsage,
          "noise: got more than {} by Renyi DP, expected less: ask for a larger epsilon or delta, or fewer steps",
          kMost);
    }
    low = high;
    high += 1;
  }
  while (low == high || (renyi(low) <= 0 && std::exp(low) > kLeast)) low -= 1;
  const double by_renyi = first_below(renyi, low, high, kTolerance);
  if (accountant == Accountant::kRenyi) return std::exp(by_renyi);

  const auto tight = [=](double log_noise) {
    return tight_epsilon({{rate, std::exp(log_noise), steps}}, delta, kNoiseAccuracy).upper / epsilon - 1;
  };
  high = by_renyi;
  low = high - 0.05;
  while (tight(low) <= 0 && std::exp(low) > kLeast) {
    high = low;
    low -= 0.1;
  }
  return std::exp(first_below(tight, low, high, kTolerance));
}

}  // namespace pellucid::privacy
