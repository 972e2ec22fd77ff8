#include "pellucid/stats/distribution.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace pellucid::stats {
namespace {

// Where the increasing function `f` reaches `target` between `low` and `high`, to the last bit.
template <typename Function>
double solve(Function f, double target, double low, double high) {
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return middle;
    (f(middle) < target ? low : high) = middle;
  }
}

// std::lgamma writes a global and so must not run in two threads at once.
double log_gamma(double x) {
  int sign;
  return lgamma_r(x, &sign);
}

// I_x(a, b) where the continued fraction 1 + d1/(1 + d2/(1 + ...)) converges fast: x <= (a + 1) / (a + b + 2).
double beta_cdf_left(double x, double a, double b) {
  auto not_zero = [](double value) { return value == 0 ? 1e-300 : value; };
  double fraction = 1, numerator = 1, denominator = 0;
  for (int i = 1; i < 100'000; ++i) {
    const double m = i / 2;
    const double d = i % 2 == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    denominator = 1 / not_zero(1 + d * denominator);
    numerator = not_zero(1 + d / numerator);
    fraction *= numerator * denominator;
    if (std::abs(numerator * denominator - 1) < std::numeric_limits<double>::epsilon()) break;
  }
  const double log_front = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) + b * std::log1p(-x);
  return std::exp(log_front) / (a * fraction);
}

}  // namespace

double normal_cdf(double z) { return std::erfc(-z / std::numbers::sqrt2) / 2; }

double normal_quantile(double p) { return solve(normal_cdf, p, -40, 40); }

double beta_cdf(double x, double a, double b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  return x <= (a + 1) / (a + b + 2) ? beta_cdf_left(x, a, b) : 1 - beta_cdf_left(1 - x, b, a);
}

double beta_quantile(double p, double a, double b) {
  return solve([a, b](double x) { return beta_cdf(x, a, b); }, p, 0, 1);
}

}  // namespace pellucid::stats
