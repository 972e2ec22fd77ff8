// The probability distributions behind intervals and tests: normal and beta.
#pragma once

namespace pellucid::stats {

/// P(Z <= z) of the standard normal.
[[nodiscard]] double normal_cdf(double z);

/// The z with P(Z <= z) = p, for p in (0, 1).
[[nodiscard]] double normal_quantile(double p);

/// The x with P(X <= x) = p for X ~ Beta(a, b), for p in [0, 1] and a, b > 0.
[[nodiscard]] double beta_quantile(double p, double a, double b);

}  // namespace pellucid::stats
