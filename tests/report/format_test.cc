#include "pellucid/report/format.h"

#include <gtest/gtest.h>

namespace pellucid::report {
namespace {

TEST(Escape, MakesEveryMarkupCharacterHarmless) {
  EXPECT_EQ(escape(R"(<a href="x" id='y'>&amp;)"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;");
  EXPECT_EQ(escape("plain ε"), "plain ε");
}

TEST(Significant, KeepsThreeDigits) {
  EXPECT_EQ(significant(24.096), "24.1");
  EXPECT_EQ(significant(0.0412), "0.0412");
  EXPECT_EQ(significant(0.9996), "1.00");
  EXPECT_EQ(significant(-1.234), "−1.23");
  EXPECT_EQ(significant(12345.6), "12346");
  EXPECT_EQ(significant(0.0), "0");
}

TEST(Significant, TakesAPowerOfTenForSmallAndLarge) {
  EXPECT_EQ(significant(1.3e-5), "1.30×10⁻⁵");
  EXPECT_EQ(significant(0.00099999), "0.00100");
  EXPECT_EQ(significant(-4.5e12), "−4.50×10¹²");
}

TEST(Significant, IsADashWhereThereIsNothing) { EXPECT_EQ(significant(std::nullopt), "–"); }

TEST(Decimals, HasATrueMinusAndNoNegativeZero) {
  EXPECT_EQ(decimals(-2.5, 2), "−2.50");
  EXPECT_EQ(decimals(-0.001, 2), "0.00");
  EXPECT_EQ(decimals(std::nullopt, 2), "–");
}

TEST(Count, SetsThousandsApart) {
  EXPECT_EQ(count(312202.0), "312,202");
  EXPECT_EQ(count(1000.0), "1,000");
  EXPECT_EQ(count(999.0), "999");
  EXPECT_EQ(count(-11172170.0), "−11,172,170");
  EXPECT_EQ(count(std::nullopt), "–");
  EXPECT_EQ(counted(1.0, "seed"), "1 seed");
  EXPECT_EQ(counted(1200.0, "image"), "1,200 images");
}

TEST(Percent, HasTwoDecimals) {
  EXPECT_EQ(percent(0.98765), "98.77 %");
  EXPECT_EQ(percent(std::nullopt), "–");
}

TEST(Probability, NeverRoundsToCertainty) {
  EXPECT_EQ(probability(0.99999), "0.999990");
  EXPECT_EQ(probability(1 - 1e-9), "> 0.999999");
  EXPECT_EQ(probability(1e-9), "< 0.000001");
  EXPECT_EQ(probability(1.0), "1.000000");
  EXPECT_EQ(probability(0.0), "0.000000");
  EXPECT_EQ(probability(std::nullopt), "–");
}

TEST(PValue, CarriesItsRelation) {
  EXPECT_EQ(p_value(0.0214), "= 0.021");
  EXPECT_EQ(p_value(0.0004), "< 0.001");
  EXPECT_EQ(p_value(std::nullopt), "–");
}

TEST(Metric, GivesDecibelsTwoDecimals) {
  EXPECT_EQ(metric(24.0, "dB"), "24.00");
  EXPECT_EQ(metric(24.0, ""), "24.0");
  EXPECT_EQ(signed_metric(2.5, "dB"), "+2.50");
  EXPECT_EQ(signed_metric(-2.5, "dB"), "−2.50");
  EXPECT_EQ(signed_metric(std::nullopt, "dB"), "–");
}

TEST(Bounds, AreLeftOutWhereAnEndIsMissing) {
  EXPECT_EQ(bounds({1.0, 0.5, 2.0}, percent), "[50.00 %, 200.00 %]");
  EXPECT_EQ(bounds({1.0, std::nullopt, 2.0}, percent), "");
  EXPECT_EQ(bounds({1.0, 0.5, std::nullopt}, percent), "");
}

}  // namespace
}  // namespace pellucid::report
