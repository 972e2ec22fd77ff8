#include "pellucid/inversion/labels.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/observed.h"

namespace pellucid::inversion {
namespace {

TEST(CountedLabels, AreThoseOfABatchWithRepeats) {
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < 64; ++i) labels.push_back(i % 8 == 0 ? 3 : i % 3 == 0 ? 0 : 1);  // none of class 2
  const auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(64), torch::tensor(labels));
  std::sort(labels.begin(), labels.end());
  EXPECT_EQ(infer_labels(observation), labels);
  EXPECT_EQ(infer_labels(observation, "ilrg"), labels);
}

TEST(CountedLabels, AreThatOfOneImageToo) {
  EXPECT_EQ(infer_labels(tiny::observed_lenet(), "ilrg"), std::vector<std::int64_t>{1});
}

TEST(CountedLabels, AreNotIdentifiableWhereTheNetworkIsSure) {
  const auto sure = tiny::sharpened(tiny::balanced_lenet(), 300);
  const Tensor images = tiny::images(6), labels = nets::logits(sure, images).argmax(1);
  core::expect_error([&] { (void)infer_labels(tiny::observed(sure, images, labels)); }, core::ErrorKind::kUsage,
                     "labels: not identifiable");
}

TEST(CountedLabels, AreNotIdentifiableWhereTheBiasIsLeftOut) {
  auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(3), tiny::labels(3));
  observation.update.gradient.at("fc.0.bias")[2] = 0;
  core::expect_error([&] { (void)infer_labels(observation, "ilrg"); }, core::ErrorKind::kUsage,
                     "the gradient of the last layer's bias is zero at 1 of 4 classes");
}

TEST(CountedLabels, NeedALinearLayerAtTheEnd) {
  auto network = tiny::balanced_lenet();
  auto& layers = network.architecture.layers;
  layers.push_back({nets::Tanh{}, "", {static_cast<int>(layers.size()) - 1}});
  const auto observation = tiny::observed(network, tiny::images(2), torch::tensor({0, 1}));
  core::expect_error([&] { (void)infer_labels(observation, "ilrg"); }, core::ErrorKind::kUsage,
                     "does not end in a linear layer");
}

TEST(InferLabels, DoesNotReadThoseThatTheDescentFinds) {
  core::expect_error([&] { (void)infer_labels(tiny::observed_lenet(), kJointLabels); }, core::ErrorKind::kUsage,
                     "joint is for the solver optimise");
}

}  // namespace
}  // namespace pellucid::inversion
