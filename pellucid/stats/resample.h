// What the bootstraps share: checks of their options, quantiles, and the percentile interval.
#pragma once

#include "pellucid/stats/interval.h"

#include <functional>
#include <vector>

namespace pellucid::stats {

/// @throws Error(kUsage) if an option is out of its range.
void check(const BootstrapOptions& options);

/// The quantile of sorted values at `p` in [0, 1], linear between neighbours.
[[nodiscard]] double quantile(const std::vector<double>& sorted, double p);

/// The estimate with the percentiles of `options.resamples` draws.
/// @param draw the statistic of a new resample, at each call.
/// @throws Error(kUsage) if an option is out of its range.
[[nodiscard]] Interval percentile_interval(double estimate, const BootstrapOptions& options,
                                           const std::function<double()>& draw);

}  // namespace pellucid::stats
