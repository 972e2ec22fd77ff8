#include "pellucid/core/progress.h"

#include <gtest/gtest.h>

namespace pellucid::core {
namespace {

using Seconds = std::chrono::duration<int>;

// A clock that stands where the test puts it.
RateEstimate::Clock::time_point at(int seconds) { return RateEstimate::Clock::time_point(Seconds(seconds)); }

Progress report(std::int64_t done, std::int64_t total = 100, std::string task = "train") {
  return {.task = std::move(task), .done = done, .total = total, .unit = "batches", .note = ""};
}

TEST(RateEstimate, IsUnknownUntilTwoReports) {
  RateEstimate estimate;
  EXPECT_EQ(estimate.rate(), 0);
  estimate.update(report(5), at(10));
  EXPECT_EQ(estimate.rate(), 0);
  EXPECT_LT(estimate.remaining_s(), 0);
}

TEST(RateEstimate, IsUnitsOverSeconds) {
  RateEstimate estimate;
  estimate.update(report(0), at(10));
  estimate.update(report(20), at(20));
  EXPECT_EQ(estimate.rate(), 2);
  EXPECT_EQ(estimate.remaining_s(), 40);
  estimate.update(report(100), at(30));
  EXPECT_EQ(estimate.rate(), 5);
  EXPECT_EQ(estimate.remaining_s(), 0);
}

TEST(RateEstimate, DoesNotCountWorkDoneBeforeTheFirstReport) {
  RateEstimate estimate;
  estimate.update(report(90), at(0));
  estimate.update(report(95), at(5));
  EXPECT_EQ(estimate.rate(), 1);
  EXPECT_EQ(estimate.remaining_s(), 5);
}

TEST(RateEstimate, StartsAgainWithANewTask) {
  RateEstimate estimate;
  estimate.update(report(0), at(0));
  estimate.update(report(50), at(1));
  estimate.update(report(0, 100, "invert"), at(2));
  EXPECT_EQ(estimate.rate(), 0);
  EXPECT_LT(estimate.remaining_s(), 0);
  estimate.update(report(3, 100, "invert"), at(3));
  EXPECT_EQ(estimate.rate(), 3);
}

TEST(RateEstimate, WithoutATotalKnowsTheRateOnly) {
  RateEstimate estimate;
  estimate.update(report(0, 0), at(0));
  estimate.update(report(8, 0), at(2));
  EXPECT_EQ(estimate.rate(), 4);
  EXPECT_LT(estimate.remaining_s(), 0);
}

TEST(RateEstimate, IgnoresReportsThatAddNothing) {
  RateEstimate estimate;
  estimate.update(report(4), at(0));
  estimate.update(report(9), at(0));
  estimate.update(report(4), at(7));
  EXPECT_EQ(estimate.rate(), 0);
}

TEST(FormatDuration, NamesTheTwoLargestUnits) {
  EXPECT_EQ(format_duration(0), "0 s");
  EXPECT_EQ(format_duration(12.4), "12 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(200), "3 min 20 s");
  EXPECT_EQ(format_duration(3720), "1 h 02 min");
  EXPECT_EQ(format_duration(360'000), "100 h 00 min");
}

}  // namespace
}  // namespace pellucid::core
