#include "pellucid/training/options.h"

#include "tests/core/expect_error.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::training {
namespace {

TrainingOptions with(Schedule schedule) {
  TrainingOptions options;
  options.schedule = schedule;
  options.epochs = 10;
  options.learning_rate = 0.2;
  return options;
}

TEST(LearningRate, IsConstant) {
  for (const double epoch : {0.0, 3.3, 10.0}) EXPECT_EQ(learning_rate(with(Schedule::kConstant), epoch), 0.2);
}

TEST(LearningRate, FallsAtTheMilestones) {
  auto options = with(Schedule::kStep);
  options.milestones = {4, 7};
  options.gamma = 0.5;
  EXPECT_EQ(learning_rate(options, 3.99), 0.2);
  EXPECT_EQ(learning_rate(options, 4), 0.1);
  EXPECT_EQ(learning_rate(options, 6.99), 0.1);
  EXPECT_EQ(learning_rate(options, 7), 0.05);
}

TEST(LearningRate, RisesToThePeakAndFallsToNothing) {
  auto options = with(Schedule::kCyclic);
  options.peak = 0.4;
  EXPECT_EQ(learning_rate(options, 0), 0);
  EXPECT_NEAR(learning_rate(options, 1), 0.05, 1e-12);
  EXPECT_NEAR(learning_rate(options, 4), 0.2, 1e-12);
  EXPECT_NEAR(learning_rate(options, 7), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(options, 10), 0, 1e-12);
}

TEST(LearningRate, AcceptsAPeakAtEitherEnd) {
  auto options = with(Schedule::kCyclic);
  options.peak = 0;
  EXPECT_EQ(learning_rate(options, 0), 0.2);
  EXPECT_NEAR(learning_rate(options, 5), 0.1, 1e-12);
  options.peak = 1;
  EXPECT_NEAR(learning_rate(options, 5), 0.1, 1e-12);
  EXPECT_EQ(learning_rate(options, 10), 0.2);
}

TEST(LearningRate, FollowsHalfACosine) {
  const auto options = with(Schedule::kCosine);
  EXPECT_EQ(learning_rate(options, 0), 0.2);
  EXPECT_NEAR(learning_rate(options, 10.0 / 3), 0.15, 1e-12);  // cos 60 degrees = 1/2
  EXPECT_NEAR(learning_rate(options, 5), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(options, 10), 0, 1e-12);
}

TEST(TrainingOptions, DescribeTheAttackWhereThereIsOne) {
  TrainingOptions options;
  EXPECT_EQ(describe(options), "standard training: 4 epochs in batches of 128, Adam at 0.001 (cyclic)");
  options.method = Method::kAdversarial;
  options.optimiser = Optimiser::kSgd;
  options.epsilon_warmup = 2;
  options.attack.epsilon = core::Number("8/255");
  EXPECT_EQ(describe(options),
            "adversarial training: 4 epochs in batches of 128, SGD at 0.001 (cyclic), "
            "PGD-5, L-inf, eps 8/255, step 0.008366, random start, growing over 2 epochs");
}

TEST(TrainingOptions, DescribeWhatEachMethodAdds) {
  TrainingOptions options{.method = Method::kTrades, .beta = 5, .awp = 0.005, .precision = Precision::kMixed};
  EXPECT_THAT(describe(options), testing::EndsWith(", beta 5, weight perturbation 0.005, bfloat16"));
  options = {.method = Method::kAdversarial, .adversarial_share = 0.5, .adversarial_weight = 2, .dual_norm = true};
  EXPECT_THAT(describe(options), testing::EndsWith(", 50 % of each batch attacked, weighing 2, dual batch norm"));
  options = {.method = Method::kFree, .replays = 4};
  EXPECT_THAT(describe(options), testing::EndsWith(", 4 replays"));
}

TEST(TrainingOptions, AreRefusedWhereTheyDoNotGoTogether) {
  const auto expect = [](const TrainingOptions& options, const std::string& message) {
    core::expect_error([&] { check(options); }, core::ErrorKind::kUsage, message);
  };
  check({});
  check({.method = Method::kAdversarial, .adversarial_share = 0.5, .adversarial_weight = 2, .dual_norm = true});
  check({.method = Method::kAdversarial, .adversarial_share = 0});
  expect({.method = Method::kMart, .adversarial_share = 0.5}, "expected method adversarial");
  expect({.method = Method::kTrades, .adversarial_weight = 2}, "expected method adversarial");
  expect({.dual_norm = true}, "expected method adversarial");
  expect({.method = Method::kAdversarial, .dual_norm = true}, "adversarial_share 1, expected a share between 0 and 1");
  expect({.method = Method::kAdversarial, .adversarial_weight = 0}, "adversarial_weight 0");
  expect({.guard_images = 5}, "guard_images and method standard");
  expect({.method = Method::kFree, .awp = 0.1}, "awp and method free");
  TrainingOptions free{.method = Method::kFree};
  free.attack.norm = evasion::Norm::kL2;
  expect(free, "method free and norm l2");
}

TEST(TrainingOptions, AreJsonWithBothAttacks) {
  TrainingOptions options;
  options.test_attack.iterations = 17;
  options.milestones = {3, 5};
  const core::Json json = to_json(options);
  EXPECT_EQ(json["method"], "standard");
  EXPECT_EQ(json["milestones"], (core::Json{3, 5}));
  EXPECT_EQ(json["attack_mode"], "evaluation");
  EXPECT_EQ(json["attack"]["iterations"], 5);
  EXPECT_EQ(json["test_attack"]["iterations"], 17);
}

}  // namespace
}  // namespace pellucid::training
