// Batches read at a linear layer: `agree`, and the solvers `feature` and `cpa` behind it.
#include "pellucid/inversion/layer_inputs.h"

#include "pellucid/core/stop.h"
#include "pellucid/inversion/cpa.h"
#include "pellucid/inversion/reconstruct.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

constexpr std::int64_t kTall = 16, kManyClasses = 12;
constexpr std::size_t kHead = 3;

// A hidden layer on images of that side, and a head of so many classes.
nets::Network two_layers(std::int64_t side, std::int64_t hidden, std::int64_t classes, const nets::Op& between) {
  nets::Architecture net{.spec = tiny::spec("two layers", side), .layers = {}};
  net.spec.classes = classes;
  net.layers = {{nets::Flatten{}, "", {nets::kNetworkInput}},
                {nets::Linear{side * side, hidden}, "one", {0}},
                {between, "", {1}},
                {nets::Linear{hidden, classes}, "two", {2}}};
  return {.architecture = net, .state = nets::initialise(net, 0)};
}

// Mostly dark images, as independent as noise is.
Tensor sparse_images(std::int64_t n) { return tiny::images(n, 0, kTall).pow(4); }

Tensor features_of(const sharing::Observation& observation, const Tensor& images) {
  return nets::evaluate(observation.network.architecture, observation.network.state, images)
      .features.to(torch::kFloat64);
}

Tensor apart(const Tensor& a, const Tensor& b) { return (a - b).norm(2, 1) / b.norm(2, 1); }

std::string reason(const sharing::Observation& observation, const char* name) {
  const auto trial = run_trial(observation, preset(name).attack, 0);
  EXPECT_EQ(trial.status, Status::kNotApplicable);
  return trial.reason;
}

// Of each class the row over the bias is the paper's estimate: right in direction only.
TEST(Agree, TakesTheOtherImagesOutOfARowOfTheHead) {
  const Tensor labels = torch::tensor({7, 0, 3, 11, 5, 2}), images = tiny::images(6);
  const auto observed = tiny::observed(two_layers(tiny::kSide, 40, kManyClasses, nets::Relu{}), images, labels);
  const Tensor features = features_of(observed, images);
  const auto head = linear_layer(observed, kHead);
  const Tensor rows = (head.weight_gradient / head.bias_gradient.unsqueeze(1)).index_select(0, labels);
  const auto found = agree(observed, kHead, -torch::one_hot(labels, kManyClasses).to(torch::kFloat64), labels, false);
  EXPECT_GT(apart(rows, features).min().item<double>(), 0.1);
  EXPECT_LT(apart(found.inputs, features).max().item<double>(), 1e-3);
  EXPECT_LT(found.mixed.max().item<double>(), 0.01);
  EXPECT_TRUE(unmixed(found).all().item<bool>());
  const Tensor p = nets::logits(observed.network, images).to(torch::kFloat64).softmax(1);
  EXPECT_TRUE(torch::allclose(found.residuals, (p - torch::one_hot(labels, kManyClasses)) / 6, 1e-3, 1e-5));
}

TEST(Feature, IsolatesTheImagesThatAreAloneInTheirClass) {
  Tensor images = tiny::images(4);
  images[3] = images[1];
  const auto observed =
      tiny::observed(two_layers(tiny::kSide, 100, kManyClasses, nets::Relu{}), images, torch::tensor({5, 9, 2, 9}));
  const auto trial = run_trial(observed, preset("feature").attack, 0);
  ASSERT_EQ(trial.status, Status::kOk) << trial.reason;
  EXPECT_THAT(trial.labels, testing::ElementsAre(2, 5, 9, 9));
  EXPECT_THAT(trial.isolated, testing::ElementsAre(true, true, false, false));
  EXPECT_THAT(trial.method, testing::HasSubstr("2 of 4 images isolated, 2 alone in their class"));
}

TEST(Feature, ReadsTheImagesOfASoftmaxRegressionExactly) {
  nets::Architecture net{.spec = tiny::spec("regression"), .layers = {}};
  net.spec.classes = kManyClasses;
  net.layers = {{nets::Flatten{}, "", {nets::kNetworkInput}},
                {nets::Linear{tiny::kSide * tiny::kSide, kManyClasses}, "one", {0}}};
  const Tensor images = tiny::images(3);
  const auto trial = run_trial(
      tiny::observed({.architecture = net, .state = nets::initialise(net, 0)}, images, torch::tensor({1, 4, 8})),
      preset("feature").attack, 0);
  EXPECT_THAT(trial.isolated, testing::ElementsAre(true, true, true));
  for (std::int64_t i = 0; i < 3; ++i) EXPECT_GT(tiny::psnr(trial.images[i], images[i]), 60) << i;
}

TEST(Feature, SaysWhatItCannotRead) {
  auto open = two_layers(tiny::kSide, 40, tiny::kClasses, nets::Relu{});
  auto batch = tiny::observed(open, tiny::images(2), torch::tensor({0, 1}));
  Attack idlg = preset("feature").attack;
  idlg.labels = "idlg";
  EXPECT_THAT(run_trial(batch, idlg, 0).reason, testing::HasSubstr("labels: idlg reads the label of one image"));
  batch.update.protocol.local.epochs = 2;
  EXPECT_THAT(reason(batch, "feature"), testing::HasSubstr("feature: reads a gradient"));
  open.architecture.layers.push_back({nets::Relu{}, "", {3}});
  EXPECT_THAT(reason(tiny::observed(open, tiny::images(2), torch::tensor({0, 1})), "feature"),
              testing::HasSubstr("feature: two layers does not end in a linear layer; use ig"));
}

TEST(IndependentComponents, AreTheSourcesOfAMixture) {
  constexpr std::int64_t kSources = 16, kSamples = 1500, kRows = 100;
  const auto sources = core::uniform(core::Stream(0, "sources"), {kSources, kSamples}).to(torch::kFloat64).pow(6);
  const auto mixing = core::normal(core::Stream(0, "mixing"), {kRows, kSources}).to(torch::kFloat64);
  const Tensor signals = torch::mm(mixing, sources);
  const Tensor found = torch::mm(independent_components(signals, kSources, 0), signals);
  const auto unit = [](const Tensor& t) {
    const Tensor centred = t - t.mean(1, true);
    return centred / centred.norm(2, 1, true);
  };
  const Tensor cosines = torch::mm(unit(sources), unit(found).t()).abs().amax(1);
  EXPECT_GE(cosines.gt(0.95).sum().item<std::int64_t>(), 15) << cosines;
  EXPECT_TRUE(torch::equal(found, torch::mm(independent_components(signals, kSources, 0), signals)));
}

TEST(Cpa, SeparatesImagesBehindAnyActivation) {
  for (const nets::Op& between : {nets::Op(nets::Sigmoid{}), nets::Op(nets::Gelu{}), nets::Op(nets::Relu{})}) {
    SCOPED_TRACE(between.index());
    const Tensor images = sparse_images(8), labels = tiny::labels(8);
    const auto trial = run_trial(tiny::observed(two_layers(kTall, 100, tiny::kClasses, between), images, labels),
                                 preset("cpa").attack, 0);
    ASSERT_EQ(trial.status, Status::kOk) << trial.reason;
    EXPECT_THAT(trial.isolated, testing::AllOf(testing::SizeIs(8), testing::Each(true)));
    for (std::int64_t i = 0; i < 8; ++i) {
      const Tensor errors = (trial.images - images[i]).square().mean({1, 2, 3});
      const auto found = errors.argmin().item<std::int64_t>();
      EXPECT_GT(tiny::psnr(trial.images[found], images[i]), 30) << i;
      EXPECT_EQ(trial.labels[static_cast<std::size_t>(found)], labels[i].item<std::int64_t>()) << i;
    }
  }
}

TEST(Cpa, IsolatesNothingInNoise) {
  auto noisy =
      tiny::observed(two_layers(kTall, 100, tiny::kClasses, nets::Sigmoid{}), sparse_images(8), tiny::labels(8));
  sharing::apply({{"gaussian", 0.1}}, noisy.update.gradient, {.seed = 0});
  const auto trial = run_trial(noisy, preset("cpa").attack, 0);
  ASSERT_EQ(trial.status, Status::kOk) << trial.reason;
  EXPECT_THAT(trial.isolated, testing::AllOf(testing::SizeIs(8), testing::Each(false)));
}

// A layer that takes features: each image is descended to from its own.
TEST(Cpa, DescendsBehindALayerOfFeatures) {
  const auto lenet = tiny::balanced_lenet();
  const auto trial = run_trial(tiny::observed(lenet, tiny::images(2), torch::tensor({0, 2})), preset("cpa").attack, 0);
  ASSERT_EQ(trial.status, Status::kOk) << trial.reason;
  EXPECT_THAT(trial.method, testing::AllOf(testing::HasSubstr("engine"), testing::HasSubstr("of 2 images isolated")));
}

TEST(Cpa, SaysWhatItCannotSeparate) {
  auto open = two_layers(tiny::kSide, 40, tiny::kClasses, nets::Relu{});
  EXPECT_THAT(reason(tiny::observed(open, tiny::images(40), tiny::labels(40)), "cpa"),
              testing::HasSubstr("cpa: a batch of 40 images, expected fewer than the units and inputs"));
  auto batch = tiny::observed(open, tiny::images(2), torch::tensor({0, 1}));
  batch.update.protocol.local.epochs = 2;
  EXPECT_THAT(reason(batch, "cpa"), testing::HasSubstr("cpa: separates a gradient"));
  open.architecture.layers.push_back({nets::Relu{}, "", {3}});
  EXPECT_THAT(reason(tiny::observed(open, tiny::images(2), torch::tensor({0, 1})), "cpa"),
              testing::HasSubstr("cpa: two layers does not end in a linear layer; use ig"));
}

TEST(Cpa, StopsBetweenIterations) {
  const Tensor labels = torch::tensor({0, 1}), signals = tiny::images(4, 0, kTall).view({4, -1}).to(torch::kFloat64);
  const auto batch = tiny::observed(two_layers(tiny::kSide, 40, tiny::kClasses, nets::Relu{}), tiny::images(2), labels);
  core::request_stop();
  core::expect_error([&] { (void)independent_components(signals, 2, 0); }, core::ErrorKind::kStopped, "stopped");
  core::expect_error(
      [&] { (void)agree(batch, kHead, torch::one_hot(labels, tiny::kClasses).to(torch::kFloat64), labels, false); },
      core::ErrorKind::kStopped, "stopped");
  core::request_stop(false);
}

}  // namespace
}  // namespace pellucid::inversion
