#include "pellucid/stats/summary.h"

#include "pellucid/core/error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace pellucid::stats {
namespace {

TEST(Summarise, TellsCountCentreRangeAndSpread) {
  const auto summary = summarise(std::vector{2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0});
  EXPECT_EQ(summary.n, 8);
  EXPECT_EQ(summary.mean.value, 5);
  EXPECT_EQ(summary.median.value, 4.5);
  EXPECT_EQ(summary.min, 2);
  EXPECT_EQ(summary.max, 9);
  EXPECT_DOUBLE_EQ(summary.sd, std::sqrt(32.0 / 7));
  EXPECT_LT(summary.mean.low, 5);
  EXPECT_GT(summary.mean.high, 5);
  EXPECT_LT(summary.median.low, 4.5);
  EXPECT_GT(summary.median.high, 4.5);
}

TEST(Summarise, HandsTheOptionsToBothIntervals) {
  const std::vector<double> sample = {1, 2, 4, 8, 16};
  const auto summary = summarise(sample, {.resamples = 99, .level = 0.8, .seed = 4});
  EXPECT_EQ(summary.mean.low, mean_interval(sample, {.resamples = 99, .level = 0.8, .seed = 4}).low);
  EXPECT_EQ(summary.median.level, 0.8);
}

TEST(Summarise, OneValueHasNoSpread) {
  const auto summary = summarise(std::vector{3.0});
  EXPECT_EQ(summary.n, 1);
  EXPECT_EQ(summary.sd, 0);
  EXPECT_EQ(summary.mean.low, 3);
  EXPECT_EQ(summary.max, 3);
}

TEST(Summarise, RefusesWhatItCannotSummarise) {
  auto kind = [](const std::vector<double>& sample, const BootstrapOptions& options) {
    try {
      (void)summarise(sample, options);
      return core::ErrorKind::kStopped;
    } catch (const core::Error& error) {
      return error.kind();
    }
  };
  EXPECT_EQ(kind({}, {}), core::ErrorKind::kInternal);
  EXPECT_EQ(kind({1, std::nan("")}, {}), core::ErrorKind::kInternal);
  EXPECT_EQ(kind({1, 2}, {.level = 1}), core::ErrorKind::kUsage);
}

}  // namespace
}  // namespace pellucid::stats
