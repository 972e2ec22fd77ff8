// The layer-by-layer attack: exact where every layer can be inverted, refused where one cannot.
#include "pellucid/inversion/r_gap.h"

#include "pellucid/core/memory.h"
#include "pellucid/core/stop.h"
#include "pellucid/inversion/reconstruct.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/observed.h"

namespace pellucid::inversion {
namespace {

Trial run(const sharing::Observation& observation) { return run_trial(observation, preset("r-gap").attack, 0); }

double psnr_of(const sharing::Observation& observation, const Tensor& images) {
  const Trial trial = run(observation);
  EXPECT_EQ(trial.status, Status::kOk) << trial.reason;
  EXPECT_EQ(trial.method, "closed form, float64");
  return trial.images.defined() ? tiny::psnr(trial.images, images) : 0;
}

Tensor colour(std::int64_t side) { return core::uniform(core::Stream(0, "colour"), {1, 3, side, side}); }

nets::Network cnn6(std::int64_t side) {
  return tiny::network({.net = "cnn6", .input = {3, side, side}, .classes = 10});
}

// A chain of these layers from an image of kSide x kSide to kClasses logits.
nets::Network chain(const std::vector<nets::Op>& ops, const nets::Spec& spec = tiny::spec("chain")) {
  nets::Architecture net{.spec = spec, .layers = {}};
  for (const auto& op : ops) {
    const int number = static_cast<int>(net.layers.size());
    net.layers.push_back({op, fmt::format("layer{}", number), {number - 1}});
  }
  return {.architecture = net, .state = nets::initialise(net, 0)};
}

// Every kind of layer that can be inverted; a stride that does not fit the image.
nets::Network invertible() {
  auto spec = tiny::spec("chain");
  spec.mean = {0.4};
  spec.deviation = {0.2};
  return chain({nets::Normalise{{0.4}, {0.2}}, nets::Conv{.in = 1, .out = 9, .kernel = 3, .stride = 2, .padding = 1},
                nets::Normalise{std::vector<double>(9, 0.1), std::vector<double>(9, 3)}, nets::Tanh{},
                nets::Conv{.in = 9, .out = 9, .kernel = 2, .padding = 1}, nets::Sigmoid{}, nets::Flatten{},
                nets::Dropout{0.5}, nets::Linear{9 * 25, 20}, nets::LeakyRelu{}, nets::Linear{20, tiny::kClasses}},
               spec);
}

TEST(RGap, FindsTheImageBehindCnn6) {
  const auto network = cnn6(32);
  const Tensor images = colour(32), labels = torch::tensor({3});
  EXPECT_GT(psnr_of(tiny::observed(network, images, labels), images), 90) << "float32";
  const sharing::Protocol exact{.arithmetic = sharing::Arithmetic::kFloat64};
  EXPECT_GT(
      psnr_of({.network = network, .update = sharing::compute_update(network, images, labels, exact), .labels = {}},
              images),
      130)
      << "float64";
}

TEST(RGap, GoesBackThroughEveryLayerThatCanBeInverted) {
  EXPECT_GT(psnr_of(tiny::observed(invertible(), tiny::images(1), torch::tensor({1})), tiny::images(1)), 70);
  EXPECT_GT(psnr_of(tiny::observed_lenet(), tiny::images(1)), 70);
}

// The true class's part of the gradient is rounded away, and the rest is small.
TEST(RGap, FindsTheImageInASmallGradient) {
  auto observation = tiny::observed_with_margin(18);
  ASSERT_EQ(residual_at_logits(observation).min().item<float>(), 0);
  EXPECT_GT(psnr_of(observation, tiny::images(1)), 60);
  tiny::scale(observation.update, 1e-12);
  EXPECT_GT(psnr_of(observation, tiny::images(1)), 60);
}

TEST(RGap, SaysWhichLayerIsNotDetermined) {
  const auto expect_rank = [](const nets::Network& network, int rank) {
    const Trial trial = run(tiny::observed(network, tiny::images(1), torch::tensor({1})));
    EXPECT_EQ(trial.status, Status::kOk) << trial.reason;
    EXPECT_EQ(trial.method,
              fmt::format("closed form, float64; determined: only {} of the 64 values that layer0 takes", rank));
  };
  const auto behind = [](const nets::Conv& conv, std::int64_t features) {
    return chain({conv, nets::Sigmoid{}, nets::Flatten{}, nets::Linear{features, tiny::kClasses}});
  };
  // 9 outputs and 9 weights are 18 equations, of which k^T W x = <W, dL/dW> is one twice.
  expect_rank(behind({.in = 1, .out = 1, .kernel = 3, .stride = 2}, 9), 17);
  // Three of four outputs tell of each 2x2 pixels, and the gradient of each output of what these leave of all.
  auto small = behind({.in = 1, .out = 4, .kernel = 2, .stride = 2}, 64);
  small.state.at("layer0.weight")[3] *= 3e-7;
  expect_rank(small, 3 * 16 + 4);
}

TEST(RGap, SaysWhatItCannotGoBackThrough) {
  const auto refused = [](const sharing::Observation& observation, const std::string& why) {
    const Trial trial = run(observation);
    EXPECT_EQ(trial.status, Status::kNotApplicable) << why;
    EXPECT_THAT(trial.reason, testing::HasSubstr(why));
  };
  const Tensor images = tiny::images(1), labels = torch::tensor({1});
  const nets::Flatten flat{};
  const auto behind = [&](const nets::Op& op, std::int64_t features) {
    return tiny::observed(chain({op, flat, nets::Linear{features, tiny::kClasses}}), images, labels);
  };
  refused(tiny::observed(tiny::rectified(9), images, labels), "layer 3 of rectified is a ReLU; use residual");
  refused(behind(nets::LeakyRelu{0}, 64), "layer 1 of chain is a ReLU");
  refused(behind(nets::Gelu{}, 64), "a GELU");
  refused(behind(nets::MaxPool{2}, 16), "a max pooling");
  refused(behind(nets::AveragePool{2}, 16), "an average pooling");
  refused(behind(nets::GlobalAveragePool{}, 1), "an average pooling");
  refused(behind(nets::BatchNorm{1}, 64), "a batch norm");
  refused(tiny::observed(invertible(), images, labels, nets::Mode::kTraining), "a dropout in training mode");
  auto skipped = chain({flat, nets::Linear{64, 64}, nets::Add{}, nets::Linear{64, tiny::kClasses}});
  skipped.architecture.layers[2].inputs = {1, 0};
  refused(tiny::observed(skipped, images, labels), "layer 3 of chain is fed by another than the layer before it");
  refused(tiny::observed(chain({flat, nets::Linear{64, tiny::kClasses}, nets::Sigmoid{}}), images, labels),
          "does not end in a linear layer; use ig");
  refused(tiny::observed(tiny::balanced_lenet(), tiny::images(2), tiny::labels(2)), "got a batch of 2); use ig");
  auto trained = tiny::observed_lenet();
  trained.update.protocol.local = {.epochs = 2};
  refused(trained, "by local training); use unrolled");

  auto broken = tiny::observed_lenet();
  broken.update.gradient.at("body.4.weight").fill_(NAN);
  refused(broken, "the equations of body.4: got values that are not finite");
  broken.update.gradient.at("fc.0.bias").zero_();
  refused(broken, "the gradient of fc.0.bias is zero everywhere");
}

TEST(RGap, AsksForMemoryAndStops) {
  const auto observation = tiny::observed_lenet();
  const Attack attack = preset("r-gap").attack;
  const auto call = [&] { (void)r_gap(observation, attack, 0, 1, torch::kCPU); };
  core::set_memory_budget(100'000);
  core::expect_error(call, core::ErrorKind::kData, "r-gap: the equations of body.");
  core::set_memory_budget(0);
  core::request_stop();
  core::expect_error(call, core::ErrorKind::kStopped, "");
  core::request_stop(false);
}

}  // namespace
}  // namespace pellucid::inversion
