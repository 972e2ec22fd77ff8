#include "pellucid/privacy/claim.h"

#include "pellucid/privacy/gaussian.h"

#include "tests/core/expect_error.h"

#include <cmath>

namespace pellucid::privacy {
namespace {

using core::ErrorKind;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(Claim, OfOneRoundIsWeakerThanTheTruthWhereTheFormulaIsSound) {
  const LocalClaim claim{.epsilon = 1};
  const auto found = check_claim(claim);
  EXPECT_NEAR(found.sigma, std::sqrt(2 * std::log(1.25e5)), 1e-12);
  EXPECT_NEAR(found.one_round, .7510, 5e-5);
  EXPECT_TRUE(found.sound);
  EXPECT_NEAR(found.limit, 8.42, 5e-3);
  ASSERT_EQ(found.views.size(), 2u);
  EXPECT_NEAR(found.views[0].one_round, .7510, 5e-5);
  // Any two updates are as far apart as an update and none at twice the clipping norm.
  EXPECT_NEAR(found.views[1].one_round, gaussian_epsilon(classical_noise(1, 1e-5) / 2, 1e-5), 1e-12);
  EXPECT_EQ(found.views[1].one_round, found.views[1].all_rounds);
}

TEST(Claim, PastTheLimitIsUnsound) {
  for (const double epsilon : {10.0, 50.0}) {
    const LocalClaim claim{.epsilon = epsilon};
    const auto found = check_claim(claim);
    EXPECT_FALSE(found.sound);
    EXPECT_NEAR(found.one_round, epsilon == 10 ? 10.394 : 96.43, 5e-3);
    EXPECT_THAT(sentences(claim, found), Contains(HasSubstr("unsound")));
  }
  EXPECT_THAT(sentences({.epsilon = 8}, check_claim({.epsilon = 8})), Not(Contains(HasSubstr("unsound"))));
}

TEST(Claim, OverRoundsIsNeitherTheSumNorOneRounds) {
  EXPECT_NEAR(check_claim({.epsilon = 1, .rounds = 10}).views[0].all_rounds, 2.688, 5e-4);
  const LocalClaim claim{.epsilon = 1, .rounds = 100};
  const auto found = check_claim(claim);
  EXPECT_NEAR(found.views[0].all_rounds, 10.394, 5e-4);
  EXPECT_EQ(found.summed, 100);
  EXPECT_NEAR(check_claim({.epsilon = 8, .rounds = 100}).views[0].all_rounds, 205.9, 0.05);
  EXPECT_THAT(sentences(claim, found), Contains(HasSubstr("adding up the claims says 100, at delta 0.001")));
}

TEST(Claim, OfASumHasTheNoiseOfAllClients) {
  const auto found = check_claim({.epsilon = 1, .rounds = 100, .clients = 10});
  ASSERT_EQ(found.views.size(), 4u);
  EXPECT_EQ(found.views[2].sees, "only the sum of 10 updates");
  EXPECT_NEAR(found.views[2].all_rounds, 2.688, 5e-4);  // a tenth of the rounds at a client's own noise
  EXPECT_NEAR(found.views[3].noise, found.views[2].noise / 2, 1e-12);
}

TEST(Claim, TakesTheSensitivityAsConfigured) {
  const auto half = check_claim({.clip = 4, .sensitivity = 2}), whole = check_claim({.clip = 4, .sensitivity = 8});
  EXPECT_NEAR(whole.sigma / half.sigma, 4, 1e-12);
  EXPECT_NEAR(check_claim({.clip = 4}).sigma / half.sigma, 2, 1e-12);
  EXPECT_EQ(half.one_round, whole.one_round);          // what it is worth if the sensitivity is right
  EXPECT_NEAR(whole.views[1].one_round, .7510, 5e-5);  // twice the clipping norm is
  EXPECT_THAT(sentences({.clip = 4, .sensitivity = 2}, half), Contains(HasSubstr("twice the clipping norm")));
  EXPECT_THAT(sentences({.clip = 4, .sensitivity = 8}, whole), Not(Contains(HasSubstr("twice the clipping norm"))));
}

TEST(Claim, SaysTheNoiseThatItTakes) {
  const LocalClaim claim{.epsilon = 3, .delta = 1e-6, .clip = 0.5, .rounds = 40};
  const double needed = check_claim(claim).sigma_needed;
  EXPECT_NEAR(gaussian_epsilon(composed_noise(needed / (2 * claim.clip), 40), 1e-6), 3, 1e-9);
}

TEST(Claim, IsWrittenAsJson) {
  const auto json = to_json(check_claim({.epsilon = 1, .clients = 3}));
  EXPECT_EQ(json["views"].size(), 4u);
  EXPECT_EQ(json["views"][1]["tells_apart"], "any two updates");
  EXPECT_EQ(json["sound"], true);
}

TEST(Claim, RefusesWhatIsOutOfRange) {
  const auto refuse = [](const LocalClaim& claim, const std::string& message) {
    expect_error([&] { return check_claim(claim); }, ErrorKind::kUsage, message);
  };
  refuse({.epsilon = 0}, "epsilon: got 0");
  refuse({.delta = 1}, "delta: got 1");
  refuse({.clip = 0}, "clip: got 0");
  refuse({.sensitivity = -1}, "sensitivity: got -1");
  refuse({.rounds = 0}, "rounds: got 0");
  refuse({.clients = 0}, "clients: got 0");
}

}  // namespace
}  // namespace pellucid::privacy
