// Values as text: escaped, with the digits that mean something, a true minus sign, and a dash where there is nothing.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/report/node.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace pellucid::report {

/// What stands where the result says null.
inline constexpr std::string_view kNothing = "–";

/// Text made safe between tags and inside quoted attributes.
[[nodiscard]] std::string escape(std::string_view text);

/// Three significant digits, with a power of ten below 0.001 and from 100 000 on: "0.0412", "1.30×10⁻⁵".
[[nodiscard]] std::string significant(Value value);
/// "10⁻³".
[[nodiscard]] std::string power_of_ten(int exponent);
/// A fixed number of decimals: "24.10".
[[nodiscard]] std::string decimals(Value value, int count);
/// A whole number with thousands apart: "312,202".
[[nodiscard]] std::string count(Value value);
/// That with what is counted: "1 seed", "64 images".
[[nodiscard]] std::string counted(Value value, std::string_view noun);
/// "Image" for "image", escaped.
[[nodiscard]] std::string capital(std::string noun);
/// A fraction as a percentage with two decimals: "98.90 %".
[[nodiscard]] std::string percent(Value fraction);
/// A probability with six decimals; what is not quite 0 or 1 is never shown as 0 or 1: "> 0.999999".
[[nodiscard]] std::string probability(Value value);
/// A p-value after its relation sign: "= 0.021", "< 0.001".
[[nodiscard]] std::string p_value(Value value);

/// A metric's value without its unit: two decimals for decibels, else three significant digits.
[[nodiscard]] std::string metric(Value value, std::string_view unit);
/// The same with a plus sign where it is positive, for differences.
[[nodiscard]] std::string signed_metric(Value value, std::string_view unit);

/// "[low, high]" by a function for the ends, or "" where either end is missing.
template <typename Format>
[[nodiscard]] std::string bounds(const Interval& interval, Format format) {
  if (!interval.low || !interval.high) return "";
  return fmt::format("[{}, {}]", format(interval.low), format(interval.high));
}

}  // namespace pellucid::report
