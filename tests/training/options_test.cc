#include "pellucid/training/options.h"

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
            "PGD-5, L-inf, eps 8/255, step 0.1, random start, growing over 2 epochs");
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
