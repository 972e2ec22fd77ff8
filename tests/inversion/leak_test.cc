// The controls: attacks that must win, attacks that must lose, and confidence that defeats one of them.
#include "pellucid/inversion/reconstruct.h"
#include "tests/inversion/observed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

InversionOptions attack(const std::string& name) {
  InversionOptions options = preset(name).options;
  options.iterations = 400;
  options.restarts = 2;
  options.tv = 0;
  options.keep = Keep::kBest;
  return options;
}

double psnr_of(const sharing::Observation& observation, const InversionOptions& options) {
  const auto reconstruction = reconstruct(observation, options, {});
  return tiny::psnr(reconstruction.trials[reconstruction.chosen].images, tiny::images(1));
}

TEST(PositiveControl, AnUntrainedNetworkGivesItsImageAway) {
  EXPECT_GT(psnr_of(tiny::observed_lenet(), attack("residual")), 30);
}

TEST(NullControl, ARandomGradientGivesNothingAway) {
  auto observation = tiny::observed_lenet();
  std::uint64_t i = 0;
  for (auto& [name, tensor] : observation.update.gradient) tensor = core::normal(core::Stream(0, "null", i++), tensor.sizes());
  EXPECT_LT(psnr_of(observation, attack("residual")), tiny::psnr(torch::full({1, 1, 8, 8}, 0.5), tiny::images(1)));
}

TEST(Confidence, DefeatsThePublishedAttackAndNotOurs) {
  for (const int iterations : {200, 400, 800}) {
  auto o = attack("residual"); o.iterations = iterations;
  printf("%d residual %f\n", iterations, psnr_of(tiny::observed_lenet(), o));
  for (const double tv : {1e-4, 1e-2}) { o.tv = tv; printf("%d residual tv %g %f\n", iterations, tv, psnr_of(tiny::observed_lenet(), o)); }
  o = attack("ig"); o.iterations = iterations;
  printf("%d ig %f\n", iterations, psnr_of(tiny::observed_lenet(), o));
  const nets::Network timid = tiny::balanced_lenet();
  const Tensor image = tiny::images(1), logits = nets::logits(timid, image)[0], label = logits.argmax().view({1});
  const auto two = std::get<0>(logits.topk(2));
  for (double margin : {2., 10., 18., 20.}) {
  const nets::Network sure = tiny::sharpened(timid, margin / (two[0] - two[1]).item<double>());
  auto observation = tiny::observed(sure, image, label);
  auto o = attack("residual"); o.iterations = iterations;
  printf("%d margin %g residual %f", iterations, margin, psnr_of(observation, o));
  o = attack("ig"); o.iterations = iterations;
  printf("ig %f\n", psnr_of(observation, o));
  }
  }
}

}  // namespace
}  // namespace pellucid::inversion
