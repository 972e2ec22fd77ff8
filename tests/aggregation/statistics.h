// Whether numbers look uniform.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

namespace pellucid::aggregation {

/// Counts by 256 equal parts of a range.
using Counts = std::array<double, 256>;

/// Pearson's statistic against the uniform distribution, standardised: beyond 7 has a probability below 1e-9.
inline double from_uniform(const Counts& counts) {
  double n = 0, sum = 0;
  for (const double count : counts) n += count;
  for (const double count : counts) sum += std::pow(count - n / 256, 2) / (n / 256);
  return (sum - 255) / std::sqrt(2 * 255);
}

/// The same for whether two samples of one size have the same distribution.
inline double between(const Counts& a, const Counts& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] + b[i] > 0 ? std::pow(a[i] - b[i], 2) / (a[i] + b[i]) : 0;
  return (sum - 255) / std::sqrt(2 * 255);
}

}  // namespace pellucid::aggregation
