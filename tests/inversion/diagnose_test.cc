#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/reconstruct.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/observed.h"

namespace pellucid::inversion {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Reconstruction with_loss(double matching_loss, double prior = 0.005) {
  Trial trial;
  trial.matching_loss = matching_loss;
  trial.prior = prior;
  trial.curve = {.iteration = {0}, .matching_loss = {matching_loss}};
  return {.trials = {trial}};
}

sharing::Observation with_margin(float margin) {
  return tiny::observed(tiny::constant_logits({margin, 0}), tiny::images(1), torch::tensor({0}));
}

const Attack kIg = preset("ig").attack, kResidual = preset("residual").attack;

TEST(Diagnose, FindsNothingWhereNothingIsWrong) {
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kResidual, with_loss(0.01)), IsEmpty());
  EXPECT_THAT(tiny::causes(tiny::observed_lenet(), kIg, with_loss(0.01)), IsEmpty());
}

TEST(Diagnose, NamesTheRoundingOfFloat32) {
  EXPECT_THAT(tiny::causes(with_margin(17), kIg, with_loss(0.01)),
              ElementsAre(HasSubstr("float32-rounding: float32 rounding: p(true) rounded to 1")));
  EXPECT_THAT(tiny::causes(with_margin(15), kIg, with_loss(0.01)),
              ElementsAre(testing::AllOf(HasSubstr("few-bits: float32 rounding: 1 - p(true) = 3."),
                                         HasSubstr("e-07 has few correct bits left"))));
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
                ElementsAre(HasSubstr(
                    "not-converged: not converged: the matching loss is 0.036 where the priors cost 0.0045")));
    EXPECT_THAT(tiny::causes(tiny::observed_lenet(), options, with_loss(0.0033, 0.0045)), IsEmpty());
    EXPECT_THAT(tiny::causes(tiny::observed_lenet(), options, with_loss(0.002, 3e-5)),
                ElementsAre(HasSubstr("not-converged")));
    EXPECT_THAT(tiny::causes(tiny::observed_lenet(), options, with_loss(5e-5, 0)), IsEmpty())
        << "rounding may leave so much";
  }
  auto changed = tiny::observed_lenet();
  changed.update.protocol.mechanisms = {{.name = "gaussian", .value = 0.01}};
  EXPECT_THAT(tiny::causes(changed, kResidual, with_loss(0.036, 0.0045)), IsEmpty()) << "noise may leave so much";
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
  options.terms = {};
  options.iterations = 1;
  EXPECT_THAT(tiny::causes(observation, options, choose({run_trial(observation, options, 0)})),
              testing::Contains(HasSubstr("not-converged")));
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
  observation.update.protocol.mode = nets::Mode::kTraining;
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)), ElementsAre(HasSubstr("dropout: ")));
}

TEST(Diagnose, NamesBatchNormInTrainingMode) {
  auto observation = tiny::observed(tiny::normed(), tiny::images(1), torch::tensor({0}));
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)), IsEmpty());
  observation = tiny::observed(tiny::normed(), tiny::images(1), torch::tensor({0}), nets::Mode::kTraining);
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)),
              ElementsAre(HasSubstr("batch-norm: the client computed the gradient with batch norm")));
  EXPECT_THAT(
      tiny::causes(observation, kIg, with_loss(0.7)),
      ElementsAre(HasSubstr("batch-norm"), AllOf(HasSubstr("not-converged"), Not(HasSubstr("more iterations")))))
      << "no advice to iterate more where the cause is known";
}

TEST(Diagnose, NamesAWrongSharedLabel) {
  auto observation = tiny::observed_lenet();  // of class 1
  observation.labels = {1};
  EXPECT_THAT(tiny::causes(observation, kIg, with_loss(0.01)), IsEmpty());
  observation.labels = {2};
  EXPECT_THAT(tiny::causes(observation, kIg, with_loss(0.7)),
              ElementsAre(HasSubstr("wrong-label: the labels that were shared contradict the gradient: it holds more "
                                    "images of class 1 than were named, and fewer of 2"),
                          AllOf(HasSubstr("not-converged"), Not(HasSubstr("more iterations")))));
  EXPECT_THAT(tiny::causes(observation, kIg, with_loss(0.01)),
              ElementsAre(EndsWith("the attack matched the wrong ones")));
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)),
              ElementsAre(EndsWith("this attack does not use them")));
  observation.network.classes = {"ant", "bee", "cat", "dog"};
  EXPECT_THAT(tiny::causes(observation, kIg, with_loss(0.01)),
              ElementsAre(HasSubstr("of class \"bee\" than were named, and fewer of \"cat\"")));
}

TEST(Diagnose, NamesAWrongLabelAmongThoseOfABatch) {
  const auto batch = [](std::vector<std::int64_t> labels) {
    auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(4), torch::tensor({0, 1, 1, 3}));
    observation.labels = std::move(labels);
    return tiny::causes(observation, kIg, with_loss(0.01));
  };
  EXPECT_THAT(batch({0, 1, 1, 3}), IsEmpty());
  EXPECT_THAT(batch({3, 1, 0, 1}), IsEmpty());
  EXPECT_THAT(batch({2, 2, 2, 3}), ElementsAre(HasSubstr("wrong-label")));
}

TEST(Diagnose, NamesAGradientThatIsNotOfOneImage) {
  auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(4), torch::tensor({0, 1, 1, 3}));
  observation.update.protocol.batch_size = 1;
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)),
              ElementsAre(HasSubstr("not-as-described: the last bias's gradient is not that of the mean cross-entropy "
                                    "over 1 image, where at most as many classes are "
                                    "negative (got")));
  observation = tiny::observed_lenet();
  observation.update.gradient.at("fc.0.bias") += 0.3;
  EXPECT_THAT(tiny::causes(observation, kResidual, with_loss(0.01)), ElementsAre(HasSubstr("not-as-described")));
}

TEST(LabelRead, IsTheClassThatIsNegative) {
  EXPECT_EQ(label_read(tiny::observed_lenet()), 1);
  EXPECT_EQ(label_read(with_margin(17)), std::nullopt) << "rounded away";
  EXPECT_EQ(label_read(tiny::observed(tiny::balanced_lenet(), tiny::images(2), torch::tensor({0, 1}))), std::nullopt)
      << "a batch";
}

TEST(CheckApplies, RefusesBeforeAnyWork) {
  const auto refused = [](const sharing::Observation& observation, const Attack& options, core::ErrorKind kind,
                          const std::string& message) {
    core::expect_error([&] { check_applies(observation, options); }, kind, message);
  };
  auto batch = tiny::observed(tiny::balanced_lenet(), tiny::images(2), torch::tensor({0, 1}));
  check_applies(batch, kIg);
  const auto sure = tiny::sharpened(tiny::balanced_lenet(), 300);
  refused(tiny::observed(sure, tiny::images(6), nets::logits(sure, tiny::images(6)).argmax(1)), kIg,
          core::ErrorKind::kUsage, "not identifiable");
  refused(batch, kResidual, core::ErrorKind::kUsage,
          "the residual attack: got a batch of 2, expected one image; use ig");
  auto zero = tiny::observed_lenet();
  tiny::scale(zero.update, 0);
  refused(zero, kIg, core::ErrorKind::kModel, "the observed gradient is zero everywhere");
  auto vast = tiny::observed_lenet();
  vast.update.protocol.batch_size = std::int64_t{1} << 50;
  refused(vast, kIg, core::ErrorKind::kData, "of memory, and");
  core::expect_error([&] { (void)reconstruct(vast, kIg, {}); }, core::ErrorKind::kData, "of memory, and");
}

TEST(Diagnose, SaysNothingOfTheLastLayerOfABatch) {
  auto batch = tiny::observed(tiny::constant_logits({30, 0}), tiny::images(2), torch::tensor({0, 0}));
  EXPECT_THAT(tiny::causes(batch, kIg, with_loss(0.01)), testing::Not(testing::Contains(HasSubstr("rounding"))));
}

}  // namespace
}  // namespace pellucid::inversion
