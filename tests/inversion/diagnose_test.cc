#include "pellucid/inversion/reconstruct.h"

#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Reconstruction with_loss(double matching_loss, double prior = 0.005) {
  Trial trial;
  trial.matching_loss = matching_loss;
  trial.prior = prior;
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

// The true image would reach a matching loss of 0 at the cost of the priors alone, whatever the objective's scale.
TEST(Diagnose, NamesADescentThatEndsAboveWhatTheTruthWouldCost) {
  for (const auto& options : {kResidual, kIg}) {
    EXPECT_THAT(tiny::causes(tiny::observed_lenet(), options, with_loss(0.036, 0.0045)),
                ElementsAre(HasSubstr("not-converged: not converged: the matching loss is 0.036 where the priors cost 0.0045")));
    EXPECT_THAT(tiny::causes(tiny::observed_lenet(), options, with_loss(0.0033, 0.0045)), IsEmpty());
    EXPECT_THAT(tiny::causes(tiny::observed_lenet(), options, with_loss(0.002, 3e-5)), ElementsAre(HasSubstr("not-converged")));
    EXPECT_THAT(tiny::causes(tiny::observed_lenet(), options, with_loss(5e-5, 0)), IsEmpty()) << "rounding may leave so much";
  }
}

TEST(Diagnose, NamesALossThatStillFalls) {
  auto falling = with_loss(0.01);
  for (int i = 0; i <= 100; ++i) falling.trials[0].curve.matching_loss.push_back(0.01 + 0.0002 * (100 - i));
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kResidual, falling),
              ElementsAre(HasSubstr("fell from 0.012 to 0.01 in the last tenth of the iterations")));
  falling.trials[0].curve.matching_loss.assign(101, 0.0105);
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kResidual, falling), IsEmpty());
}

// A descent that is cut short is named, the same one given its time is not.
TEST(Diagnose, ComparesWithWhatALongerRunReaches) {
  const auto observation = tiny::observed_lenet();
  auto options = kResidual;
  options.restarts = 1;
  options.iterations = 5;
  EXPECT_THAT(tiny::causes(observation, options, choose({run_trial(observation, options, 0)})), testing::Contains(HasSubstr("not-converged")));
  options.iterations = 2000;
  EXPECT_THAT(tiny::causes(observation, options, choose({run_trial(observation, options, 0)})), IsEmpty());
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
