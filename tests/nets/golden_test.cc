#include "tests/nets/golden.h"

namespace pellucid::nets {
namespace {

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, EvaluationAndGradientsAreThoseOfPyTorch) { expect_golden_evaluation(GetParam()); }

TEST_P(Golden, Float32FollowsFloat64) { expect_golden_float32(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Nets, Golden,
                         testing::Values("small_cnn", "lenet", "cnn6", "tanh_cnn", "small_tanh_cnn", "convnet",
                                         "resnet18", "preact_resnet18", "preact_resnet8", "preact_resnet8_gn",
                                         "autoencoder"),
                         [](const auto& test) { return std::string(test.param); });

class GoldenTraining : public testing::TestWithParam<const char*> {};

TEST_P(GoldenTraining, LogitsAndNewStatisticsAreThoseOfPyTorch) {
  const core::Json golden = golden_of(GetParam());
  const Network network = in_float64(formula_network(spec_from_json(golden["spec"])));
  const Tensor images = formula_images(network.architecture.spec).to(torch::kFloat64);
  const Output output = evaluate(network.architecture, network.state, images, Mode::kTraining);
  expect_near(core::to_doubles(output.logits), rows(golden["training"]["logits"]), kFloat64Tolerance, "logits");

  std::size_t statistics = 0;
  for (const auto& entry : entries(network.architecture)) {
    if (entry.kind == Entry::Kind::kParameter) continue;
    const Tensor& running = output.running.at(entry.name);
    ++statistics;
    if (entry.kind == Entry::Kind::kCounter) {
      EXPECT_EQ(running.item<std::int64_t>(), 8) << entry.name;
    } else {
      expect_near(digest(entry.name, running), golden["training"]["running"].at(entry.name), kFloat64Tolerance,
                  entry.name);
    }
  }
  EXPECT_EQ(output.running.size(), statistics);
}

INSTANTIATE_TEST_SUITE_P(Nets, GoldenTraining, testing::Values("convnet", "preact_resnet18", "preact_resnet8"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace pellucid::nets
