// The tensor engine against double backward in float64, in float64 and in float32; and the descent by it.
#include "pellucid/core/recording.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/agreement.h"
#include <torch/cuda.h>

namespace pellucid::inversion {
namespace {

using namespace agreement;
using core::ErrorKind;

void expect_tensor_agreement(const Case& c, const std::string& what) {
  const Agreement exact = compare<TensorEngine>(c, Precision::kFloat64), a = compare<TensorEngine>(c);
  EXPECT_EQ(exact.flips, 0) << what;
  EXPECT_LT(exact.loss, 1e-12) << what;
  EXPECT_LT(exact.gradient, 1e-9) << what;
  EXPECT_LT(a.loss, 1e-6) << what;
  EXPECT_LT(a.gradient, c.mode == nets::Mode::kTraining ? 3e-3 : a.tolerance()) << what;
  EXPECT_LT(a.flips, c.trials) << what << ": every trial flips, nothing was compared";
}

TEST(TensorEngine, EqualsDoubleBackwardForEveryObjective) {
  const auto net =
      network(layers({2, 9, 9}, {nets::Conv{2, 6, 3, 1, 1}, nets::Relu{}, nets::MaxPool{2}, nets::Conv{6, 8, 3, 2, 0},
                                 nets::Relu{}, nets::Flatten{}, nets::Linear{8, 7}, nets::Relu{}, nets::Linear{7, 5}}),
              4);
  for (const auto functional : {Functional::kLoss, Functional::kResidual}) {
    for (const auto objective : {Objective::kCosine, Objective::kAngular, Objective::kL2}) {
      for (const std::vector<double>& weights : {std::vector<double>{}, {1, 0, 3, 0.5}}) {
        expect_tensor_agreement(
            {.net = net, .trials = 3, .functional = functional, .objective = objective, .weights = weights},
            fmt::format("functional {}, objective {}, {} weights", static_cast<int>(functional),
                        static_cast<int>(objective), weights.size()));
      }
    }
  }
}

TEST(TensorEngine, EqualsDoubleBackwardWithFeaturesMatched) {
  const auto net = network(layers({2, 6, 6}, {nets::Conv{2, 6, 3, 1, 1}, nets::Tanh{}, nets::Flatten{},
                                              nets::Linear{216, 7}, nets::Relu{}, nets::Linear{7, 5}}),
                           4);
  expect_tensor_agreement(
      {.net = net, .trials = 2, .functional = Functional::kResidual, .objective = Objective::kL2, .features = 3},
      "features");
}

TEST(TensorEngine, EqualsDoubleBackwardWithTheFeaturesOfABatch) {
  const auto net = network(layers({2, 6, 6}, {nets::Conv{2, 6, 3, 1, 1}, nets::Tanh{}, nets::Flatten{},
                                              nets::Linear{216, 7}, nets::Relu{}, nets::Linear{7, 5}}),
                           4);
  expect_tensor_agreement({.net = net, .batch = 3, .trials = 2, .objective = Objective::kL2, .known = {0.5, 0, 2}},
                          "two of three");
}

TEST(TensorEngine, EqualsDoubleBackwardForEveryKindOfLayer) {
  const std::vector<std::pair<std::string, nets::Op>> kinds = {
      {"relu", nets::Relu{}},
      {"leaky relu", nets::LeakyRelu{0.2}},
      {"sigmoid", nets::Sigmoid{}},
      {"tanh", nets::Tanh{}},
      {"gelu", nets::Gelu{}},
      {"max pool", nets::MaxPool{3}},
      {"average pool", nets::AveragePool{3}},
      {"global average", nets::GlobalAveragePool{}},
      {"batch norm", nets::BatchNorm{6}},
      {"dropout", nets::Dropout{0.5}},
      {"late normalisation", nets::Normalise{{.1, .2, .3, .1, .2, .3}, {1, 2, 3, 1, 2, 3}}},
      {"convolution", nets::Conv{6, 6, 3, 2, 1, false}}};
  for (const auto& [name, op] : kinds) {
    for (const auto mode : {nets::Mode::kEvaluation, nets::Mode::kTraining}) {
      expect_tensor_agreement({.net = network(among_others(op), 5), .batch = 2, .trials = 2, .mode = mode}, name);
    }
  }
}

TEST(TensorEngine, EqualsDoubleBackwardForSumsOfWhatIsTakenTwice) {
  for (const auto mode : {nets::Mode::kEvaluation, nets::Mode::kTraining})
    expect_tensor_agreement({.net = network(sums_of_what_is_taken_twice(), 6), .batch = 2, .trials = 2, .mode = mode},
                            "sums");
}

// Wide and small enough for the Gram trick, and not.
TEST(TensorEngine, EqualsDoubleBackwardWithAndWithoutTheGramTrick) {
  for (const std::int64_t width : {3, 40}) {
    for (const std::int64_t batch : {1, 3}) {
      for (const auto objective : {Objective::kCosine, Objective::kL2}) {
        const auto net =
            network(layers({3, 6, 6}, {nets::Conv{3, width, 3, 1, 1}, nets::Relu{}, nets::Conv{width, width, 3, 2, 1},
                                       nets::Relu{}, nets::Conv{width, width, 2, 1, 1}, nets::Relu{},
                                       nets::GlobalAveragePool{}, nets::Flatten{}, nets::Linear{width, 5}}),
                    7);
        expect_tensor_agreement({.net = net, .batch = batch, .trials = 3, .objective = objective},
                                fmt::format("width {}, batch {}", width, batch));
      }
    }
  }
}

// In brain floats as the engine's mixed precision: all but the forward sweep.
TEST(TensorEngine, PointsTheSameWayInMixedPrecision) {
  const Agreement a = compare<TensorEngine>(
      {.net = network(nets::build({.net = "preact_resnet8", .input = {3, 32, 32}}), 3), .trials = 2},
      Precision::kMixed);
  EXPECT_GT(a.cosine, 0.999);
  EXPECT_LT(a.gradient, 0.03);
  EXPECT_GT(a.gradient, 1e-4) << "are these brain floats?";
}

TEST(TensorEngine, AgreesWithTheEngineInAnyCompany) {
  const Case c{.net = network(nets::build({.net = "small_cnn"}), 8), .trials = 3};
  const Problem problem = problem_of(c);
  const Tensor images = trial_images(c);
  std::vector<double> losses(3), together(3), alone(1);
  const Tensor expected = Engine(problem, 3, Precision::kFloat32).evaluate(images, losses).clone();
  const Tensor gradients = TensorEngine(problem, 3, Precision::kFloat32).evaluate(images, together);
  TensorEngine one(problem, 1, Precision::kFloat32);
  for (std::int64_t t = 0; t < 3; ++t) {
    const Tensor gradient = one.evaluate(images.slice(0, t, t + 1), alone);
    EXPECT_NEAR(together[t], losses[t], 1e-6);
    EXPECT_NEAR(alone[0], losses[t], 1e-6);
    EXPECT_LT((gradients[t] - expected[t]).norm().item<double>(), 1e-4 * expected[t].norm().item<double>());
    EXPECT_LT((gradient[0] - expected[t]).norm().item<double>(), 1e-4 * expected[t].norm().item<double>());
  }
}

// The labels that are optimised too; a layer that flattens at the end has its values in another order.
TEST(TensorEngine, HasTheGradientByTheLabels) {
  auto flat =
      layers({1, 5, 5}, {nets::Conv{1, 6, 3, 1, 1}, nets::Sigmoid{}, nets::Conv{6, 2, 3, 2, 0}, nets::Flatten{}});
  flat.spec.classes = 8;
  for (const auto& net : {tiny::balanced_lenet(), network(flat, 3)}) {
    for (const auto objective : {Objective::kCosine, Objective::kL2}) {
      const Case c{.net = net, .batch = 2, .trials = 2, .objective = objective};
      const Problem problem = problem_of(c);
      const auto exact = [](const Tensor& tensor) { return tensor.to(torch::kFloat64); };
      const Tensor images = exact(trial_images(c));
      const Tensor labels =
          exact(core::uniform(core::Stream(3, "labels"), {4, net.architecture.spec.classes})).softmax(1);
      const auto got = TensorEngine(problem, 2, Precision::kFloat64).evaluate(images, labels);
      const DoubleBackward reference(problem, Precision::kFloat64);
      for (std::int64_t t = 0; t < 2; ++t) {
        const auto of_trial = [&](const Tensor& tensor) { return tensor.slice(0, 2 * t, 2 * t + 2); };
        const Matched expected = reference(of_trial(images), of_trial(labels));
        EXPECT_NEAR(got.losses[t].item<double>(), expected.matching_loss, 1e-12);
        EXPECT_TRUE(torch::allclose(of_trial(got.gradient), expected.gradient, 1e-8, 1e-12));
        EXPECT_TRUE(torch::allclose(of_trial(got.by_labels), expected.by_labels, 1e-8, 1e-12));
        const Tensor moved = core::normal(core::Stream(4, "direction"), {2, labels.size(1)}).to(torch::kFloat64) * 1e-5;
        const auto loss = [&](double sign) {
          return reference(of_trial(images), of_trial(labels) + sign * moved).matching_loss;
        };
        EXPECT_NEAR((expected.by_labels * moved).sum().item<double>() / (loss(0.5) - loss(-0.5)), 1, 1e-5);
      }
    }
  }
}

TEST(TensorEngine, SaysWhatItLacks) {
  EXPECT_EQ(TensorEngine::lacks(nets::build({.net = "small_cnn"})), std::nullopt);
  auto shared =
      layers({1, 4, 4}, {nets::Conv{1, 1, 3, 1, 1}, nets::Conv{1, 1, 3, 1, 1}, nets::Flatten{}, nets::Linear{16, 5}});
  shared.layers[1].name = shared.layers[0].name;
  EXPECT_EQ(TensorEngine::lacks(shared), "layers that share the parameters layer0");
  EXPECT_EQ(TensorEngine::lacks(nets::build({.net = "preact_resnet8_gn"})), "a group norm, layer1.0.gn1");
  EXPECT_EQ(TensorEngine::lacks(layers({1, 4, 4}, {nets::Conv{1, 5, 3}})), "an output that is not flat");
  EXPECT_EQ(TensorEngine::lacks(layers({1, 4, 4}, {nets::Conv{1, 1, 1, 1, 1}, nets::Flatten{}, nets::Linear{36, 5}})),
            "a padding as wide as the kernel, layer0");
  const Problem problem = problem_of({.net = tiny::balanced_lenet()});
  core::expect_error([&] { TensorEngine(problem, 1, Precision::kTf32); }, ErrorKind::kUsage,
                     "got tf32 on the cpu, expected float32 or a CUDA device");
  for (const auto& [objective, got] : {std::pair{Objective::kL1, "got l1,"}, {Objective::kFisher, "got fisher,"}}) {
    const Problem other = problem_of({.net = tiny::balanced_lenet(), .objective = objective});
    core::expect_error([&] { TensorEngine(other, 1, Precision::kFloat32); }, ErrorKind::kUsage, got);
  }
}

TEST(TensorEngine, DescendsAsTheEngineDoes) {
  const auto observation = tiny::observed_lenet();
  Attack options;
  options.iterations = 40;
  options.restarts = 2;
  const auto expected = run_trials(observation, options, 0, 2);
  options.method = Method::kTensor;
  for (const auto& [precision, name] : {std::pair{Precision::kFloat32, "tensor engine, float32"},
                                        std::pair{Precision::kFloat64, "tensor engine, float64"}}) {
    options.precision = precision;
    const auto trials = run_trials(observation, options, 0, 2);
    for (int t = 0; t < 2; ++t) {
      EXPECT_EQ(trials[t].method, name);
      EXPECT_EQ(trials[t].status, Status::kOk);
      EXPECT_EQ(trials[t].curve.iteration, expected[t].curve.iteration);
      EXPECT_NEAR(trials[t].curve.matching_loss[0], expected[t].curve.matching_loss[0], 1e-5);
      EXPECT_NEAR(trials[t].matching_loss / expected[t].matching_loss, 1, 0.2);  // signed steps: the last bit decides
      EXPECT_EQ(trials[t].images.scalar_type(), torch::kFloat32);
    }
  }
}

TEST(Reconstruct, RefusesAPrecisionThatTheDeviceHasNot) {
  Attack options;
  options.precision = Precision::kTf32;
  core::expect_error([&] { (void)reconstruct(tiny::observed_lenet(), options, {}); }, ErrorKind::kUsage,
                     "got tf32 on the cpu, expected float32 or a CUDA device");
}

TEST(Recording, OnTheCpuCallsTheFunction) {
  int calls = 0;
  core::Recording record(torch::kCPU, [&] { ++calls; });
  for (int i = 0; i < 4; ++i) record();
  record.wait();
  EXPECT_EQ(calls, 4);
}

// Skipped where libtorch finds no CUDA device.
struct OnCuda : testing::Test {
  const torch::Device cuda{torch::kCUDA, 0};
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  }
};

TEST_F(OnCuda, EqualsDoubleBackward) {
  for (const char* net : {"small_cnn", "preact_resnet8"}) {
    const bool grey = net == std::string("small_cnn");
    const Case c{.net = network(nets::build({.net = net, .input = {grey ? 1 : 3, grey ? 28 : 32, grey ? 28 : 32}}), 3),
                 .trials = 3};
    const Agreement exact = compare<TensorEngine>(c, Precision::kFloat64, cuda),
                    single = compare<TensorEngine>(c, Precision::kFloat32, cuda);
    EXPECT_LT(exact.gradient, 1e-9) << net;
    EXPECT_LT(exact.loss, 1e-12) << net;
    EXPECT_LT(single.gradient, single.tolerance(5)) << net << ": is this TF32?";
    EXPECT_LT(single.loss, 1e-6) << net;
    EXPECT_LT(single.flips, 3) << net << ": every trial flips, nothing was compared";
    for (const auto precision : {Precision::kTf32, Precision::kMixed}) {
      const Agreement rounded = compare<TensorEngine>(c, precision, cuda);
      EXPECT_GT(rounded.cosine, 0.999) << net;
      EXPECT_LT(rounded.gradient, 0.05) << net;
      EXPECT_GT(rounded.gradient, 3 * single.gradient) << net << ": is anything rounded?";
    }
  }
}

TEST_F(OnCuda, DescendsAsOnTheCpuAndTheSameTwice) {
  const auto observation = tiny::observed_lenet();
  Attack options;
  options.iterations = 40;
  options.restarts = 2;
  const auto expected = run_trials(observation, options, 0, 2);
  const auto trials = run_trials(observation, options, 0, 2, cuda),
             again = run_trials(observation, options, 0, 2, cuda);
  for (int t = 0; t < 2; ++t) {
    EXPECT_EQ(trials[t].method, "tensor engine, float32");
    EXPECT_EQ(trials[t].status, Status::kOk);
    EXPECT_EQ(trials[t].curve.iteration, expected[t].curve.iteration);
    EXPECT_NEAR(trials[t].curve.matching_loss[0], expected[t].curve.matching_loss[0], 1e-5);
    EXPECT_NEAR(trials[t].matching_loss / expected[t].matching_loss, 1, 0.2);  // signed steps: the last bit decides
    EXPECT_TRUE(trials[t].images.device().is_cpu());
    EXPECT_EQ(trials[t].matching_loss, again[t].matching_loss);
    EXPECT_TRUE(torch::equal(trials[t].images, again[t].images));
  }
}

TEST_F(OnCuda, ARecordingComputesWhatItsCallsWould) {
  int calls = 0;
  const Tensor x = torch::arange(5, torch::TensorOptions(cuda).dtype(torch::kFloat32)), y = torch::zeros_like(x);
  core::Recording record(cuda, [&] {
    ++calls;
    x.add_(1);
    y.add_(x * 0.1);
  });
  core::synchronise(cuda);
  for (int i = 0; i < 6; ++i) record();
  record.wait();
  Tensor expected = torch::arange(5, torch::kFloat32), sum = torch::zeros_like(expected);
  for (int i = 0; i < 6; ++i) sum.add_(expected.add_(1) * 0.1);
  EXPECT_TRUE(torch::equal(x.cpu(), expected));
  EXPECT_TRUE(torch::allclose(y.cpu(), sum));
  EXPECT_EQ(calls, 3) << "two calls and the recorded one";
}

}  // namespace
}  // namespace pellucid::inversion
