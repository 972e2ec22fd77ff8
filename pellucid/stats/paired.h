// Comparison of two conditions measured on the same items: "is a higher than b, by how much, and could it be chance?"
#pragma once

#include "pellucid/stats/interval.h"

#include <string>

namespace pellucid::stats {

/// What `compare_paired` found out about the differences a - b.
struct PairedComparison {
  std::int64_t n = 0;        ///< pairs
  Interval mean_difference;  ///< with its BCa interval
  double median_difference = 0;
  double p_value = 1;        ///< Wilcoxon signed-rank, two-sided
  std::string test;          ///< which form of it was used, for the reader: "Wilcoxon signed-rank, exact"
  double rank_biserial = 0;  ///< effect size in [-1, 1]: 1 if every difference is positive
};

/// Compares two paired samples.
///
/// The Wilcoxon signed-rank test drops zero differences (Wilcoxon's own treatment). It is exact for at most 30
/// differences without zeros and without ties in absolute value, else the normal approximation with continuity
/// correction and the tie-corrected variance. If all differences are zero the p-value is 1.
/// The effect size is the matched-pairs rank-biserial correlation, (W+ - W-) / (W+ + W-).
///
/// Swapping a and b changes the sign of the differences and of the effect, and nothing else.
///
/// Sources: Wilcoxon 1945; Kerby 2014, "The simple difference formula"; for the interval see `mean_interval`.
/// @throws Error(kInternal) if the samples are empty, differ in size, or hold a value that is not finite.
/// @throws Error(kUsage) if an option is out of its range.
[[nodiscard]] PairedComparison compare_paired(std::span<const double> a, std::span<const double> b,
                                              const BootstrapOptions& options = {});

}  // namespace pellucid::stats
