// Published values that take longer: Opacus' of its PRV accountant, and our own from another program.
#include "pellucid/privacy/loss_distribution.h"
#include "pellucid/privacy/noise.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace pellucid::privacy {
namespace {

// Opacus adds its accountant's error of 0.01 to what it returns: its values are upper bounds.
TEST(Published, OpacusPrvValuesLieAHundredthAboveTheBounds) {
  struct Row {
    double noise, rate;
    std::int64_t steps;
    double epsilon;
  };
  for (const auto& row :
       {Row{.8, .001, 100, .270403364}, Row{1.5, .001, 1000, .099820660}, Row{2, .001, 1000, .071218783},
        Row{.8, .05, 100, 6.741051939}, Row{1.5, .05, 1000, 6.209969247}, Row{2, .05, 1000, 4.172799867},
        Row{3, .05, 1000, 2.527574326}, Row{3, .2, 100, 3.381220510}, Row{1.5, .2, 100, 8.498977859},
        Row{1.5, .001, 20000, .437005109}, Row{3, .05, 50000, 24.942005643}, Row{.8, .05, 1000, 19.52584},
        Row{3, .05, 20000, 13.96111}, Row{1.5, .001, 100, .03936942}, Row{3, .001, 100, .02152009},
        Row{1.5, .05, 100, 1.953853}, Row{2, .05, 100, 1.283637}, Row{.8, .2, 100, 24.33366}, Row{2, .2, 100, 5.672056},
        Row{1.5, .05, 20000, 38.30662}, Row{.8, .001, 50000, 2.034515},
        // What their test calls 90 epochs of 25 batches is int(90 // 0.04) = 2249 steps; at delta 1e-5.
        Row{1.5, .04, 2249, 6.777395712}}) {
    const double delta = row.rate == .04 ? 1e-5 : 1e-6;
    const auto found = tight_epsilon({{row.rate, row.noise, row.steps}}, delta, std::min(1e-3, 1e-3 / row.epsilon));
    EXPECT_LE(found.upper, row.epsilon) << row.epsilon;
    EXPECT_GE(found.lower, row.epsilon - 0.0115) << row.epsilon;
    EXPECT_LE(found.lower, row.epsilon - 0.0095) << row.epsilon;
  }
}

// tf-privacy's example, sampled, with its own pessimistic grid.
TEST(Published, TensorFlowPrivacysExampleLiesWithin) {
  const auto found = tight_epsilon({{.01, .7, 120}}, 1e-5, 2e-4);
  EXPECT_LE(found.lower, 2.4612381);
  EXPECT_GE(found.upper, 2.4612381 - 2e-4);
  const auto twice = tight_epsilon({{.01, .35, 120}}, 1e-5, 2e-4);
  EXPECT_LE(twice.lower, 18.6977407);
  EXPECT_GE(twice.upper, 18.6977407 - 2e-3);
}

TEST(Published, ValuesOfAnotherProgramLieWithinItsError) {
  struct Row {
    double rate, noise;
    std::int64_t steps;
    double epsilon;
  };
  for (const auto& row :
       {Row{256 / 60000., 1.1, 14063, 2.3817}, Row{256 / 60000., 1.3, 3516, .8645}, Row{256 / 60000., .7, 10547, 5.64},
        Row{512 / 60000., 1.23, 4680, 2.3614}, Row{1024 / 50000., 1.54, 1440, 2.3651}, Row{.01, 1, 1000, 1.8282},
        Row{.01, 2, 1000, .6220}, Row{.1, 4, 100, .9829}}) {
    const auto found = tight_epsilon({{row.rate, row.noise, row.steps}}, 1e-5);
    EXPECT_NEAR((found.lower + found.upper) / 2, row.epsilon, row.epsilon > 5 ? 0.01 : 0.002);
  }
}

// Opacus', found to within 0.01 of epsilon, by an accountant that adds 0.01: that is epsilon 7.99.
TEST(Published, OpacusPrvNoiseIsOurs) {
  EXPECT_NEAR(noise_for(7.99, 1e-5, .04, 2250, Accountant::kLossDistribution), 1.34765625, 1.1e-3);
  EXPECT_NEAR(noise_for(7.99, 1e-5, .04, 2000, Accountant::kLossDistribution), 1.2915, 1.1e-3);
}

TEST(Published, NoiseIsEnoughAndNoMoreThanThat) {
  const double noise = noise_for(2, 1e-5, .1, 100, Accountant::kLossDistribution);
  EXPECT_LE(tight_epsilon({{.1, noise, 100}}, 1e-5, 1e-5).lower, 2);
  EXPECT_LE(tight_epsilon({{.1, noise, 100}}, 1e-5, 5e-4).upper, 2);
  EXPECT_GT(tight_epsilon({{.1, noise * 0.998, 100}}, 1e-5, 1e-4).lower, 2);
  EXPECT_LT(noise, noise_for(2, 1e-5, .1, 100, Accountant::kRenyi));
}

}  // namespace
}  // namespace pellucid::privacy
