// What `isolate` finds of batches of MNIST in the networks that come with Pellucid: of 12, or of $PELLUCID_BATCHES.
#include "pellucid/data/catalog.h"
#include "pellucid/data/dataset.h"
#include "pellucid/inversion/layer_inputs.h"
#include "pellucid/nets/weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace pellucid::inversion {
namespace {

constexpr std::int64_t kBatch = 16;
constexpr const char* kLayer = "classifier.fc1";

// What the layer takes of each image. @return (B, in) float64
Tensor inputs_of(const nets::Network& network, const Tensor& images) {
  auto head = network.architecture;
  const auto layer = std::ranges::find(head.layers, kLayer, &nets::Layer::name);
  const auto size = std::get<nets::Linear>(layer->op).in;
  head.layers.erase(layer, head.layers.end());
  head.layers.push_back({nets::Linear{size, 1}, "out", {static_cast<int>(head.layers.size()) - 1}});
  auto state = network.state;
  state["out.weight"] = torch::zeros({1, size});
  state["out.bias"] = torch::zeros({1});
  return nets::evaluate(head, state, images).features.to(torch::kFloat64);
}

class IsolateReal : public testing::TestWithParam<const char*> {};

TEST_P(IsolateReal, FindsNearlyAllImagesAndNoneWrongly) {
  if (!data::available("mnist")) GTEST_SKIP() << "no MNIST here: set PELLUCID_DATA or run `pellucid data fetch mnist`";
  const auto network = nets::load_network(std::string(PELLUCID_MODELS) + "/" + GetParam());
  const auto set = data::load("mnist", data::Split::kTest);
  const auto& layers = network.architecture.layers;
  const auto layer = static_cast<std::size_t>(std::ranges::find(layers, kLayer, &nets::Layer::name) - layers.begin());
  const char* asked = std::getenv("PELLUCID_BATCHES");
  const std::int64_t batches = asked == nullptr ? 12 : std::stoll(asked);
  std::int64_t isolated = 0, wrong = 0, mislabelled = 0;
  double seconds = 0;
  for (std::int64_t b = 0; b < batches; ++b) {
    const Tensor which = torch::arange(b * kBatch, (b + 1) * kBatch);
    const Tensor images = data::pixels(set, which), labels = data::labels(set, which);
    const auto update = sharing::compute_update(network, images, labels, {});
    const auto part = [&](const nets::TensorMap& map, const char* name) { return map.at(std::string(kLayer) + name); };
    const auto before = std::chrono::steady_clock::now();
    const auto found = isolate({.weight = part(network.state, ".weight"),
                                .bias = part(network.state, ".bias"),
                                .weight_gradient = part(update.gradient, ".weight"),
                                .bias_gradient = part(update.gradient, ".bias"),
                                .batch = kBatch,
                                .least = 0});
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
    const Tensor real = inputs_of(network, images);
    const Tensor classes = at_logits(network, layer, found.inputs, found.residuals).labels;
    for (std::int64_t i = 0; i < found.inputs.size(0); ++i) {
      const Tensor apart = (real - found.inputs[i]).norm(2, 1) / real.norm(2, 1);
      const auto image = apart.argmin().item<std::int64_t>();
      wrong += apart[image].item<double>() > 0.05;
      mislabelled += classes[i].item<std::int64_t>() != labels[image].item<std::int64_t>();
    }
    isolated += found.inputs.size(0);
  }
  fmt::print("{}: {} of {} isolated, {} wrongly, {:.2f} s a batch\n", GetParam(), isolated, batches * kBatch, wrong,
             seconds / static_cast<double>(batches));
  EXPECT_GE(static_cast<double>(isolated), 0.95 * static_cast<double>(batches * kBatch));
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(mislabelled, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, IsolateReal,
                         testing::Values("mnist-standard.safetensors", "mnist-adversarial.safetensors"));

}  // namespace
}  // namespace pellucid::inversion
