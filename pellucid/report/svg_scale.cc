#include "pellucid/report/svg_scale.h"

#include "pellucid/report/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::report {
namespace {

// 1, 2 or 5 times a power of ten, so that the range has about five steps.
double round_step(double range) {
  const double raw = range / 5;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double lead = raw / power;
  return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

std::vector<Tick> linear_ticks(const Scale& scale) {
  const double step = round_step(scale.high - scale.low);
  const int places = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  std::vector<Tick> marks;
  for (auto k = std::ceil(scale.low / step - 1e-6); k * step <= scale.high + step * 1e-6; ++k) {
    marks.push_back({k * step, places > 4 ? significant(k * step) : decimals(k * step, places)});
  }
  return marks;
}

std::vector<Tick> logarithmic_ticks(const Scale& scale) {
  const int first = static_cast<int>(std::floor(std::log10(scale.low) + 1e-9));
  const int last = static_cast<int>(std::ceil(std::log10(scale.high) - 1e-9));
  const int every = (last - first) / 8 + 1;
  const std::vector<double> leads = last - first <= 2 ? std::vector<double>{1, 2, 5} : std::vector<double>{1};
  std::vector<Tick> marks;
  for (int exponent = first; exponent <= last; exponent += every) {
    for (const double lead : leads) {
      const double value = lead * std::pow(10, exponent);
      if (value < scale.low * (1 - 1e-9) || value > scale.high * (1 + 1e-9)) continue;
      marks.push_back({value, (lead == 1 ? "" : fmt::format("{}×", lead)) + power_of_ten(exponent)});
    }
  }
  return marks;
}

}  // namespace

double Scale::operator()(double value) const {
  const double share = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return from + share * (to - from);
}

Scale fit_scale(const std::vector<Value>& values, bool logarithmic, double from, double to) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const Value& value : values) {
    if (!value || !std::isfinite(*value) || (logarithmic && *value <= 0)) continue;
    low = std::min(low, *value);
    high = std::max(high, *value);
  }
  if (low > high) low = high = 1;
  if (logarithmic) {
    low = std::pow(10, std::floor(std::log10(low) + 1e-9));
    high = std::pow(10, std::ceil(std::log10(high) - 1e-9));
    if (low == high) high *= 10;
  } else {
    if (low == high) {
      const double about = low == 0 ? 1 : std::abs(low) / 2;
      low -= about;
      high += about;
    }
    // Widening to whole steps can make the step itself larger; the third pass changes nothing any more.
    for (int pass = 0; pass < 3; ++pass) {
      const double step = round_step(high - low);
      low = step * std::floor(low / step + 1e-9);
      high = step * std::ceil(high / step - 1e-9);
    }
  }
  return {low, high, from, to, logarithmic};
}

std::vector<Tick> ticks(const Scale& scale) {
  return scale.logarithmic ? logarithmic_ticks(scale) : linear_ticks(scale);
}

}  // namespace pellucid::report
