#include "pellucid/privacy/discrete_gaussian.h"

#include "pellucid/core/random.h"
#include "pellucid/privacy/renyi.h"

#include "tests/core/expect_error.h"
#include <boost/math/distributions/chi_squared.hpp>

#include <cmath>
#include <map>
#include <set>

namespace pellucid::privacy {
namespace {

using core::ErrorKind;

// Not cryptographic, and the same each time.
Bits stream_bits(std::uint64_t seed) {
  return [stream = core::Stream(seed, "discrete gaussian test")]() mutable {
    return std::uint64_t{stream.bits()} << 32 | stream.bits();
  };
}

// The probability that a sample as far from what was expected as this one, or further, comes from it (Pearson's
// chi-square; values expected less than 10 times are one bin).
template <typename Draw, typename Weight>
double chi_square_p(int draws, std::int64_t reach, Draw draw, Weight weight) {
  std::map<std::int64_t, double> seen;
  for (int i = 0; i < draws; ++i) seen[draw()] += 1;
  double total = 0;
  for (std::int64_t k = -reach; k <= reach; ++k) total += weight(k);
  double statistic = 0, rest_expected = draws, rest_seen = draws;
  int bins = 0;
  for (std::int64_t k = -reach; k <= reach; ++k) {
    const double expected = draws * weight(k) / total;
    if (expected < 10) continue;
    statistic += std::pow(seen[k] - expected, 2) / expected;
    rest_expected -= expected;
    rest_seen -= seen[k];
    ++bins;
  }
  if (rest_expected > 1) statistic += std::pow(rest_seen - rest_expected, 2) / rest_expected, ++bins;
  return cdf(complement(boost::math::chi_squared(bins - 1), statistic));
}

TEST(DiscreteGaussian, HasItsDistribution) {
  for (const Ratio v : {Ratio{1, 1}, Ratio{1, 4}, Ratio{7, 3}, Ratio{100, 1}, Ratio{12345, 1000}}) {
    const double variance = static_cast<double>(v.numerator) / static_cast<double>(v.denominator);
    const auto bits = stream_bits(v.numerator);
    const double p = chi_square_p(
        20'000, 200, [&] { return discrete_gaussian(v, bits); },
        [=](std::int64_t k) { return std::exp(-static_cast<double>(k * k) / (2 * variance)); });
    EXPECT_GT(p, 0.01) << variance;
  }
}

TEST(DiscreteLaplace, HasItsDistribution) {
  for (const Ratio s : {Ratio{1, 1}, Ratio{3, 1}, Ratio{1, 2}, Ratio{7, 3}}) {
    const double scale = static_cast<double>(s.numerator) / static_cast<double>(s.denominator);
    const auto bits = stream_bits(10 + s.numerator);
    const double p = chi_square_p(
        20'000, 300, [&] { return discrete_laplace(s, bits); },
        [=](std::int64_t k) { return std::exp(-std::abs(static_cast<double>(k)) / scale); });
    EXPECT_GT(p, 0.01) << scale;
  }
}

// What the test is worth: a variance 10 % off is found out.
TEST(DiscreteGaussian, OfAnotherVarianceFailsTheTest) {
  const auto bits = stream_bits(1);
  const double p = chi_square_p(
      20'000, 200,
      [&] {
        return discrete_gaussian({1, 1}, bits);
      },
      [](std::int64_t k) { return std::exp(-static_cast<double>(k * k) / 2.2); });
  EXPECT_LT(p, 1e-6);
}

TEST(DiscreteGaussian, OfALargeVarianceHasIt) {
  constexpr std::uint64_t kVariance = std::uint64_t{1} << 40;
  const auto bits = stream_bits(5);
  double sum = 0, squares = 0;
  constexpr int kDraws = 5000;
  for (int i = 0; i < kDraws; ++i) {
    const auto x = static_cast<double>(discrete_gaussian({kVariance, 1}, bits));
    sum += x, squares += x * x;
  }
  EXPECT_NEAR(squares / kDraws / static_cast<double>(kVariance), 1, 4 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(sum / kDraws, 0, 4 * std::sqrt(static_cast<double>(kVariance) / kDraws));
}

TEST(SystemBits, DoNotRepeat) {
  auto one = system_bits(), other = system_bits();
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(one()), seen.insert(other());
  EXPECT_EQ(seen.size(), 2000u);
}

TEST(FloatGaussian, HasItsMoments) {
  const auto bits = stream_bits(7);
  double sum = 0, squares = 0, fourths = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = float_gaussian(2, bits) / 2;
    sum += x, squares += x * x, fourths += x * x * x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 4 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 4 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(fourths / kDraws, 3, 4 * std::sqrt(96.0 / kDraws));
  EXPECT_EQ(float_gaussian(0, bits), 0);
}

TEST(DiscreteDivergence, OfOneClientIsTheGaussians) {
  EXPECT_DOUBLE_EQ(discrete_divergence({.variance = 4, .l2 = 3}, 5), 5 * 9 / 8.0);
  EXPECT_DOUBLE_EQ(discrete_divergence({.variance = 4, .dimension = 100, .l2 = 3}, 5), 5 * 9 / 8.0);
  std::vector<double> gaussian;
  for (const double order : default_orders()) gaussian.push_back(order * 10 / (2 * 25.0));
  EXPECT_DOUBLE_EQ(discrete_epsilon({.variance = 25}, 10, 1e-5), to_epsilon(default_orders(), gaussian, 1e-5).value);
}

// One coordinate: by the definition, sum_k P(k)^a Q(k)^(1 - a), of noise and of noise moved by one.
TEST(DiscreteDivergence, IsNotBelowTheTruth) {
  for (const double variance : {0.25, 1.0, 9.0}) {
    for (const int clients : {1, 2, 5}) {
      constexpr int kReach = 120;
      std::vector<double> one(2 * kReach + 1), sum = {1};
      double total = 0;
      for (int k = -kReach; k <= kReach; ++k) total += one[k + kReach] = std::exp(-k * k / (2 * variance));
      for (auto& p : one) p /= total;
      for (int i = 0; i < clients; ++i) {
        std::vector<double> next(sum.size() + one.size() - 1, 0);
        for (std::size_t a = 0; a < sum.size(); ++a)
          for (std::size_t b = 0; b < one.size(); ++b) next[a + b] += sum[a] * one[b];
        sum = next;
      }
      for (const double order : {2.0, 5.0}) {
        double moment = 0;
        for (std::size_t k = 1; k < sum.size(); ++k) {
          if (sum[k] > 1e-200 && sum[k - 1] > 1e-200)
            moment += std::exp(order * std::log(sum[k]) + (1 - order) * std::log(sum[k - 1]));
        }
        const double truth = std::log(moment) / (order - 1);
        const double bound = discrete_divergence({.variance = variance, .clients = clients}, order);
        EXPECT_GE(bound, truth * (1 - 1e-9)) << variance << " " << clients << " " << order;
        if (variance >= 1) {
          EXPECT_NEAR(bound, truth, 0.01 * truth) << variance << " " << clients << " " << order;
        }
      }
    }
  }
}

// tau of proposition 14 by hand: variance 1, 3 clients.
TEST(DiscreteDivergence, OfSeveralClientsIsProposition14) {
  const double pi2 = std::pow(std::acos(-1.0), 2), tau = 10 * (std::exp(-pi2) + std::exp(-pi2 * 4 / 3));
  const double a = 2 / std::sqrt(3.0), b = 5 / std::sqrt(3.0), d = 16;
  const double wanted = std::min(
      {4 * a * a / 2 + tau * d, 2 * (a * a + 2 * b * tau + tau * tau * d), 2 * std::pow(a + tau * std::sqrt(d), 2)});
  EXPECT_NEAR(discrete_divergence({.variance = 1, .clients = 3, .dimension = 16, .l2 = 2, .l1 = 5}, 4), wanted, 1e-14);
}

TEST(Discrete, RefusesWhatIsOutOfRange) {
  const auto bits = stream_bits(0);
  expect_error([&] { return discrete_gaussian({0, 1}, bits); }, ErrorKind::kUsage, "variance: got 0/1");
  expect_error([&] { return discrete_gaussian({1, 0}, bits); }, ErrorKind::kUsage, "variance: got 1/0");
  expect_error([&] { return discrete_laplace({0, 1}, bits); }, ErrorKind::kUsage, "scale: got 0/1");
  expect_error([&] { return float_gaussian(-1, bits); }, ErrorKind::kUsage, "deviation: got -1");
  const auto refuse = [](const DiscreteNoise& noise, double order, const std::string& message) {
    expect_error([&] { return discrete_divergence(noise, order); }, ErrorKind::kUsage, message);
  };
  refuse({.variance = 0}, 2, "variance: got 0");
  refuse({.variance = 0.2, .clients = 2}, 2, "variance: got 0.2, expected at least 0.25");
  refuse({.clients = 0}, 2, "clients: got 0");
  refuse({.dimension = 0}, 2, "dimension: got 0");
  refuse({.l2 = -1}, 2, "l2: got -1");
  refuse({.l1 = -1}, 2, "l1: got -1");
  refuse({}, 0.5, "order: got 0.5");
  expect_error([] { return discrete_epsilon({}, 0, 1e-5); }, ErrorKind::kUsage, "steps: got 0");
  expect_error([] { return discrete_epsilon({}, 1, 0); }, ErrorKind::kUsage, "delta: got 0");
}

}  // namespace
}  // namespace pellucid::privacy
