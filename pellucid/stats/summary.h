// A sample in one row of a table.
#pragma once

#include "pellucid/stats/interval.h"

namespace pellucid::stats {

/// A sample in a few numbers, all but `n` in its units.
struct Summary {
  std::int64_t n = 0;
  Interval mean;    ///< with its BCa interval
  Interval median;  ///< with its BCa interval
  double min = 0;
  double max = 0;
  double sd = 0;  ///< with n - 1 in the denominator; 0 for a single value
};

/// Summarises a sample.
/// @throws Error(kInternal) if the sample is empty or holds a value that is not finite.
/// @throws Error(kUsage) if an option is out of its range.
[[nodiscard]] Summary summarise(std::span<const double> sample, const BootstrapOptions& options = {});

}  // namespace pellucid::stats
