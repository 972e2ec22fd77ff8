#include "pellucid/privacy/reconstruction.h"

#include "pellucid/core/random.h"
#include "pellucid/privacy/gaussian.h"
#include "pellucid/privacy/loss_distribution.h"
#include "pellucid/stats/distribution.h"

#include "tests/core/expect_error.h"

#include <algorithm>
#include <cmath>

namespace pellucid::privacy {
namespace {

using core::ErrorKind;

// Without sampling, the best test of a Gaussian: Phi(Phi^-1(prior) + sqrt(steps) / noise).
TEST(ReconstructionBound, OfTheGaussianIsTheClosedForm) {
  for (const double noise : {0.3, 1.0, 5.0}) {
    for (const std::int64_t steps : {1, 9}) {
      for (const double prior : {1e-4, 0.1, 0.5, 0.9}) {
        const double shift = std::sqrt(static_cast<double>(steps)) / noise,
                     exact = stats::normal_cdf(stats::normal_quantile(prior) + shift);
        const auto found = reconstruction_bound({{1, noise, steps}}, prior);
        EXPECT_GE(found.success, exact * (1 - 1e-12)) << noise << " " << steps << " " << prior;
        EXPECT_LE(found.success, exact * 1.001 + 1e-9) << noise << " " << steps << " " << prior;
        if (exact > 0.999) continue;  // else this is the loss of the threshold
        EXPECT_NEAR(found.epsilon, -shift * stats::normal_quantile(prior) - shift * shift / 2, 0.1 + 0.05 * shift);
      }
    }
  }
}

// One step that samples: the best test is a threshold of x, of known level and power.
TEST(ReconstructionBound, OfOneSampledStepIsTheClosedForm) {
  const auto tail = [](double z) { return stats::normal_cdf(-z); };
  for (const double q : {0.02, 0.5}) {
    for (const double noise : {0.4, 2.0}) {
      for (const double prior : {1e-3, 0.1, 0.6}) {
        const double x = -noise * stats::normal_quantile(prior), exact = (1 - q) * prior + q * tail((x - 1) / noise);
        const auto found = reconstruction_bound({{q, noise, 1}}, prior);
        EXPECT_GE(found.success, exact * (1 - 1e-12)) << q << " " << noise << " " << prior;
        EXPECT_LE(found.success, exact * 1.002) << q << " " << noise << " " << prior;
      }
    }
  }
}

// Hayes et al.'s Monte Carlo: the likelihood ratio of T sampled steps, its threshold at Q's quantile of the prior.
TEST(ReconstructionBound, OfManyStepsIsTheMonteCarlo) {
  constexpr double kRate = 0.1, kNoise = 0.8, kPrior = 0.1;
  constexpr int kSteps = 30, kDraws = 40'000;
  const auto draws = [&](bool with_record) {
    std::vector<double> losses(kDraws);
    core::Stream random(7, with_record ? "with the record" : "without the record");
    for (double& loss : losses) {
      for (int t = 0; t < kSteps; ++t) {
        const double taken = with_record && random.uniform() < kRate ? 1 : 0, x = taken + kNoise * random.normal();
        loss += std::log1p(kRate * std::expm1((2 * x - 1) / (2 * kNoise * kNoise)));
      }
    }
    std::sort(losses.begin(), losses.end());
    return losses;
  };
  const auto with = draws(true), without = draws(false);
  const double threshold = without[static_cast<std::size_t>((1 - kPrior) * kDraws)];
  const auto above = static_cast<double>(with.end() - std::upper_bound(with.begin(), with.end(), threshold));
  const auto found = reconstruction_bound({{kRate, kNoise, kSteps}}, kPrior);
  EXPECT_NEAR(found.success, above / kDraws, 0.015);  // of which 0.004 are a standard error
  EXPECT_NEAR(found.epsilon, threshold, 0.1);
}

TEST(ReconstructionBound, IsBelowWhatAnyEpsilonSays) {
  const Phases phases = {{0.05, 1, 200}};
  for (const double prior : {0.01, 0.3}) {
    const double success = reconstruction_bound(phases, prior).success;
    EXPECT_GT(success, prior);
    for (const double epsilon : {0.1, 1.0, 3.0}) {
      EXPECT_LE(success, 1.002 * reconstruction_success(epsilon, tight_delta(phases, epsilon, 1e-3).upper, prior));
    }
  }
}

TEST(ReconstructionBound, GrowsWithThePriorTheRateTheStepsAndLessNoise) {
  const auto of = [](double rate, double noise, std::int64_t steps, double prior) {
    return reconstruction_bound({{rate, noise, steps}}, prior).success;
  };
  const double at = of(0.1, 1, 50, 0.1);
  EXPECT_GT(of(0.1, 1, 50, 0.12), 1.01 * at);
  EXPECT_GT(of(0.12, 1, 50, 0.1), 1.01 * at);
  EXPECT_GT(of(0.1, 1, 70, 0.1), 1.01 * at);
  EXPECT_GT(of(0.1, 0.9, 50, 0.1), 1.01 * at);
  EXPECT_EQ(of(0, 1, 50, 0.1), 0.1) << "who never takes part";
}

TEST(ReconstructionSuccess, IsTheTestThatADeltaAllows) {
  EXPECT_DOUBLE_EQ(reconstruction_success(1, 0.01, 0.1), std::exp(1.0) * 0.1 + 0.01);
  EXPECT_DOUBLE_EQ(reconstruction_success(1, 0.01, 0.9), 1 - std::exp(-1.0) * 0.09);
  EXPECT_DOUBLE_EQ(reconstruction_success(0, 0, 0.3), 0.3);
  EXPECT_EQ(reconstruction_success(50, 0.5, 0.6), 1);
}

TEST(Reconstruction, RefusesWhatIsOutOfRange) {
  const Phases fine = {{.1, 1, 1}};
  expect_error([&] { return reconstruction_bound(fine, 0); }, ErrorKind::kUsage, "prior: got 0");
  expect_error([&] { return reconstruction_bound(fine, 1); }, ErrorKind::kUsage, "prior: got 1");
  expect_error([&] { return reconstruction_bound(fine, .1, 0); }, ErrorKind::kUsage, "accuracy: got 0");
  expect_error([&] { return reconstruction_bound({}, .1); }, ErrorKind::kUsage, "phases: got none");
  expect_error([] { return reconstruction_success(-1, 0, .1); }, ErrorKind::kUsage, "epsilon: got -1");
  expect_error([] { return reconstruction_success(1, 2, .1); }, ErrorKind::kUsage, "delta: got 2");
  expect_error([] { return reconstruction_success(1, 0, 2); }, ErrorKind::kUsage, "prior: got 2");
}

}  // namespace
}  // namespace pellucid::privacy
