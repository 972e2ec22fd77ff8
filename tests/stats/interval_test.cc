#include "pellucid/stats/interval.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace pellucid::stats {
namespace {

using core::Error;
using core::ErrorKind;
using testing::HasSubstr;

const core::Json& golden(const std::string& part) {
  static const core::Json document = core::read_json(PELLUCID_GOLDEN "/stats.json");
  return document[part];
}

template <typename Call>
void expect_error(Call call, ErrorKind kind, const std::string& message) {
  try {
    (void)call();
    ADD_FAILURE() << "no error, expected: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

// Eighths: sums of them are exact, so that what must be equal is.
rc::Gen<std::vector<double>> samples() {
  const auto value = rc::gen::map(rc::gen::inRange(-800, 800), [](int eighths) { return eighths / 8.0; });
  return rc::gen::resize(30, rc::gen::nonEmpty(rc::gen::container<std::vector<double>>(value)));
}

constexpr BootstrapOptions kFew = {.resamples = 200, .level = 0.95, .seed = 3};

TEST(Mean, IsTheSumOverTheCount) { EXPECT_DOUBLE_EQ(mean(std::vector{1.0, 2.0, 6.0}), 3); }

TEST(Median, IsTheMiddleValueOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(median(std::vector{9.0, 1.0, 2.0}), 2);
  EXPECT_EQ(median(std::vector{9.0, 1.0, 2.0, 3.0}), 2.5);
}

TEST(Sample, RefusesNoValues) {
  const std::vector<double> none;
  const std::string message = "sample: got no values, expected at least one";
  expect_error([&] { return mean(none); }, ErrorKind::kInternal, message);
  expect_error([&] { return median(none); }, ErrorKind::kInternal, message);
  expect_error([&] { return mean_interval(none); }, ErrorKind::kInternal, message);
  expect_error([&] { return median_interval(none); }, ErrorKind::kInternal, message);
}

TEST(Sample, RefusesAValueThatIsNotFinite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double bad : {kInfinity, -kInfinity, std::nan("")}) {
    const std::vector<double> sample = {1, bad, 2};
    expect_error([&] { return mean(sample); }, ErrorKind::kInternal, "sample: value 1 of 3: got ");
    expect_error([&] { return median(sample); }, ErrorKind::kInternal, "expected a finite number");
    expect_error([&] { return mean_interval(sample); }, ErrorKind::kInternal, "expected a finite number");
  }
}

TEST(Bootstrap, RefusesOptionsOutOfRange) {
  const std::vector<double> sample = {1, 2};
  for (const double level : {0.0, 1.0, -1.0, std::nan("")}) {
    expect_error([&] { return mean_interval(sample, {.level = level}); }, ErrorKind::kUsage, "level: got ");
  }
  expect_error([&] { return mean_interval(sample, {.resamples = 0}); }, ErrorKind::kUsage,
               "resamples: got 0, expected a whole number from 1");
}

// The ends of both libraries are Monte-Carlo estimates. With 100,000 resamples ours has a standard error of about 0.012
// standard errors of the mean (the quantile's own and that of the bias); 0.06 is five of them.
TEST(MeanInterval, MatchesScipysBca) {
  for (const auto& c : golden("bootstrap")) {
    if (c["statistic"] != "mean") continue;
    const auto interval = mean_interval(c["sample"].get<std::vector<double>>(), {.resamples = 100'000});
    const double tolerance = 0.06 * c["standard_error"].get<double>();
    EXPECT_NEAR(interval.value, c["value"].get<double>(), 1e-12) << c["name"];
    EXPECT_NEAR(interval.low, c["low"].get<double>(), tolerance) << c["name"];
    EXPECT_NEAR(interval.high, c["high"].get<double>(), tolerance) << c["name"];
  }
}

// The median of an odd number of values is one of them, and so are the ends of its interval.
TEST(MedianInterval, MatchesScipysBca) {
  for (const auto& c : golden("bootstrap")) {
    if (c["statistic"] != "median") continue;
    const auto interval = median_interval(c["sample"].get<std::vector<double>>());
    EXPECT_EQ(interval.value, c["value"].get<double>()) << c["name"];
    EXPECT_EQ(interval.low, c["low"].get<double>()) << c["name"];
    EXPECT_EQ(interval.high, c["high"].get<double>()) << c["name"];
  }
}

// 500 normal samples of 30. A BCa interval of 95 % covers about 94 % at this size, so the count has a standard
// deviation of 1.1 points: a correct interval falls outside 90 % to 98 % for one seed in some thousand.
TEST(MeanInterval, CoversTheTrueMeanAsOftenAsItSays) {
  constexpr int kTrials = 500;
  int covered = 0;
  for (std::uint64_t trial = 0; trial < kTrials; ++trial) {
    core::Stream stream(11, "coverage", trial);
    std::vector<double> sample(30);
    for (double& x : sample) x = 5 + 2 * stream.normal();
    const auto interval = mean_interval(sample, {.resamples = 500, .seed = trial});
    covered += interval.low <= 5 && 5 <= interval.high;
  }
  EXPECT_GE(covered, 0.90 * kTrials);
  EXPECT_LE(covered, 0.98 * kTrials);
}

TEST(MeanInterval, IsTheValueItselfForOneValueAndForEqualValues) {
  for (const auto& sample : {std::vector{3.5}, std::vector{3.5, 3.5, 3.5}}) {
    const auto interval = mean_interval(sample);
    EXPECT_EQ(interval.value, 3.5);
    EXPECT_EQ(interval.low, 3.5);
    EXPECT_EQ(interval.high, 3.5);
    EXPECT_EQ(interval.level, 0.95);
  }
}

TEST(MeanInterval, DependsOnTheSeedAlone) {
  const std::vector<double> sample = {1, 2, 4, 8, 16};
  const BootstrapOptions seven = {.resamples = 99, .seed = 7}, eight = {.resamples = 99, .seed = 8};
  EXPECT_EQ(mean_interval(sample, seven).low, mean_interval(sample, seven).low);
  EXPECT_NE(mean_interval(sample, seven).low, mean_interval(sample, eight).low);
}

TEST(MeanInterval, WidensWithTheLevel) {
  const std::vector<double> sample = {1, 2, 4, 8, 16, 3, 5};
  const auto narrow = mean_interval(sample, {.level = 0.8}), wide = mean_interval(sample, {.level = 0.99});
  EXPECT_LT(wide.low, narrow.low);
  EXPECT_GT(wide.high, narrow.high);
  EXPECT_EQ(wide.level, 0.99);
  const auto widest = mean_interval(sample, {.level = std::nextafter(1.0, 0.0)});  // (1 + level) / 2 is 1
  EXPECT_LE(widest.low, wide.low);
  EXPECT_GE(widest.high, wide.high);
}

RC_GTEST_PROP(BootstrapInterval, HoldsItsEstimateAndStaysWithinTheSample, ()) {
  const auto sample = *samples();
  const auto [least, greatest] = std::minmax_element(sample.begin(), sample.end());
  for (const auto& interval : {mean_interval(sample, kFew), median_interval(sample, kFew)}) {
    RC_ASSERT(*least <= interval.low);
    RC_ASSERT(interval.low <= interval.value);
    RC_ASSERT(interval.value <= interval.high);
    RC_ASSERT(interval.high <= *greatest);
  }
}

RC_GTEST_PROP(BootstrapInterval, MovesWithTheSample, ()) {
  const auto sample = *samples();
  auto moved = sample;
  for (double& x : moved) x += 64;
  const auto before = mean_interval(sample, kFew), after = mean_interval(moved, kFew);
  RC_ASSERT(std::abs(after.value - before.value - 64) < 1e-9);
  RC_ASSERT(std::abs(after.low - before.low - 64) < 1e-9);
  RC_ASSERT(std::abs(after.high - before.high - 64) < 1e-9);
}

TEST(ProportionInterval, MatchesScipy) {
  for (const auto& c : golden("proportion")) {
    const auto n = c["n"].get<std::int64_t>(), k = c["k"].get<std::int64_t>();
    const auto interval = proportion_interval(k, n, c["level"].get<double>());
    EXPECT_DOUBLE_EQ(interval.value, static_cast<double>(k) / static_cast<double>(n)) << c;
    EXPECT_NEAR(interval.low, c["low"].get<double>(), 1e-9) << c;
    EXPECT_NEAR(interval.high, c["high"].get<double>(), 1e-9) << c;
    EXPECT_EQ(interval.level, c["level"].get<double>()) << c;
  }
}

TEST(ProportionInterval, RefusesCountsThatAreNone) {
  for (const auto& [k, n] : {std::pair{0, 0}, {-1, 5}, {6, 5}}) {
    expect_error([k = k, n = n] { return proportion_interval(k, n); }, ErrorKind::kInternal,
                 fmt::format("proportion: got {} of {}", k, n));
  }
}

TEST(ProportionInterval, RefusesALevelOutOfRange) {
  for (const double level : {0.0, 1.0}) {
    expect_error([&] { return proportion_interval(1, 2, level); }, ErrorKind::kUsage, "level: got ");
  }
}

RC_GTEST_PROP(ProportionInterval, HoldsItsEstimateAndMirrors, ()) {
  const auto n = *rc::gen::inRange<std::int64_t>(1, 5000);
  const auto k = *rc::gen::inRange<std::int64_t>(0, n + 1);
  const auto hits = proportion_interval(k, n), misses = proportion_interval(n - k, n);
  RC_ASSERT(0 <= hits.low && hits.low <= hits.value && hits.value <= hits.high && hits.high <= 1);
  RC_ASSERT(std::abs(hits.low + misses.high - 1) < 1e-9);
}

}  // namespace
}  // namespace pellucid::stats
