#include "pellucid/stats/paired.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <vector>

namespace pellucid::stats {
namespace {

using Values = std::vector<double>;

const BootstrapOptions kFewResamples = {.resamples = 200, .seed = 5};

TEST(ComparePaired, WilcoxonMatchesScipy) {
  const core::Json golden = core::read_json(PELLUCID_GOLDEN "/stats.json");
  for (const auto& c : golden["paired"]) {
    const auto comparison = compare_paired(c["a"].get<Values>(), c["b"].get<Values>(), kFewResamples);
    EXPECT_NEAR(comparison.p_value, c["p_value"].get<double>(), 1e-12) << c["name"];
    EXPECT_EQ(comparison.test,
              c["exact"] ? "Wilcoxon signed-rank, exact" : "Wilcoxon signed-rank, normal approximation")
        << c["name"];
  }
}

TEST(ComparePaired, DescribesTheDifferences) {
  // Differences 2, 4, 6, -1.
  const auto comparison = compare_paired(Values{3, 5, 7, 1}, Values{1, 1, 1, 2}, kFewResamples);
  EXPECT_EQ(comparison.n, 4);
  EXPECT_EQ(comparison.mean_difference.value, 2.75);
  EXPECT_LT(comparison.mean_difference.low, 2.75);
  EXPECT_GT(comparison.mean_difference.high, 2.75);
  EXPECT_EQ(comparison.median_difference, 3);
  EXPECT_DOUBLE_EQ(comparison.rank_biserial, (9.0 - 1.0) / 10);
  EXPECT_DOUBLE_EQ(comparison.p_value, 4.0 / 16);  // W- of 0 or 1, in either direction
}

TEST(ComparePaired, AllDifferencesZero) {
  const auto comparison = compare_paired(Values{1, 2, 3}, Values{1, 2, 3}, kFewResamples);
  EXPECT_EQ(comparison.n, 3);
  EXPECT_EQ(comparison.p_value, 1);
  EXPECT_EQ(comparison.rank_biserial, 0);
  EXPECT_EQ(comparison.mean_difference.low, 0);
  EXPECT_EQ(comparison.mean_difference.high, 0);
  EXPECT_EQ(comparison.test, "none: all differences are zero");
}

TEST(ComparePaired, OnePairProvesNothing) {
  const auto comparison = compare_paired(Values{4}, Values{1}, kFewResamples);
  EXPECT_EQ(comparison.p_value, 1);
  EXPECT_EQ(comparison.rank_biserial, 1);
  EXPECT_EQ(comparison.mean_difference.value, 3);
  EXPECT_EQ(comparison.mean_difference.low, 3);
}

TEST(ComparePaired, RefusesSamplesOfDifferentSizes) {
  try {
    (void)compare_paired(Values{1, 2, 3}, Values{1, 2});
    FAIL() << "no error";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::kInternal);
    EXPECT_THAT(error.what(), testing::HasSubstr("paired samples: got 3 and 2 values"));
  }
}

TEST(ComparePaired, RefusesNoPairsAndValuesThatAreNotFinite) {
  EXPECT_THROW((void)compare_paired(Values{}, Values{}), core::Error);
  EXPECT_THROW((void)compare_paired(Values{1, INFINITY}, Values{1, 2}), core::Error);
  EXPECT_THROW((void)compare_paired(Values{1, INFINITY}, Values{1, INFINITY}), core::Error);
}

TEST(ComparePaired, RefusesOptionsOutOfRange) {
  try {
    (void)compare_paired(Values{1, 2}, Values{2, 1}, {.level = 2});
    FAIL() << "no error";
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::kUsage);
  }
}

RC_GTEST_PROP(ComparePaired, SwappingChangesSignsOnly, ()) {
  const auto pairs = *rc::gen::resize(40, rc::gen::nonEmpty<std::vector<std::pair<std::int8_t, std::int8_t>>>());
  Values a, b;
  for (const auto& [x, y] : pairs) a.push_back(x / 8.0), b.push_back(y / 8.0);
  const auto forward = compare_paired(a, b, kFewResamples), backward = compare_paired(b, a, kFewResamples);
  RC_ASSERT(forward.p_value == backward.p_value);
  RC_ASSERT(forward.test == backward.test);
  RC_ASSERT(forward.rank_biserial == -backward.rank_biserial);
  RC_ASSERT(forward.median_difference == -backward.median_difference);
  RC_ASSERT(std::abs(forward.mean_difference.low + backward.mean_difference.high) < 1e-9);
  RC_ASSERT(std::abs(forward.mean_difference.high + backward.mean_difference.low) < 1e-9);
}

RC_GTEST_PROP(ComparePaired, BoundsThePValueAndTheEffect, ()) {
  const auto a = *rc::gen::resize(40, rc::gen::nonEmpty<std::vector<std::int8_t>>());
  const auto comparison = compare_paired(Values(a.begin(), a.end()), Values(a.size(), 0.0), kFewResamples);
  RC_ASSERT(comparison.p_value > 0 && comparison.p_value <= 1);
  RC_ASSERT(comparison.rank_biserial >= -1 && comparison.rank_biserial <= 1);
}

}  // namespace
}  // namespace pellucid::stats
