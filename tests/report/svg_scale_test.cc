#include "pellucid/report/svg_scale.h"

#include <gmock/gmock.h>

namespace pellucid::report {
namespace {

using testing::ElementsAre;

std::vector<std::string> labels(const Scale& scale) {
  std::vector<std::string> texts;
  for (const Tick& tick : ticks(scale)) texts.push_back(tick.label);
  return texts;
}

TEST(Scale, MapsItsEndsToTheEndsOfTheAxis) {
  const Scale linear{.low = 10, .high = 20, .from = 100, .to = 0};
  EXPECT_DOUBLE_EQ(linear(10), 100);
  EXPECT_DOUBLE_EQ(linear(15), 50);
  EXPECT_DOUBLE_EQ(linear(20), 0);
  const Scale logarithmic{.low = 1e-4, .high = 1, .from = 0, .to = 100, .logarithmic = true};
  EXPECT_NEAR(logarithmic(1e-4), 0, 1e-9);
  EXPECT_NEAR(logarithmic(1e-2), 50, 1e-9);
  EXPECT_NEAR(logarithmic(1), 100, 1e-9);
}

TEST(FitScale, HoldsAllValuesAndEndsOnTicks) {
  const Scale scale = fit_scale({3.2, std::nullopt, 18.9}, false, 0, 1);
  EXPECT_LE(scale.low, 3.2);
  EXPECT_GE(scale.high, 18.9);
  EXPECT_DOUBLE_EQ(ticks(scale).front().value, scale.low);
  EXPECT_DOUBLE_EQ(ticks(scale).back().value, scale.high);
}

TEST(FitScale, TakesWholePowersOfTenAndPassesOverWhatIsNotPositive) {
  const Scale scale = fit_scale({0.0, -1.0, 3e-5, 0.7}, true, 0, 1);
  EXPECT_NEAR(scale.low, 1e-5, 1e-12);
  EXPECT_NEAR(scale.high, 1, 1e-12);
}

TEST(FitScale, MakesARangeOfAConstantAndOfNothing) {
  for (const bool logarithmic : {false, true}) {
    for (const auto& values : {std::vector<Value>{2.0, 2.0}, {0.0}, {std::nullopt}, {}, {100.0}, {-3.0}}) {
      const Scale scale = fit_scale(values, logarithmic, 0, 1);
      EXPECT_LT(scale.low, scale.high);
      EXPECT_GE(ticks(scale).size(), 2u);
    }
  }
}

TEST(Ticks, AreRound) {
  EXPECT_THAT(labels({.low = 0, .high = 1}), ElementsAre("0.0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(labels({.low = -20, .high = 20}), ElementsAre("−20", "−10", "0", "10", "20"));
}

TEST(Ticks, ArePowersOfTenOnALogarithmicScale) {
  EXPECT_THAT(labels({.low = 1e-3, .high = 1, .logarithmic = true}), ElementsAre("10⁻³", "10⁻²", "10⁻¹", "10⁰"));
  EXPECT_THAT(labels({.low = 1, .high = 10, .logarithmic = true}), ElementsAre("10⁰", "2×10⁰", "5×10⁰", "10¹"));
}

TEST(Ticks, AreFewOnAnyRange) {
  for (int exponent = -12; exponent <= 12; ++exponent) {
    for (const double lead : {1.0, 1.7, 3.0, 4.9, 7.3, 9.9}) {
      const double value = lead * std::pow(10, exponent);
      for (const bool logarithmic : {false, true}) {
        const std::size_t n = ticks(fit_scale({value, 1e-9 * value, value / 3}, logarithmic, 0, 1)).size();
        EXPECT_GE(n, 2u) << value;
        EXPECT_LE(n, 10u) << value;
      }
    }
  }
}

}  // namespace
}  // namespace pellucid::report
