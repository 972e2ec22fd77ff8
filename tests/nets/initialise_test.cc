#include "pellucid/nets/network.h"
#include "pellucid/nets/zoo.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pellucid::nets {
namespace {

// The weights of a 3x3 convolution from 16 to 64 channels and its biases. Fan-in 144, fan-out 576, 9216 weights.
struct Drawn {
  Tensor weight, bias;
};

Drawn draw(Init init) {
  const Architecture net{.spec = {.net = "own", .input = {16, 8, 8}},
                         .layers = {{Conv{.in = 16, .out = 64, .kernel = 3, .init = init}, "conv", {kNetworkInput}}}};
  const TensorMap state = initialise(net, 1);
  return {state.at("conv.weight"), state.at("conv.bias")};
}

double deviation(const Tensor& tensor) { return tensor.std().item<double>(); }
double bound(const Tensor& tensor) { return tensor.abs().max().item<double>(); }
bool is_zero(const Tensor& tensor) { return torch::count_nonzero(tensor).item<std::int64_t>() == 0; }

// The relative standard error of a deviation from 9216 values is 0.7 % at most.
constexpr double kRelative = 0.03;

void expect_normal(const Tensor& weight, double expected) {
  EXPECT_NEAR(deviation(weight), expected, kRelative * expected);
  EXPECT_NEAR(weight.mean().item<double>(), 0, 4 * expected / std::sqrt(9216));
  EXPECT_GT(bound(weight), 3 * expected);  // uniform values end at sqrt(3) deviations
}

void expect_uniform(const Tensor& tensor, double limit) {
  EXPECT_LE(bound(tensor), limit);
  EXPECT_GT(bound(tensor), 0.9 * limit);
  EXPECT_NEAR(deviation(tensor), limit / std::sqrt(3), (tensor.numel() > 1000 ? kRelative : 0.25) * limit);
}

TEST(Initialise, DrawsHeFanIn) {
  const Drawn drawn = draw(Init::kHeFanIn);
  expect_normal(drawn.weight, std::sqrt(2.0 / 144));
  EXPECT_TRUE(is_zero(drawn.bias));
}

TEST(Initialise, DrawsHeFanOut) {
  const Drawn drawn = draw(Init::kHeFanOut);
  expect_normal(drawn.weight, std::sqrt(2.0 / 576));
  EXPECT_TRUE(is_zero(drawn.bias));
}

TEST(Initialise, DrawsPyTorchsDefault) {
  const Drawn drawn = draw(Init::kPyTorch);
  expect_uniform(drawn.weight, 1.0 / 12);
  expect_uniform(drawn.bias, 1.0 / 12);
}

TEST(Initialise, DrawsPyTorchsDefaultWithoutBias) {
  const Drawn drawn = draw(Init::kZeroBias);
  expect_uniform(drawn.weight, 1.0 / 12);
  EXPECT_TRUE(is_zero(drawn.bias));
}

TEST(Initialise, DrawsUniformHalf) {
  const Drawn drawn = draw(Init::kUniformHalf);
  expect_uniform(drawn.weight, 0.5);
  expect_uniform(drawn.bias, 0.5);
}

TEST(Initialise, DrawsZero) {
  const Drawn drawn = draw(Init::kZero);
  EXPECT_TRUE(is_zero(drawn.weight) && is_zero(drawn.bias));
}

TEST(Initialise, DependsOnSeedAndNameAlone) {
  const Spec spec{.net = "lenet", .input = {1, 28, 28}};
  Spec wider = spec;
  wider.classes = 100;
  const TensorMap state = initialise(build(spec), 5), other = initialise(build(wider), 5),
                  reseeded = initialise(build(spec), 6);
  for (const char* name : {"body.0.weight", "body.2.weight", "body.4.bias"}) {
    EXPECT_TRUE(torch::equal(state.at(name), other.at(name))) << name;
    EXPECT_FALSE(torch::equal(state.at(name), reseeded.at(name))) << name;
  }
  EXPECT_FALSE(torch::equal(state.at("body.2.weight"), state.at("body.4.weight")));
}

TEST(Initialise, GivesEveryEntryItsShapeAndType) {
  for (const char* net : {"small_cnn", "lenet", "convnet"}) {
    const Architecture architecture = build({.net = net});
    const TensorMap state = initialise(architecture, 1);
    const auto list = entries(architecture);
    EXPECT_EQ(state.size(), list.size());
    for (const auto& entry : list) {
      EXPECT_EQ(state.at(entry.name).sizes(), at::IntArrayRef(entry.shape)) << entry.name;
      EXPECT_EQ(state.at(entry.name).scalar_type(),
                entry.kind == Entry::Kind::kCounter ? torch::kInt64 : torch::kFloat32);
    }
  }
}

TEST(Initialise, StartsBatchNormAsTheIdentity) {
  const TensorMap state = initialise(build({.net = "convnet"}), 1);
  EXPECT_TRUE(torch::equal(state.at("model.bn3.weight"), torch::ones({256})));
  EXPECT_TRUE(torch::equal(state.at("model.bn3.running_var"), torch::ones({256})));
  for (const char* name : {"model.bn3.bias", "model.bn3.running_mean", "model.bn3.num_batches_tracked"}) {
    EXPECT_TRUE(is_zero(state.at(name))) << name;
  }
}

TEST(Initialise, StartsTheLastLayerOfSmallCnnAtZero) {
  const TensorMap state = initialise(build({.net = "small_cnn"}), 1);
  EXPECT_TRUE(is_zero(state.at("classifier.fc3.weight")) && is_zero(state.at("classifier.fc3.bias")));
  EXPECT_NEAR(deviation(state.at("feature_extractor.conv4.weight")), std::sqrt(2.0 / 576), 0.02 * std::sqrt(2.0 / 576));
  EXPECT_LE(bound(state.at("classifier.fc1.weight")), 1.0 / 32);
  EXPECT_GT(bound(state.at("classifier.fc1.bias")), 0.9 / 32);
}

}  // namespace
}  // namespace pellucid::nets
