// Axes: from data to places on the page, and where the ticks go.
#pragma once

#include "pellucid/report/node.h"

#include <string>
#include <vector>

namespace pellucid::report {

/// A linear or logarithmic map from [low, high] to [from, to]. `from` may be larger than `to`: SVG's y grows downwards.
struct Scale {
  double low = 0, high = 1;
  double from = 0, to = 1;
  bool logarithmic = false;

  /// Where a value lies. A logarithmic scale takes positive values only.
  [[nodiscard]] double operator()(double value) const;
};

/// A mark on an axis.
struct Tick {
  double value = 0;
  std::string label;
};

/// A scale that holds all values and ends on ticks. Missing values are passed over, and on a logarithmic scale those
/// that are not positive; where all are equal or there are none, a range about them is taken.
[[nodiscard]] Scale fit_scale(const std::vector<Value>& values, bool logarithmic, double from, double to);

/// Between 2 and about 8 ticks at round values: 1, 2 or 5 times a power of ten; on a logarithmic scale whole powers of
/// ten, and 2 and 5 times them where there are few.
[[nodiscard]] std::vector<Tick> ticks(const Scale& scale);

}  // namespace pellucid::report
