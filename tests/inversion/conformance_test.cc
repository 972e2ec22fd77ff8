// Every preset on every kind of observation: it runs, or says why it does not.
#include "pellucid/inversion/reconstruct.h"

#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::inversion {
namespace {

struct Kind {
  std::string name;
  sharing::Observation observation;
};

// A network whose first layer is linear.
nets::Network perceptron() {
  nets::Architecture net{.spec = tiny::spec("perceptron"), .layers = {}};
  net.layers = {{nets::Flatten{}, "", {nets::kNetworkInput}},
                {nets::Linear{tiny::kSide * tiny::kSide, 6}, "one", {0}},
                {nets::Sigmoid{}, "", {1}},
                {nets::Linear{6, tiny::kClasses}, "two", {2}}};
  return {.architecture = net, .state = nets::initialise(net, 0)};
}

std::vector<Kind> kinds() {
  const auto lenet = tiny::balanced_lenet();
  auto batch = tiny::observed(lenet, tiny::images(2), tiny::labels(2));
  auto labelled = batch;
  labelled.labels = {0, 1};
  auto shared = tiny::observed_lenet();
  shared.labels = {1};
  return {{"one image", tiny::observed_lenet()},
          {"one image with its label", shared},
          {"one image of a perceptron", tiny::observed(perceptron(), tiny::images(1), torch::tensor({1}))},
          {"a batch of two", batch},
          {"a batch of two with its labels", labelled},
          {"a batch of two in training mode",
           tiny::observed(tiny::normed(), tiny::images(2), torch::tensor({0, 2}), nets::Mode::kTraining)}};
}

TEST(Conformance, EveryPresetRunsOnEveryObservationOrSaysWhyNot) {
  std::set<std::string> ran;
  for (const auto& preset : presets()) {
    for (const auto& kind : kinds()) {
      SCOPED_TRACE(preset.name + " on " + kind.name);
      Attack attack = preset.attack;
      attack.iterations = 3;
      attack.restarts = 2;
      const auto found = reconstruct(kind.observation, attack, {});
      ASSERT_EQ(found.trials.size(), 2u);
      const Trial& trial = found.trials[found.chosen];
      if (trial.status == Status::kNotApplicable) {
        EXPECT_THAT(trial.reason, testing::AnyOf(testing::HasSubstr("expected"), testing::HasSubstr("; use "),
                                                 testing::HasSubstr("; take ")))
            << "says what would";
        EXPECT_THROW(check_applies(kind.observation, attack), core::Error);
        continue;
      }
      ran.insert(preset.name);
      EXPECT_NO_THROW(check_applies(kind.observation, attack));
      EXPECT_EQ(trial.status, Status::kOk);
      EXPECT_EQ(trial.images.size(0), kind.observation.update.protocol.batch_size);
      EXPECT_TRUE(torch::equal(trial.images, trial.images.clamp(0, 1)));
      attack.precision = Precision::kFloat64;
      const auto labels = infer_labels(kind.observation, attack.labels);
      EXPECT_EQ(trial.matching_loss,
                tiny::reference(kind.observation, attack, labels).loss(trial.images.to(torch::kFloat64)));
      attack.precision = preset.attack.precision;
      const auto again = reconstruct(kind.observation, attack, {.threads = 2});
      EXPECT_TRUE(torch::equal(again.trials[again.chosen].images, trial.images));
    }
  }
  EXPECT_EQ(ran.size(), presets().size());  // each applies to something here
}

TEST(Conformance, EveryRowHasASummary) {
  for (const auto& row : solvers()) EXPECT_FALSE(row.summary.empty() || row.source.empty()) << row.name;
}

TEST(Analytic, FindsTheInputOfALinearLayerExactly) {
  auto network = perceptron();
  network.architecture.spec.mean = {0.4};
  network.architecture.spec.deviation = {0.2};
  auto& layers = network.architecture.layers;
  for (auto& layer : layers) layer.inputs[0] += 1;
  layers.insert(layers.begin(), {nets::Normalise{{0.4}, {0.2}}, "", {nets::kNetworkInput}});
  const auto trial =
      run_trial(tiny::observed(network, tiny::images(1), torch::tensor({1})), preset("analytic").attack, 0);
  EXPECT_EQ(trial.status, Status::kOk);
  EXPECT_GT(tiny::psnr(trial.images, tiny::images(1)), 100);
  EXPECT_LT(trial.matching_loss, 1e-10);
}

}  // namespace
}  // namespace pellucid::inversion
