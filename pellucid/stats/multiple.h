// Many tests in one table, and how many images a test would have needed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pellucid::stats {

/// p-values corrected for their number by Holm's step-down method: with them, the chance of any false verdict in the
/// whole table is at most the level, whatever the dependence between the tests. Uniformly more powerful than
/// Bonferroni's.
///
/// Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
/// @param p in [0, 1].   @return in the order of `p`, each at most 1 and at least its `p`.
[[nodiscard]] std::vector<double> holm(std::span<const double> p);

/// The number of pairs that a two-sided Wilcoxon signed-rank test needs to detect differences such as these:
/// ((z_{1-alpha/2} + z_power) sd / mean)^2 as for a t test, over the Wilcoxon test's efficiency beside it at normal
/// differences, 3/pi.
///
/// What it does not show: it takes the mean and the deviation seen in this sample for the true ones; where the mean was
/// seen by chance, the number is wrong by as much. Nothing where the mean is 0, or there are fewer than two
/// differences. Never fewer than the exact test needs to reach alpha at all: 2^(1 - n) < alpha.
[[nodiscard]] std::optional<std::int64_t> pairs_needed(std::span<const double> differences, double power = 0.8,
                                                       double alpha = 0.05);

}  // namespace pellucid::stats
