// Where a function that falls goes through zero.
#pragma once

#include <boost/math/tools/toms748_solve.hpp>

#include <cmath>
#include <cstdint>

namespace pellucid::privacy {

/// A point at which `f`, which falls and is finite, is at most 0, no further than `tolerance` (of the point, or of 1 if
/// that is larger) past one at which it is not. By TOMS 748 (Boost.Math).
/// @param high f(high) <= 0. @returns `low` where f(low) <= 0.
template <typename Function>
[[nodiscard]] double first_below(Function f, double low, double high, double tolerance) {
  const double at_low = f(low);
  if (at_low <= 0) return low;
  const auto near = [=](double a, double b) { return b - a <= tolerance * std::fmax(1, std::abs(b)); };
  std::uintmax_t evaluations = 200;
  return boost::math::tools::toms748_solve(f, low, high, at_low, f(high), near, evaluations).second;
}

}  // namespace pellucid::privacy
