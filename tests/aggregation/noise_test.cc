#include "pellucid/aggregation/noise.h"

#include "tests/core/expect_error.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace pellucid::aggregation {
namespace {

constexpr std::size_t kDraws = 400'000;

TEST(Noise, TernaryIsUniform) {
  std::map<int, double> counts;
  for (const auto x : ternary(kDraws)) ++counts[x];
  ASSERT_EQ(counts.size(), 3U);
  for (const int x : {-1, 0, 1}) EXPECT_NEAR(counts[x] / kDraws, 1.0 / 3, 6 * std::sqrt(2.0 / 9 / kDraws)) << x;
}

TEST(Noise, GaussianHasTheProbabilitiesOfTheDefinition) {
  std::map<int, double> counts;
  for (const auto x : gaussian(kDraws)) ++counts[x];
  EXPECT_LE(counts.rbegin()->first, kNoiseBound);
  EXPECT_GE(counts.begin()->first, -kNoiseBound);
  double total = 0;
  for (int k = -kNoiseBound; k <= kNoiseBound; ++k) total += std::exp(-k * k / (2 * 3.2 * 3.2));
  for (int k = -kNoiseBound; k <= kNoiseBound; ++k) {
    const double p = std::exp(-k * k / (2 * 3.2 * 3.2)) / total;
    EXPECT_NEAR(counts[k] / kDraws, p, 6 * std::sqrt(p / kDraws) + 2.0 / kDraws) << k;
  }
}

TEST(Noise, SmudgingHasItsDeviationAndItsBound) {
  double square = 0, mean = 0, largest = 0;
  int odd = 0;
  for (const auto x : smudging(kDraws)) {
    const auto value = static_cast<double>(x) * 0x1p-64;
    square += value * value / kDraws;
    mean += value / kDraws;
    largest = std::max(largest, std::abs(value));
    odd += static_cast<int>(x & 1);
  }
  EXPECT_NEAR(square, 1.0 / 3, 0.005);
  EXPECT_NEAR(mean, 0, 6 * std::sqrt(1.0 / 3 / kDraws));
  EXPECT_LE(largest, 2);
  EXPECT_GT(largest, 1.5);                                      // four words and not fewer
  EXPECT_NEAR(odd, kDraws / 2.0, 6 * std::sqrt(kDraws / 4.0));  // down to the lowest bit
}

// The integral over f'^2 / f for the density of the sum of four uniform numbers of width 1, a cubic B-spline.
TEST(Noise, TheFisherInformationOfSmudgingIsAsStated) {
  double information = 0;
  constexpr int kCells = 1'000'000;
  for (int i = 0; i < kCells; ++i) {
    const double x = 2 * (i + 0.5) / kCells;  // one half of the line
    const double f = x < 1 ? (4 - 6 * x * x + 3 * x * x * x) / 6 : std::pow(2 - x, 3) / 6;
    const double slope = x < 1 ? (-12 * x + 9 * x * x) / 6 : -std::pow(2 - x, 2) / 2;
    information += 2 * slope * slope / f * 2 / kCells;
  }
  EXPECT_NEAR(information, 3.12, 0.005);
}

TEST(Noise, IsFreshEachTime) {
  EXPECT_NE(ternary(64), ternary(64));
  EXPECT_NE(gaussian(64), gaussian(64));
  EXPECT_NE(smudging(4), smudging(4));
}

}  // namespace
}  // namespace pellucid::aggregation
