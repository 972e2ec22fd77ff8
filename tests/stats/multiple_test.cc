#include "pellucid/stats/multiple.h"

#include "pellucid/core/random.h"
#include "pellucid/stats/paired.h"

#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>

namespace pellucid::stats {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

TEST(Holm, StepsDownFromTheSmallest) {
  // Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, none below the one before.
  EXPECT_THAT(holm(std::vector{0.03, 0.01, 0.5, 0.02}), ElementsAre(DoubleNear(0.06, 1e-15), DoubleNear(0.04, 1e-15),
                                                                    DoubleNear(0.5, 1e-15), DoubleNear(0.06, 1e-15)));
  EXPECT_THAT(holm(std::vector{0.9, 0.8}), ElementsAre(1, 1));
  EXPECT_THAT(holm({}), ElementsAre());
}

RC_GTEST_PROP(Holm, LiesBetweenThePValueAndBonferroni, ()) {
  const auto percent = *rc::gen::nonEmpty<std::vector<std::uint8_t>>();
  std::vector<double> p;
  for (const auto x : percent) p.push_back(x / 255.0);
  const auto corrected = holm(p);
  for (std::size_t i = 0; i < p.size(); ++i) {
    RC_ASSERT(corrected[i] >= p[i]);
    RC_ASSERT(corrected[i] <= std::min(1.0, p[i] * static_cast<double>(p.size())));
    for (std::size_t k = 0; k < p.size(); ++k) RC_ASSERT(p[i] > p[k] || corrected[i] <= corrected[k]);
  }
}

TEST(PairsNeeded, FollowsTheFormula) {
  // Mean 1, deviation 2: (1.959964 + 0.841621)^2 * 4 * pi / 3 = 32.88.
  const double spread = 2 / std::sqrt(4.0 / 3);
  EXPECT_EQ(pairs_needed(std::vector{1 - spread, 1 + spread, 1 - spread, 1 + spread}), 33);
  EXPECT_EQ(pairs_needed(std::vector{-1 + spread, -1 - spread, -1 + spread, -1 - spread}), 33)
      << "whichever is the better";
  EXPECT_EQ(pairs_needed(std::vector{1.0, 1.0, 1.0}), 6) << "2 / 2^6 is the first below 0.05";
  EXPECT_EQ(pairs_needed(std::vector{1.0, 1.0, 1.0}, 0.8, 0.005), 9);
  EXPECT_EQ(pairs_needed(std::vector{-1.0, 1.0}), std::nullopt);
  EXPECT_EQ(pairs_needed(std::vector{1.0}), std::nullopt);
}

TEST(PairsNeeded, GivesAboutThePowerItPromises) {
  core::Stream stream(1, "power");
  int told = 0;
  constexpr int kStudies = 400, kPairs = 33;
  for (int study = 0; study < kStudies; ++study) {
    std::vector<double> differences(kPairs);
    for (double& d : differences) d = 1 + 2 * stream.normal();
    told += compare_paired(differences, std::vector<double>(kPairs, 0.0), {.resamples = 1}).p_value < 0.05;
  }
  EXPECT_NEAR(told / static_cast<double>(kStudies), 0.8, 0.06);  // three deviations of a share of 400
}

}  // namespace
}  // namespace pellucid::stats
