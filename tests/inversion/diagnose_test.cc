#include "pellucid/inversion/reconstruct.h"

#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Reconstruction with_loss(double matching_loss) {
  Trial trial;
  trial.matching_loss = matching_loss;
  return {.trials = {trial}};
}

sharing::Observation with_margin(float margin) {
  return tiny::observed(tiny::constant_logits({margin, 0}), tiny::images(1), torch::tensor({0}));
}

const InversionOptions kIg = preset("ig").options, kResidual = preset("residual").options;

TEST(Diagnose, FindsNothingWhereNothingIsWrong) {
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kResidual, with_loss(0.01)), IsEmpty());
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kIg, with_loss(0.01)), IsEmpty());
}

TEST(Diagnose, NamesTheRoundingOfFloat32) {
  EXPECT_THAT(tiny::causes(with_margin(17), kIg, with_loss(0.01)),
              ElementsAre(HasSubstr("float32-rounding: float32 rounding: p(true) rounded to 1")));
  EXPECT_THAT(tiny::causes(with_margin(15), kIg, with_loss(0.01)), ElementsAre(testing::AllOf(HasSubstr("few-bits: float32 rounding: 1 - p(true) = 3."), HasSubstr("e-07 has few correct bits left"))));
  EXPECT_THAT(tiny::causes(with_margin(10), kIg, with_loss(0.01)), IsEmpty());
}

TEST(Diagnose, DoesNotBlameTheRoundingForTheResidualAttack) {
  EXPECT_THAT(tiny::causes(with_margin(17), kResidual, with_loss(0.01)), IsEmpty());
}

TEST(Diagnose, NamesAFaintGradient) {
  auto observation = tiny::observed_lenet();
  tiny::scale(observation.update, 1e-14);
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)),
              ElementsAre(HasSubstr("gradient-near-zero: the gradient is close to zero (norm")));
}

TEST(Diagnose, NamesADescentThatDidNotArrive) {
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kResidual, with_loss(0.6)),
              ElementsAre(HasSubstr("not-converged: not converged: matching loss 0.6")));
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kIg, with_loss(0.2)),
              ElementsAre(HasSubstr("not-converged: not converged: matching loss 0.2")));
}

TEST(Diagnose, RepeatsTheReasonOfATrialThatFailed) {
  Reconstruction failed = with_loss(std::numeric_limits<double>::quiet_NaN());
  failed.trials[0].status = Status::kDiverged;
  failed.trials[0].reason = "why";
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kResidual, failed), ElementsAre("diverged: why"));
}

TEST(Diagnose, NamesDropoutInTheClient) {
  const auto network = tiny::network(tiny::spec("small_cnn", 28));
  auto observation = tiny::observed(network, tiny::images(1, 0, 28), torch::tensor({0}));
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)), IsEmpty());
  observation.update.mode = nets::Mode::kTraining;
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)), ElementsAre(HasSubstr("dropout: ")));
}

TEST(Diagnose, SaysNothingOfTheLastLayerOfABatch) {
  auto batch = tiny::observed(tiny::constant_logits({30, 0}), tiny::images(2), torch::tensor({0, 0}));
  EXPECT_THAT(tiny::causes(batch, kIg, with_loss(0.01)), testing::Not(testing::Contains(HasSubstr("rounding"))));
}

}  // namespace
}  // namespace pellucid::inversion
