#include "pellucid/privacy/guarantee.h"

#include "pellucid/privacy/noise.h"
#include "pellucid/privacy/renyi.h"

#include "tests/core/expect_error.h"

#include <cmath>
#include <limits>

namespace pellucid::privacy {
namespace {

using core::ErrorKind;

TEST(Guarantee, IsOneSentence) {
  Guarantee g{.epsilon = 7.3291112, .delta = 1e-5, .phases = {{.04, 1.5, 2250}}, .accountant = "Renyi DP, order 3.9"};
  EXPECT_EQ(
      sentence(g),
      "epsilon 7.3292 (an upper bound) at delta 1e-05, for adding or removing one record: Poisson sampling at rate "
      "0.04, noise multiplier 1.5, 2250 steps; by Renyi DP, order 3.9.");
  g.lowest = 6.76;
  g.adjacency = Adjacency::kReplace;
  g.phases.push_back({1, 2, 1});
  g.warning = "look out";
  EXPECT_EQ(
      sentence(g),
      "epsilon 7.3292 (and not below 6.76) at delta 1e-05, for replacing one record: Poisson sampling at rate 0.04, "
      "noise multiplier 1.5, 2250 steps; then every record in each step, noise multiplier 2, 1 step; by Renyi DP, "
      "order 3.9. Note: look out");
}

TEST(Guarantee, PrintsBoundsThatHold) {
  EXPECT_EQ(upper_text(7.3291112), "7.3292");
  EXPECT_EQ(lower_text(7.3291112), "7.3291");
  EXPECT_EQ(upper_text(7.329102), "7.3292");
  EXPECT_EQ(upper_text(0.00012345), "0.00012345");
  EXPECT_EQ(upper_text(123456), "1.2346e+05");
  EXPECT_EQ(lower_text(99999.9), "99999");
  EXPECT_EQ(upper_text(0), "0");
  EXPECT_EQ(upper_text(std::numeric_limits<double>::infinity()), "inf");
}

TEST(Guarantee, IsWrittenAsJson) {
  const Guarantee g{.epsilon = 7, .delta = 1e-5, .phases = {{.04, 1.5, 2250}}, .accountant = "Renyi DP"};
  const auto json = to_json(g);
  EXPECT_EQ(json["epsilon"], 7);
  EXPECT_TRUE(json["lowest_epsilon"].is_null());
  EXPECT_EQ(json["phases"].dump(), R"([{"rate":0.04,"noise":1.5,"steps":2250}])");
  EXPECT_EQ(json["sentence"], sentence(g));
}

TEST(Guarantee, RefusesPhasesOutOfRange) {
  const auto refuse = [](Phases phases, const std::string& message) {
    expect_error([&] { return check(phases), 0; }, ErrorKind::kUsage, message);
  };
  refuse({}, "phases: got none");
  refuse({{1.1, 1, 1}}, "rate: got 1.1, expected a number from 0 to 1");
  refuse({{-0.1, 1, 1}}, "rate: got -0.1");
  refuse({{std::nan(""), 1, 1}}, "rate: got nan");
  refuse({{.1, 0, 1}}, "noise: got 0, expected a number above 0");
  refuse({{.1, 1, 1}, {.1, std::numeric_limits<double>::infinity(), 1}}, "noise: got inf");
  refuse({{.1, 1, 0}}, "steps: got 0, expected a whole number from 1");
  refuse({{.1, 1, 2'000'000'000'000}}, "steps: got 2000000000000");
  for (const double delta : {0.0, 1.0, -1.0, 1e-101, std::nan("")})
    expect_error([=] { return check_delta(delta), 0; }, ErrorKind::kUsage, "delta: got ");
  for (const double epsilon : {0.0, -1.0, std::nan("")})
    expect_error([=] { return check_epsilon(epsilon), 0; }, ErrorKind::kUsage, "epsilon: got ");
  EXPECT_NO_THROW(check({{0, 1e-3, 1}, {1, 1e6, 1'000'000'000'000}}));
}

// Opacus' own tests: epsilon 8, 90 epochs and 2000 steps.
TEST(Noise, ByRenyiIsOpacus) {
  EXPECT_NEAR(noise_for(8, 1e-5, .04, 2250, Accountant::kRenyi), 1.416, 1e-3);
  EXPECT_NEAR(noise_for(8, 1e-5, .04, 2000, Accountant::kRenyi), 1.3562, 1e-3);
}

TEST(Noise, IsEnoughAndNoMoreThanThat) {
  for (const double epsilon : {0.01, 1.0, 100.0}) {
    const double noise = noise_for(epsilon, 1e-6, .02, 300, Accountant::kRenyi);
    EXPECT_LE(renyi_epsilon({{.02, noise, 300}}, 1e-6).value, epsilon);
    EXPECT_GT(renyi_epsilon({{.02, noise * 0.9999, 300}}, 1e-6).value, epsilon);
  }
}

TEST(Noise, RefusesWhatIsOutOfRange) {
  const auto refuse = [](double epsilon, double delta, double rate, std::int64_t steps, const std::string& message) {
    expect_error([=] { return noise_for(epsilon, delta, rate, steps, Accountant::kRenyi); }, ErrorKind::kUsage,
                 message);
  };
  refuse(0, 1e-5, .1, 1, "epsilon: got 0");
  refuse(1, 0, .1, 1, "delta: got 0");
  refuse(1, 1e-5, 0, 1, "rate: got 0, expected a number above 0");
  refuse(1, 1e-5, 2, 1, "rate: got 2");
  refuse(1, 1e-5, .1, 0, "steps: got 0");
  refuse(1e-6, 1e-50, 1, 1'000'000'000, "noise: got more than");
}

}  // namespace
}  // namespace pellucid::privacy
