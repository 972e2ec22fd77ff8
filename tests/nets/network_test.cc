#include "pellucid/nets/network.h"

#include "pellucid/nets/safetensors.h"
#include "pellucid/nets/zoo.h"

#include "tests/core/expect_error.h"
#include "tests/nets/formula.h"

namespace pellucid::nets {
namespace {

using core::ErrorKind;
using core::expect_error;

core::Bytes bytes_of(const TensorMap& state) { return write_safetensors({.tensors = state}); }

// A network that is nothing but dropout of 10000 pixels: its logits are the mask, scaled.
Architecture dropout_alone(double probability) {
  return {.spec = {.net = "own", .input = {1, 100, 100}},
          .layers = {{Flatten{}, "", {kNetworkInput}}, {Dropout{probability}, "", {0}}}};
}

Tensor drop_ones(double probability, std::optional<core::Stream> stream, Mode mode = Mode::kTraining) {
  return evaluate(dropout_alone(probability), {}, torch::ones({1, 1, 100, 100}), mode, std::move(stream)).logits;
}

TEST(Evaluate, ChangesNothing) {
  const Network network = formula_network({.net = "convnet", .input = {1, 9, 9}});
  const Tensor images = formula_images(network.architecture.spec);
  const Tensor kept = images.clone();
  const core::Bytes before = bytes_of(network.state);
  for (const Mode mode : {Mode::kEvaluation, Mode::kTraining}) {
    (void)evaluate(network.architecture, network.state, images, mode, core::Stream(1, "test"));
    EXPECT_EQ(bytes_of(network.state), before);
    EXPECT_TRUE(torch::equal(images, kept));
  }
}

TEST(Evaluate, GivesNewStatisticsInTrainingModeAlone) {
  const Network network = formula_network({.net = "convnet", .input = {1, 9, 9}});
  const Tensor images = formula_images(network.architecture.spec);
  EXPECT_TRUE(evaluate(network.architecture, network.state, images).running.empty());
  const TensorMap running = evaluate(network.architecture, network.state, images, Mode::kTraining).running;
  EXPECT_EQ(running.size(), 8 * 3);
  for (const auto& [name, value] : running) EXPECT_FALSE(torch::equal(value, network.state.at(name))) << name;
}

TEST(Evaluate, LetsGradientsFlowToImagesAndLeaves) {
  const Network network = formula_network({.net = "lenet"});
  const Leaves leaves = with_gradients(network);
  const Tensor images = formula_images(network.architecture.spec).requires_grad_();
  evaluate(network.architecture, leaves.state, images).logits.square().sum().backward();
  EXPECT_GT(images.grad().norm().item<double>(), 0);
  for (const auto& parameter : leaves.parameters) EXPECT_GT(parameter.grad().norm().item<double>(), 0);
}

TEST(Evaluate, GivesTheInputOfTheLastLayerAsFeatures) {
  const Network network = formula_network({.net = "small_cnn"});
  const Output output = evaluate(network.architecture, network.state, formula_images(network.architecture.spec, 3));
  EXPECT_EQ(output.features.sizes(), (std::vector<std::int64_t>{3, 200}));
  const Tensor again = torch::linear(output.features, network.state.at("classifier.fc3.weight"),
                                     network.state.at("classifier.fc3.bias"));
  EXPECT_TRUE(torch::equal(again, output.logits));
  EXPECT_TRUE(torch::equal(logits(network, formula_images(network.architecture.spec, 3)), output.logits));
}

TEST(Evaluate, RefusesImagesOfAnotherShape) {
  const Network network = formula_network({.net = "lenet"});
  expect_error(
      [&] {
        (void)logits(network, torch::zeros({2, 1, 28, 27}));
      },
      ErrorKind::kUsage, "lenet: images: got shape [2, 1, 28, 27], expected [B, 1, 28, 28]");
  expect_error([&] { (void)logits(network, torch::zeros({1, 28, 28})); }, ErrorKind::kUsage, "got shape [1, 28, 28]");
}

TEST(Evaluate, RefusesAStateThatLacksATensor) {
  Network network = formula_network({.net = "lenet"});
  network.state.erase("body.2.bias");
  expect_error([&] { (void)logits(network, formula_images(network.architecture.spec)); }, ErrorKind::kInternal,
               "the state lacks body.2.bias");
}

TEST(Dropout, DependsOnItsStreamAlone) {
  const Tensor mask = drop_ones(0.5, core::Stream(1, "dropout", 3));
  EXPECT_TRUE(torch::equal(drop_ones(0.5, core::Stream(1, "dropout", 3)), mask));
  EXPECT_FALSE(torch::equal(drop_ones(0.5, core::Stream(1, "dropout", 4)), mask));
}

TEST(Dropout, KeepsTheRightShareAndTheMean) {
  const Tensor out = drop_ones(0.2, core::Stream(1, "dropout"));
  const Tensor zeros = out == 0;
  EXPECT_NEAR(zeros.to(torch::kFloat64).mean().item<double>(), 0.2, 4 * 0.004);  // 0.004: the standard error
  EXPECT_TRUE(((out == 1.25) | zeros).all().item<bool>());
}

TEST(Dropout, DrawsEachLayerAnew) {
  Architecture twice = dropout_alone(0.5);
  twice.layers.push_back({Dropout{0.5}, "", {1}});
  const Tensor out =
      evaluate(twice, {}, torch::ones({1, 1, 100, 100}), Mode::kTraining, core::Stream(1, "dropout")).logits;
  EXPECT_NEAR((out != 0).to(torch::kFloat64).mean().item<double>(), 0.25, 4 * 0.0044);
}

TEST(Dropout, PassesEverythingInEvaluationModeAndWithoutAStream) {
  const Tensor ones = torch::ones({1, 10000});
  EXPECT_TRUE(torch::equal(drop_ones(0.5, core::Stream(1, "dropout"), Mode::kEvaluation), ones));
  EXPECT_TRUE(torch::equal(drop_ones(0.5, std::nullopt), ones));
}

TEST(Converted, ChangesTheTypeOfAllButCounters) {
  TensorMap state = formula_network({.net = "convnet", .input = {1, 9, 9}}).state;
  state.at("model.conv0.weight").requires_grad_();
  TensorMap copy = converted(state, torch::kFloat64);
  EXPECT_EQ(copy.size(), state.size());
  for (const auto& [name, value] : copy) {
    EXPECT_EQ(value.scalar_type(), name.ends_with(".num_batches_tracked") ? torch::kInt64 : torch::kFloat64) << name;
    EXPECT_TRUE(torch::equal(value, state.at(name).to(value.scalar_type()))) << name;
    EXPECT_FALSE(value.requires_grad()) << name;
  }
}

TEST(Converted, CopiesEvenWhereTheTypeStays) {
  const TensorMap state = formula_network({.net = "convnet", .input = {1, 9, 9}}).state;
  for (const auto& [name, value] : converted(state, torch::kFloat32)) {
    EXPECT_NE(value.data_ptr(), state.at(name).data_ptr()) << name;
  }
}

TEST(WithGradients, MakesLeavesOfTheParametersAlone) {
  const Network network = formula_network({.net = "convnet", .input = {1, 9, 9}});
  const Leaves leaves = with_gradients(network);
  const auto names = parameter_names(network.architecture);
  ASSERT_EQ(leaves.parameters.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_TRUE(leaves.parameters[i].is_leaf() && leaves.parameters[i].requires_grad()) << names[i];
    EXPECT_TRUE(leaves.parameters[i].is_same(leaves.state.at(names[i]))) << names[i];
    EXPECT_NE(leaves.parameters[i].data_ptr(), network.state.at(names[i]).data_ptr()) << names[i];
    EXPECT_TRUE(torch::equal(leaves.parameters[i], network.state.at(names[i]))) << names[i];
  }
  EXPECT_FALSE(leaves.state.at("model.bn0.running_mean").requires_grad());
  EXPECT_EQ(leaves.state.size(), network.state.size());
}

TEST(Fingerprint, ChangesWithOneBit) {
  Network network = formula_network({.net = "lenet"});
  const std::string before = fingerprint(network);
  EXPECT_EQ(before.size(), 64);
  EXPECT_EQ(fingerprint(formula_network({.net = "lenet"})), before);
  auto* bits = static_cast<std::uint8_t*>(network.state.at("fc.0.weight").data_ptr()) + 5;
  *bits ^= 1;
  EXPECT_NE(fingerprint(network), before);
  *bits ^= 1;
  EXPECT_EQ(fingerprint(network), before);
}

TEST(Fingerprint, TellsNormalisationsApart) {
  const Network plain = formula_network({.net = "lenet"});
  const Network normalised = formula_network({.net = "lenet", .mean = {0.5}, .deviation = {0.5}});
  EXPECT_EQ(bytes_of(plain.state), bytes_of(normalised.state));
  EXPECT_NE(fingerprint(plain), fingerprint(normalised));
}

TEST(ModeField, TakesBothModes) {
  Mode mode = Mode::kTraining;
  const core::Field field = mode_field("mode", mode, "");
  EXPECT_EQ(field.get(), "training");
  EXPECT_TRUE(field.set_text("evaluation"));
  EXPECT_EQ(mode, Mode::kEvaluation);
  EXPECT_FALSE(field.set_text("eval"));
}

TEST(ForBatches, ChangesTheLayoutAlone) {
  const Network network = formula_network({.net = "convnet", .input = {3, 9, 9}});
  const Tensor images = formula_images(network.architecture.spec);
  const TensorMap laid_out = for_batches(network.architecture, network.state, false);
  const Tensor& weight = laid_out.at("model.conv3.weight");
  EXPECT_TRUE(weight.is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(torch::equal(weight, network.state.at("model.conv3.weight")));
  EXPECT_TRUE(
      torch::allclose(evaluate(network.architecture, laid_out, images).logits, logits(network, images), 1e-4, 1e-5));
}

TEST(ForBatches, RoundsWhatConvolutionsAndLinearLayersMultiplyBy) {
  const Network network = formula_network({.net = "convnet", .input = {3, 9, 9}});
  const Tensor images = formula_images(network.architecture.spec);
  const TensorMap rounded = for_batches(network.architecture, network.state, true);
  EXPECT_EQ(rounded.at("model.conv3.weight").scalar_type(), torch::kBFloat16);
  EXPECT_EQ(rounded.at("model.linear.bias").scalar_type(), torch::kBFloat16);
  EXPECT_EQ(rounded.at("model.bn3.weight").scalar_type(), torch::kFloat32);
  const Tensor exact = logits(network, images), mixed = evaluate(network.architecture, rounded, images).logits;
  EXPECT_EQ(mixed.scalar_type(), torch::kBFloat16) << "the last layer computes in its weight's type";
  const double error = ((mixed.to(torch::kFloat32) - exact).norm() / exact.norm()).item<double>();
  EXPECT_LT(error, 0.1);
  EXPECT_GT(error, 1e-5);
}

TEST(ForBatches, LetsGradientsThrough) {
  const Network network = formula_network({.net = "convnet", .input = {3, 9, 9}});
  const auto leaves = with_gradients(network);
  const TensorMap rounded = for_batches(network.architecture, leaves.state, true);
  const Tensor sum = evaluate(network.architecture, rounded, formula_images(network.architecture.spec))
                         .logits.to(torch::kFloat32)
                         .square()
                         .sum();
  for (const auto& gradient : torch::autograd::grad({sum}, leaves.parameters)) {
    EXPECT_EQ(gradient.scalar_type(), torch::kFloat32);
    EXPECT_GT(gradient.abs().sum().item<double>(), 0);
  }
}

// A part of a batch draws the same dropout as these images do in the whole.
TEST(Evaluate, DropsInAPartWhatItDropsInTheWhole) {
  const auto net = dropout_alone(0.5);
  const Tensor images = torch::ones({4, 1, 100, 100});
  const core::Stream stream(3, "test");
  const Tensor whole = evaluate(net, {}, images, Mode::kTraining, stream).logits;
  const Part part{.begin = 1, .batch = 4, .sum = {}};
  EXPECT_TRUE(torch::equal(evaluate(net, {}, images.slice(0, 1, 3), Mode::kTraining, stream, part).logits,
                           whole.slice(0, 1, 3)));
}

}  // namespace
}  // namespace pellucid::nets
