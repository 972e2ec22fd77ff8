#include "pellucid/privacy/gaussian.h"

#include "tests/core/expect_error.h"
#include <rapidcheck/gtest.h>

#include <cmath>

namespace pellucid::privacy {
namespace {

using core::ErrorKind;

TEST(GaussianNoise, IsWhatBalleAndWangGive) {
  struct Row {
    double epsilon, noise;
  };
  for (const auto& row : {Row{.1, 30.7495661}, Row{.5, 7.0318267}, Row{1, 3.7306316}, Row{2, 1.9938124},
                          Row{5, .8918683}, Row{8, .6002291}, Row{10, .4998886}, Row{50, .1497606}})
    EXPECT_NEAR(gaussian_noise(row.epsilon, 1e-5), row.noise, 5.1e-8) << row.epsilon;
}

TEST(GaussianEpsilon, OfTheClassicalNoiseIsNotWhatItClaims) {
  const auto truly = [](double epsilon) { return gaussian_epsilon(classical_noise(epsilon, 1e-5), 1e-5); };
  EXPECT_NEAR(truly(1), .7510, 5e-5);
  EXPECT_NEAR(truly(5), 4.5401, 5e-5);
  EXPECT_NEAR(truly(8), 7.9144, 5e-5);
  EXPECT_NEAR(truly(10), 10.394, 5e-4);
  EXPECT_NEAR(truly(50), 96.43, 5e-3);
}

TEST(ClassicalLimit, IsWhereTheFormulaTurnsUnsound) {
  EXPECT_NEAR(classical_limit(1e-5), 8.42, 5e-3);
  for (const double delta : {1e-3, 1e-5, 1e-9}) {
    const double limit = classical_limit(delta);
    EXPECT_LT(gaussian_epsilon(classical_noise(limit * 0.99, delta), delta), limit * 0.99);
    EXPECT_GT(gaussian_epsilon(classical_noise(limit * 1.01, delta), delta), limit * 1.01);
  }
}

TEST(GaussianDelta, IsTheClosedForm) {
  const double e = std::exp(1.0);
  const auto phi = [](double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; };
  EXPECT_NEAR(gaussian_delta(1, 1), phi(-0.5) - e * phi(-1.5), 1e-15);
  EXPECT_NEAR(gaussian_delta(1, 1), .126936, 1e-6);
  EXPECT_NEAR(gaussian_delta(3, 0), phi(1 / 6.0) - phi(-1 / 6.0), 1e-15);
}

// Where e^epsilon is past what a double holds. By the series of the tail, in logarithms: 5200 = a^2 / 2 ..
TEST(GaussianDelta, DoesNotOverflow) {
  const double noise = 0.01;                           // mu = 100
  const double at_mean = gaussian_delta(noise, 5000);  // a = 0
  EXPECT_NEAR(at_mean, 0.5 - (1 / 100.0 - 1e-6) / std::sqrt(2 * M_PI), 1e-9);
  EXPECT_NEAR(gaussian_epsilon(noise, 1e-5), 5000 + 100 * 4.26489, 1);
  EXPECT_NEAR(gaussian_delta(noise, gaussian_epsilon(noise, 1e-90)) / 1e-90, 1, 1e-6);
}

RC_GTEST_PROP(Gaussian, NoiseAndEpsilonUndoEachOther, ()) {
  const double epsilon = *rc::gen::inRange(1, 3000) / 100.0, delta = std::pow(10, -*rc::gen::inRange(2, 40));
  RC_ASSERT(std::abs(gaussian_epsilon(gaussian_noise(epsilon, delta), delta) / epsilon - 1) < 1e-9);
}

RC_GTEST_PROP(Gaussian, MoreNoiseIsMorePrivate, ()) {
  const double noise = *rc::gen::inRange(10, 1000) / 100.0;
  RC_ASSERT(gaussian_epsilon(noise + 0.01, 1e-5) < gaussian_epsilon(noise, 1e-5));
  RC_ASSERT(gaussian_epsilon(noise, 1e-6) > gaussian_epsilon(noise, 1e-5));
}

TEST(GaussianEpsilon, ComposesExactly) {
  const double noise = classical_noise(1, 1e-5);
  EXPECT_NEAR(gaussian_epsilon(composed_noise(noise, 10), 1e-5), 2.688, 5e-4);
  EXPECT_NEAR(gaussian_epsilon(composed_noise(noise, 100), 1e-5), 10.394, 5e-4);
  EXPECT_NEAR(gaussian_epsilon(composed_noise(classical_noise(8, 1e-5), 100), 1e-5), 205.9, 0.05);
  EXPECT_NEAR(gaussian_epsilon(composed_noise(0.7, 2), 1e-5), 10.1224946, 5e-8);   // tf-privacy's full batches
  EXPECT_NEAR(gaussian_epsilon(composed_noise(0.35, 2), 1e-5), 24.7160779, 2e-5);  // with its own grid of losses
}

TEST(GaussianEpsilon, IsZeroWhereDeltaIsEnough) { EXPECT_EQ(gaussian_epsilon(100, 0.5), 0); }

TEST(Gaussian, RefusesWhatIsOutOfRange) {
  expect_error([] { return gaussian_delta(0, 1); }, ErrorKind::kUsage, "noise: got 0");
  expect_error([] { return gaussian_delta(1, -1); }, ErrorKind::kUsage, "epsilon: got -1");
  expect_error([] { return gaussian_epsilon(-1, 1e-5); }, ErrorKind::kUsage, "noise: got -1");
  expect_error([] { return gaussian_epsilon(1, 1); }, ErrorKind::kUsage, "delta: got 1");
  expect_error([] { return gaussian_noise(0, 1e-5); }, ErrorKind::kUsage, "epsilon: got 0");
  expect_error([] { return gaussian_noise(1, 0); }, ErrorKind::kUsage, "delta: got 0");
  expect_error([] { return classical_noise(0, 1e-5); }, ErrorKind::kUsage, "epsilon: got 0");
  expect_error([] { return classical_noise(1, -1); }, ErrorKind::kUsage, "delta: got -1");
  expect_error([] { return classical_limit(0); }, ErrorKind::kUsage, "delta: got 0");
}

}  // namespace
}  // namespace pellucid::privacy
