// Estimates with confidence intervals: the mean and the median of a sample, and a proportion.
#pragma once

#include <cstdint>
#include <span>

namespace pellucid::stats {

/// An estimate and its two-sided confidence interval [low, high], in the units of the sample.
struct Interval {
  double value = 0;
  double low = 0;
  double high = 0;
  double level = 0.95;  ///< the probability, over repetitions, that the interval holds the true value
};

/// How a bootstrap interval is computed.
struct BootstrapOptions {
  int resamples = 10'000;  ///< at least 1
  double level = 0.95;     ///< in (0, 1)
  std::uint64_t seed = 0;  ///< the interval is a function of the sample, the options and nothing else
};

/// The arithmetic mean.
/// @throws Error(kInternal) if the sample is empty.
/// @throws Error(kInternal) if a value is not finite, naming it: whoever measures sets failed trials apart first.
[[nodiscard]] double mean(std::span<const double> sample);

/// The median; of an even number of values, the mean of the middle two.
/// @throws Error(kInternal) as `mean`.
[[nodiscard]] double median(std::span<const double> sample);

/// The mean with its BCa bootstrap interval (bias-corrected and accelerated).
///
/// A sample of one value, or of equal values, says nothing about spread: its interval is that one value, and a reader
/// must be shown n beside it. Resamples that tie with the estimate count half when the bias is estimated.
///
/// Source: Efron 1987, "Better bootstrap confidence intervals", eq. 2.3 and 6.6.
/// Cost: resamples * n random numbers, and n * n for the jackknife.
/// @throws Error(kInternal) as `mean`.
/// @throws Error(kUsage) if an option is out of its range.
[[nodiscard]] Interval mean_interval(std::span<const double> sample, const BootstrapOptions& options = {});

/// The median with its BCa bootstrap interval, as `mean_interval`.
[[nodiscard]] Interval median_interval(std::span<const double> sample, const BootstrapOptions& options = {});

/// The proportion k/n with its Clopper-Pearson interval, which holds the true proportion at least as often as `level`.
///
/// Source: Clopper and Pearson 1934, in its beta-quantile form.
/// @throws Error(kInternal) unless 0 <= k <= n and n >= 1.
/// @throws Error(kUsage) if `level` is not in (0, 1).
[[nodiscard]] Interval proportion_interval(std::int64_t k, std::int64_t n, double level = 0.95);

}  // namespace pellucid::stats
