#include "pellucid/privacy/loss_distribution.h"

#include "pellucid/core/random.h"
#include "pellucid/privacy/gaussian.h"
#include "pellucid/privacy/renyi.h"

#include "tests/core/expect_error.h"

#include <cmath>

namespace pellucid::privacy {
namespace {

using core::ErrorKind;

// The closed form of no sampling, at deltas and noises far apart.
TEST(TightEpsilon, HoldsTheGaussiansBetweenItsBounds) {
  struct Row {
    double noise, delta;
    std::int64_t steps;
  };
  for (const auto& row : {Row{1, 1e-5, 1}, Row{1, 1e-60, 1}, Row{.05, 1e-5, 1}, Row{10, 1e-5, 100}, Row{50, 1e-2, 9},
                          Row{5, 1e-10, 30}}) {
    const double exact = gaussian_epsilon(composed_noise(row.noise, static_cast<double>(row.steps)), row.delta);
    const auto found = tight_epsilon({{1, row.noise, row.steps}}, row.delta, 1e-4);
    EXPECT_LE(found.lower, exact);
    EXPECT_GE(found.upper, exact);
    EXPECT_LE(found.upper - found.lower, 1e-4 * std::max(0.1, found.upper)) << exact;
    EXPECT_LT(found.rounding, 1e-3);
    EXPECT_GT(found.points, 1);
  }
}

// A step that samples is a mixture; for one step delta(epsilon) has a closed form, in each direction.
TEST(TightDelta, HoldsOneStepsBetweenItsBounds) {
  const auto tail = [](double z) { return std::erfc(z / std::sqrt(2.0)) / 2; };
  for (const double q : {0.01, 0.3, 0.9}) {
    for (const double s : {0.5, 2.0}) {
      for (const double epsilon : {0.01, 0.1, 0.5}) {
        const double x = s * s * std::log1p(std::expm1(epsilon) / q) + 0.5;  // where the loss of removing is epsilon
        double exact = (1 - q) * tail(x / s) + q * tail((x - 1) / s) - std::exp(epsilon) * tail(x / s);
        if (const double left = std::expm1(-epsilon) / q; left > -1) {
          const double y = s * s * std::log1p(left) + 0.5;
          const double added = tail(-y / s) - std::exp(epsilon) * ((1 - q) * tail(-y / s) + q * tail(-(y - 1) / s));
          exact = std::max(exact, added);
        }
        const auto found = tight_delta({{q, s, 1}}, epsilon, 1e-2);
        EXPECT_LE(found.lower, exact) << q << " " << s << " " << epsilon;
        EXPECT_GE(found.upper, exact) << q << " " << s << " " << epsilon;
        if (exact > 1e-15) {  // rounding decides below
          EXPECT_LE(found.upper - found.lower, 1e-2 * found.upper) << q << " " << s << " " << epsilon;
        }
      }
    }
  }
}

TEST(TightDelta, IsOfTheDirectionAskedFor) {
  const Phases phases = {{.3, .5, 2}};
  const auto of = [&](Direction direction) { return tight_delta(phases, 0.5, 1e-3, direction); };
  const auto removing = of(Direction::kRemove), adding = of(Direction::kAdd), worse = of(Direction::kWorse);
  EXPECT_EQ(removing.upper, worse.upper);
  EXPECT_LT(adding.upper, removing.lower);
  const auto past = [](Direction direction) { return tight_delta({{.3, .5, 1}}, 0.36, 1e-3, direction, 1).upper; };
  EXPECT_LT(past(Direction::kAdd), 1e-3) << "no loss of adding is above -log(1 - rate) = 0.357";
  EXPECT_GT(past(Direction::kRemove), 0.1);
}

TEST(TightDelta, TakesLessTroubleWhereItMayBeLessAccurate) {
  const Phases phases = {{.1, 1, 100}};
  const auto fine = tight_delta(phases, 6, 1e-3), coarse = tight_delta(phases, 6, 1e-3, Direction::kWorse, 0.1);
  EXPECT_LT(coarse.points, fine.points);
  EXPECT_LE(coarse.lower, fine.lower);
  EXPECT_GE(coarse.upper, fine.upper);
  EXPECT_LT(coarse.upper - coarse.lower, 1e-4);
}

TEST(TightDelta, IsDpAccountings) {
  const auto sampled = tight_delta({{.2, .5, 3}}, 1, 1e-4);
  EXPECT_NEAR(sampled.upper, .15594, 5e-6);
  EXPECT_NEAR(sampled.lower, .15593, 1e-5);
  const auto plain = tight_delta({{1, std::sqrt(3), 3}}, 1, 1e-4);
  EXPECT_LE(plain.lower, .126937);
  EXPECT_GE(plain.upper, .126936);
}

TEST(TightEpsilon, IsBelowRenyis) {
  const Phases phases = {{.04, 1.5, 2250}};
  const auto found = tight_epsilon(phases, 1e-5);
  EXPECT_GT(found.lower, 6.76);
  EXPECT_LT(found.upper, 6.773);
  EXPECT_LT(found.upper, 0.93 * renyi_epsilon(phases, 1e-5).value);
}

TEST(TightEpsilon, TakesPhasesInAnyOrder) {
  const Phases phases = {{.04, 1.5, 300}, {.1, 2, 50}, {1, 20, 4}};
  const auto one = tight_epsilon(phases, 1e-6), other = tight_epsilon({phases[2], phases[0], phases[1]}, 1e-6);
  EXPECT_NEAR(one.upper / other.upper, 1, 1e-9);
  EXPECT_NEAR(one.lower / other.lower, 1, 1e-9);
  const auto whole = tight_epsilon({{.05, 2, 300}}, 1e-6), split = tight_epsilon({{.05, 2, 100}, {.05, 2, 200}}, 1e-6);
  EXPECT_NEAR(whole.upper / split.upper, 1, 1e-9);
  const auto alone = tight_epsilon({phases[0]}, 1e-6), beside = tight_epsilon({phases[0], {0, 1, 1000}}, 1e-6);
  EXPECT_EQ(alone.upper, beside.upper);
}

TEST(TightDelta, UndoesEpsilon) {
  const Phases phases = {{.1, 2, 100}};
  const auto epsilon = tight_epsilon(phases, 1e-6, 1e-4);
  EXPECT_LE(tight_delta(phases, epsilon.upper, 1e-3).lower, 1e-6);
  EXPECT_GE(tight_delta(phases, epsilon.lower, 1e-3).upper, 1e-6);
  EXPECT_NEAR(tight_delta(phases, epsilon.upper, 1e-3).upper / 1e-6, 1, 5e-3);
}

TEST(TightEpsilon, OfNothingSampledIsZero) {
  EXPECT_EQ(tight_epsilon({{0, 1, 10}}, 1e-5).upper, 0);
  EXPECT_EQ(tight_delta({{0, 1, 10}}, 0.1).upper, 0);
  // Ten steps that take an example with probability 1e-8 may all be given up for a delta of 1e-5.
  EXPECT_EQ(tight_epsilon({{1e-8, 1, 10}}, 1e-5).upper, 0);
}

// Where nothing is known from below the bounds are far apart, and that is said.
TEST(TightGuarantee, SaysIfTheBoundsAreFarApart) {
  const auto far = tight_guarantee({{1e-6, .5, 1000}}, 1e-9);
  EXPECT_EQ(far.lowest, 0);
  EXPECT_THAT(far.warning, testing::HasSubstr("further apart"));
  EXPECT_LT(far.epsilon, 0.1);
  const auto near = tight_guarantee({{.2, 3, 100}}, 1e-6);
  EXPECT_EQ(near.warning, "");
  EXPECT_GT(near.lowest, 0.999 * near.epsilon);
}

TEST(TightEpsilon, FallsWithNoiseAndGrowsWithRateStepsAndSmallerDelta) {
  core::Stream random(3, "settings of the test");
  for (int i = 0; i < 6; ++i) {
    const double q = random.uniform(0.02, 0.8), s = random.uniform(1, 4);
    const auto steps = static_cast<std::int64_t>(1 + random.below(100));
    const auto epsilon = [](double rate, double noise, std::int64_t n, double delta) {
      return tight_epsilon({{rate, noise, n}}, delta, 0.01);
    };
    const auto at = epsilon(q, s, steps, 1e-5);
    EXPECT_LT(at.lower, at.upper);
    EXPECT_LT(at.upper, renyi_epsilon({{q, s, steps}}, 1e-5).value);
    EXPECT_LT(epsilon(q, s * 1.1, steps, 1e-5).upper, at.lower);
    EXPECT_GT(epsilon(q * 1.1, s, steps, 1e-5).lower, at.upper);
    EXPECT_GT(epsilon(q, s, 2 * steps, 1e-5).lower, at.upper);
    EXPECT_GT(epsilon(q, s, steps, 1e-6).lower, at.upper);
  }
}

TEST(Tight, RefusesWhatIsOutOfRange) {
  const Phases fine = {{.1, 1, 1}};
  expect_error([&] { return tight_epsilon(fine, 0); }, ErrorKind::kUsage, "delta: got 0");
  expect_error([&] { return tight_epsilon({}, 1e-5); }, ErrorKind::kUsage, "phases: got none");
  expect_error([&] { return tight_epsilon(fine, 1e-5, 0); }, ErrorKind::kUsage, "accuracy: got 0");
  expect_error([&] { return tight_delta(fine, -0.1); }, ErrorKind::kUsage, "epsilon: got -0.1");
  expect_error([&] { return tight_delta(fine, 1, 2); }, ErrorKind::kUsage, "accuracy: got 2");
  expect_error([] { return tight_guarantee({{2, 1, 1}}, 1e-5); }, ErrorKind::kUsage, "rate: got 2");
}

}  // namespace
}  // namespace pellucid::privacy
