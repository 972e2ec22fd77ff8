#include "pellucid/privacy/gaussian.h"

#include "pellucid/core/error.h"
#include "pellucid/privacy/guarantee.h"
#include "pellucid/privacy/solve.h"
#include "pellucid/stats/distribution.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pellucid::privacy {
namespace {

double density(double z) { return std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi); }

// P(Z > z) / density(z) for z >= 0.
double mills_ratio(double z) {
  if (z < 25) return stats::normal_cdf(-z) / density(z);
  double sum = 0, term = 1;
  for (int k = 1; k < 12; ++k) {
    sum += term;
    term *= -(2 * k - 1) / (z * z);
  }
  return sum / z;
}

void check_noise(double noise) { check({{1, noise, 1}}); }

// log(delta of the mechanism / delta), finite also where the former underflows.
double log_excess(double noise, double epsilon, double delta) {
  return std::log(std::max(gaussian_delta(noise, epsilon), 1e-300)) - std::log(delta);
}

}  // namespace

double gaussian_delta(double noise, double epsilon) {
  check_noise(noise);
  if (!(epsilon >= 0)) throw core::Error(core::ErrorKind::kUsage, "epsilon: got {}, expected a number from 0", epsilon);
  const double a = epsilon * noise - 1 / (2 * noise), b = epsilon * noise + 1 / (2 * noise);
  // e^epsilon density(b) = density(a).
  return std::max(0.0, stats::normal_cdf(-a) - density(a) * mills_ratio(b));
}

double gaussian_epsilon(double noise, double delta) {
  check_noise(noise);
  check_delta(delta);
  const auto excess = [=](double epsilon) { return log_excess(noise, epsilon, delta); };
  if (excess(0) <= 0) return 0;
  double high = 1;
  while (excess(high) > 0) high *= 2;
  return first_below(excess, 0, high, 1e-14);
}

double gaussian_noise(double epsilon, double delta) {
  check_epsilon(epsilon);
  check_delta(delta);
  const auto excess = [=](double log_noise) { return log_excess(std::exp(log_noise), epsilon, delta); };
  double low = std::log(classical_noise(epsilon, delta)), high = low;
  while (excess(low) <= 0) low -= 1;
  while (excess(high) > 0) high += 1;
  return std::exp(first_below(excess, low, high, 1e-14));
}

double classical_noise(double epsilon, double delta) {
  check_epsilon(epsilon);
  check_delta(delta);
  return std::sqrt(2 * std::log(1.25 / delta)) / epsilon;
}

double classical_limit(double delta) {
  // What it adds of privacy is spent as epsilon grows.
  const auto spare = [=](double epsilon) { return epsilon - gaussian_epsilon(classical_noise(epsilon, delta), delta); };
  double high = 1;
  while (spare(high) > 0) high *= 2;
  return first_below(spare, 0.01, high, 1e-10);
}

double composed_noise(double noise, double times) { return noise / std::sqrt(times); }

}  // namespace pellucid::privacy
