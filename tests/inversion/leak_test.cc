// The controls: attacks that must win, attacks that must lose, and confidence that defeats one of them.
#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/reconstruct.h"

#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

Attack attack(const std::string& name) {
  Attack options = preset(name).attack;
  options.iterations = 150;
  options.restarts = 2;
  options.terms["tv"] = 0;
  options.keep = Keep::kBest;
  return options;
}

double psnr_of(const sharing::Observation& observation, const Attack& options) {
  const auto reconstruction = reconstruct(observation, options, {});
  return tiny::psnr(reconstruction.trials[reconstruction.chosen].images, tiny::images(1));
}

TEST(PositiveControl, AnUntrainedNetworkGivesItsImageAway) {
  EXPECT_GT(psnr_of(tiny::observed_lenet(), attack("residual")), 30);
}

// Behind a last layer of small weights the others' part of the gradient is so small that a distance sees little of it.
TEST(PositiveControl, FisherWeightsReadALayerOfSmallGradients) {
  const auto observation =
      tiny::observed(tiny::sharpened(tiny::balanced_lenet(), 1e-2), tiny::images(1), torch::tensor({1}));
  const auto norm = [&](const char* name) { return observation.update.gradient.at(name).norm().item<double>(); };
  ASSERT_LT(norm("body.0.weight"), 1e-2 * norm("fc.0.weight"));
  const auto psnr_by = [&](Objective objective) {
    Attack options = attack("ig");
    options.objective = objective;
    return psnr_of(observation, options);
  };
  EXPECT_GT(psnr_by(Objective::kFisher), 40);
  for (const auto other : {Objective::kCosine, Objective::kL2, Objective::kL1})
    EXPECT_LT(psnr_by(other), 20) << to_string(other);
}

TEST(NullControl, ARandomGradientGivesNothingAway) {
  auto observation = tiny::observed_lenet();
  std::uint64_t i = 0;
  for (auto& [name, tensor] : observation.update.gradient)
    tensor = core::normal(core::Stream(0, "null", i++), tensor.sizes());
  EXPECT_LT(psnr_of(observation, attack("residual")), tiny::psnr(torch::full({1, 1, 8, 8}, 0.5), tiny::images(1)));
}

// The true class's part of the gradient is rounded away. The published attack, which computes the loss again, looks for
// an image whose gradient lacks it; the residual attack takes the residual as it was sent.
TEST(Confidence, DefeatsThePublishedAttackAndNotOurs) {
  const auto observation = tiny::observed_with_margin(18);
  ASSERT_EQ(residual_at_logits(observation).min().item<float>(), 0);
  const auto published = reconstruct(observation, attack("ig"), {});
  EXPECT_THAT(tiny::causes(observation, attack("ig"), published),
              testing::Contains(testing::HasSubstr("float32 rounding")));
  EXPECT_LT(tiny::psnr(published.trials[published.chosen].images, tiny::images(1)), 15);
  EXPECT_GT(psnr_of(observation, attack("residual")), 30);
}

// The same image and the same attack where float32 keeps all that matters.
TEST(Confidence, DefeatsNoAttackBelowTheRounding) {
  EXPECT_GT(psnr_of(tiny::observed_with_margin(8), attack("ig")), 30);
}

}  // namespace
}  // namespace pellucid::inversion
