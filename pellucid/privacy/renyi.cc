#include "pellucid/privacy/renyi.h"

#include "pellucid/core/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace pellucid::privacy {
namespace {

using core::Error;
using core::ErrorKind;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Adds numbers that are known by their logarithms.
class LogSum {
 public:
  void add(double log_term) {
    if (log_term == -kInfinity) return;
    if (log_term > largest_) {
      sum_ = sum_ * std::exp(largest_ - log_term) + 1;
      largest_ = log_term;
    } else {
      sum_ += std::exp(log_term - largest_);
    }
  }
  [[nodiscard]] double value() const { return largest_ + std::log(sum_); }

 private:
  double largest_ = -kInfinity;
  double sum_ = 0;
};

// log(e^x - 1) for x > 0.
double log_expm1(double x) { return x > 30 ? x + std::log1p(-std::exp(-x)) : std::log(std::expm1(x)); }

// log(A - 1) for a whole order.
double log_excess_by_series(double q, double s, double order) {
  LogSum sum;
  double log_binomial = std::log(order);
  for (double k = 2; k <= order; ++k) {
    log_binomial += std::log((order - k + 1) / k);
    sum.add(log_binomial + (order - k) * std::log1p(-q) + k * std::log(q) + log_expm1((k * k - k) / (2 * s * s)));
  }
  return sum.value();
}

// log((1 + u)^a - 1 - a u) with u = q (e^loss - 1).
double log_bend(double q, double a, double loss) {
  const double u = q * std::expm1(loss);
  if (std::abs(u) * a < 0.1) {
    double sum = 0, coefficient = a * (a - 1) / 2;
    for (double k = 2; std::abs(coefficient) > 1e-18 * std::abs(sum); ++k) {
      sum += coefficient;
      coefficient *= u * (a - k) / (k + 1);
    }
    return 2 * std::log(std::abs(u)) + std::log(sum);
  }
  const double log_u = std::isfinite(u) ? std::log(std::abs(u)) : std::log(q) + loss;
  const double w = a * (std::isfinite(u) ? std::log1p(u) : log_u);
  if (w < 1) return std::log(std::expm1(w) - a * u);
  return w + std::log1p(-std::exp(-w) - std::exp(std::log(a) + log_u - w));
}

// log(A - 1) for any order.
double log_excess_by_quadrature(double q, double s, double order) {
  const auto log_integrand = [=](double t) { return -t * t / 2 + log_bend(q, order, t / s - 1 / (2 * s * s)); };
  // Where the integrand counts: its bumps are as wide as the normal density, so steps of 1/4 do not miss one.
  const double begin = -10, end = std::max(order, 2.0) / s + 10;
  double highest = -kInfinity;
  for (double t = begin; t < end; t += 0.25) highest = std::max(highest, log_integrand(t));
  double low = end, high = begin;
  for (double t = begin; t < end; t += 0.25) {
    if (log_integrand(t) > highest - 60) low = std::min(low, t), high = std::max(high, t);
  }
  low -= 0.5, high += 0.5;
  // (1 + u)^order is analytic but for points pi s off the real axis, over this one.
  const double branch = s * (std::log1p(-q) - std::log(q)) + 1 / (2 * s);
  const double step = branch > low - 3 && branch < high + 3 ? std::min(0.25, s / 4) : 0.25;
  LogSum sum;
  for (double t = low; t < high; t += step) sum.add(log_integrand(t));
  return sum.value() + std::log(step) - std::log(2 * std::numbers::pi) / 2;
}

// log(1 + e^x).
double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

void check_orders(std::span<const double> orders) {
  if (orders.empty()) throw Error(ErrorKind::kUsage, "orders: got none, expected at least one");
  for (const double order : orders) {
    if (!(order > 1 && std::isfinite(order)))
      throw Error(ErrorKind::kUsage, "order: got {}, expected a number above 1", order);
  }
}

std::vector<double> added_up(const Phases& phases, std::span<const double> orders) {
  check(phases);
  check_orders(orders);
  std::vector<double> sums(orders.size(), 0);
  for (const auto& phase : phases) {
    for (std::size_t i = 0; i < orders.size(); ++i)
      sums[i] += static_cast<double>(phase.steps) * renyi_divergence(phase.rate, phase.noise, orders[i]);
  }
  return sums;
}

// The least that a function gives over the orders.
template <typename Value>
RenyiBound least(std::span<const double> orders, std::span<const double> divergences, double floor, Value value) {
  RenyiBound best{kInfinity, orders.front(), true};
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (!std::isfinite(divergences[i])) continue;
    const double candidate = value(orders[i], divergences[i]);
    if (candidate < best.value) best = {candidate, orders[i], i == 0 || i + 1 == orders.size()};
  }
  if (best.value <= floor) best.value = floor, best.at_end = false;
  return best;
}

}  // namespace

double renyi_divergence(double rate, double noise, double order) {
  check({{rate, noise, 1}});
  check_orders({&order, 1});
  if (rate == 0) return 0;
  if (rate == 1) return order / (2 * noise * noise);
  const double log_excess = order == std::floor(order) ? log_excess_by_series(rate, noise, order)
                                                       : log_excess_by_quadrature(rate, noise, order);
  return softplus(log_excess) / (order - 1);
}

const std::vector<double>& default_orders() {
  static const std::vector<double> orders = [] {
    std::vector<double> all;
    for (int i = 1; i < 100; ++i) all.push_back(1 + i / 10.0);
    for (int i = 11; i < 64; ++i) all.push_back(i);
    for (const int i : {128, 256, 512, 1024}) all.push_back(i);
    return all;
  }();
  return orders;
}

RenyiBound to_epsilon(std::span<const double> orders, std::span<const double> divergences, double delta,
                      Conversion conversion) {
  check_delta(delta);
  check_orders(orders);
  if (orders.size() != divergences.size()) {
    throw Error(ErrorKind::kInternal, "divergences: got {}, expected {}, one for each order", divergences.size(),
                orders.size());
  }
  return least(orders, divergences, 0, [&](double a, double r) {
    if (conversion == Conversion::kOld) return r - std::log(delta) / (a - 1);
    return r + std::log1p(-1 / a) - (std::log(delta) + std::log(a)) / (a - 1);
  });
}

RenyiBound renyi_epsilon(const Phases& phases, double delta, Conversion conversion, std::span<const double> orders) {
  check_delta(delta);
  return to_epsilon(orders, added_up(phases, orders), delta, conversion);
}

RenyiBound renyi_delta(const Phases& phases, double epsilon, std::span<const double> orders) {
  if (!(epsilon >= 0)) throw Error(ErrorKind::kUsage, "epsilon: got {}, expected a number from 0", epsilon);
  RenyiBound bound = least(orders, added_up(phases, orders), -kInfinity, [&](double a, double r) {
    return (a - 1) * (r - epsilon + std::log1p(-1 / a)) - std::log(a);
  });
  bound.value = std::min(1.0, std::exp(bound.value));
  return bound;
}

Guarantee renyi_guarantee(const Phases& phases, double delta, Conversion conversion) {
  const RenyiBound bound = renyi_epsilon(phases, delta, conversion);
  Guarantee guarantee{.epsilon = bound.value, .delta = delta, .phases = phases};
  guarantee.accountant = fmt::format("Renyi DP, order {}{}", bound.order,
                                     conversion == Conversion::kOld ? ", converted as before 2020" : "");
  if (bound.at_end) {
    guarantee.warning = fmt::format("the order lies at the end of those tried, {} to {}: others may give less",
                                    default_orders().front(), default_orders().back());
  }
  return guarantee;
}

}  // namespace pellucid::privacy
