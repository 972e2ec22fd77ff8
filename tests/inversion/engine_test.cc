// The engine against double backward in float64: the same loss, the same gradient.
#include "tests/core/expect_error.h"
#include "tests/inversion/agreement.h"
#include <malloc.h>
#include <rapidcheck/gtest.h>

namespace pellucid::inversion {
namespace {

using namespace agreement;
using core::ErrorKind;

void expect_agreement(const Case& c, const std::string& what) {
  const Agreement a = compare(c);
  EXPECT_LT(a.loss, 1e-6) << what;
  EXPECT_LT(a.gradient, a.tolerance()) << what;
  EXPECT_LT(a.flips, c.trials) << what << ": every trial flips, nothing was compared";
}

TEST(Engine, EqualsDoubleBackwardForEveryObjective) {
  const auto net =
      network(layers({2, 9, 9}, {nets::Conv{2, 6, 3, 1, 1}, nets::Relu{}, nets::MaxPool{2}, nets::Conv{6, 8, 3, 2, 0},
                                 nets::Relu{}, nets::Flatten{}, nets::Linear{8, 7}, nets::Relu{}, nets::Linear{7, 5}}),
              4);
  for (const auto functional : {Functional::kLoss, Functional::kResidual}) {
    for (const auto objective : {Objective::kCosine, Objective::kAngular, Objective::kL2}) {
      for (const std::vector<double>& weights : {std::vector<double>{}, {1, 0, 3, 0.5}}) {
        expect_agreement(
            {.net = net, .trials = 3, .functional = functional, .objective = objective, .weights = weights},
            fmt::format("functional {}, objective {}, {} weights", static_cast<int>(functional),
                        static_cast<int>(objective), weights.size()));
      }
    }
  }
}

TEST(Engine, EqualsDoubleBackwardWithFeaturesMatched) {
  const auto net = network(layers({2, 6, 6}, {nets::Conv{2, 6, 3, 1, 1}, nets::Tanh{}, nets::Flatten{},
                                              nets::Linear{216, 7}, nets::Relu{}, nets::Linear{7, 5}}),
                           4);
  const Case with{
      .net = net, .trials = 2, .functional = Functional::kResidual, .objective = Objective::kL2, .features = 3};
  Case without = with;
  without.features = 0;
  expect_agreement(with, "features");
  const Tensor trial = trial_images(with).slice(0, 0, 1).to(torch::kFloat64);
  EXPECT_GT(DoubleBackward(problem_of(with), Precision::kFloat64)(trial).matching_loss,
            1.1 * DoubleBackward(problem_of(without), Precision::kFloat64)(trial).matching_loss);
}

TEST(Engine, EqualsDoubleBackwardWithTheFeaturesOfABatch) {
  const auto net = network(layers({2, 6, 6}, {nets::Conv{2, 6, 3, 1, 1}, nets::Tanh{}, nets::Flatten{},
                                              nets::Linear{216, 7}, nets::Relu{}, nets::Linear{7, 5}}),
                           4);
  const Case with{.net = net, .batch = 3, .trials = 2, .objective = Objective::kL2, .known = {0.5, 0, 2}};
  expect_agreement(with, "two of three");
  Problem moved = problem_of(with);
  moved.features.targets[1] += 1;
  const Tensor trial = trial_images(with).slice(0, 0, 3).to(torch::kFloat64);
  const auto loss = [&](const Problem& problem) { return DoubleBackward(problem, Precision::kFloat64).loss(trial); };
  EXPECT_EQ(loss(moved), loss(problem_of(with))) << "nothing is asked of an image that is not known";
  moved.features.targets[2] += 1;
  EXPECT_NE(loss(moved), loss(problem_of(with)));
}

TEST(Engine, EqualsDoubleBackwardForEveryKindOfLayer) {
  const std::vector<std::pair<std::string, nets::Op>> kinds = {{"relu", nets::Relu{}},
                                                               {"leaky relu", nets::LeakyRelu{0.2}},
                                                               {"sigmoid", nets::Sigmoid{}},
                                                               {"tanh", nets::Tanh{}},
                                                               {"gelu", nets::Gelu{}},
                                                               {"max pool", nets::MaxPool{3}},
                                                               {"average pool", nets::AveragePool{2}},
                                                               {"global average", nets::GlobalAveragePool{}},
                                                               {"batch norm", nets::BatchNorm{6}},
                                                               {"dropout", nets::Dropout{0.5}},
                                                               {"convolution", nets::Conv{6, 6, 3, 2, 1, false}}};
  for (const auto& [name, op] : kinds) {
    for (const auto mode : {nets::Mode::kEvaluation, nets::Mode::kTraining}) {
      expect_agreement({.net = network(among_others(op), 5), .batch = 2, .trials = 2, .mode = mode}, name);
    }
  }
}

TEST(Engine, EqualsDoubleBackwardForSumsOfWhatIsTakenTwice) {
  for (const auto mode : {nets::Mode::kEvaluation, nets::Mode::kTraining})
    expect_agreement({.net = network(sums_of_what_is_taken_twice(), 6), .batch = 2, .trials = 2, .mode = mode}, "sums");
}

// Wide and small enough for the Gram trick, and not.
TEST(Engine, EqualsDoubleBackwardWithAndWithoutTheGramTrick) {
  for (const std::int64_t width : {3, 40}) {
    for (const std::int64_t batch : {1, 3}) {
      const auto net =
          network(layers({3, 6, 6}, {nets::Conv{3, width, 3, 1, 1}, nets::Relu{}, nets::Conv{width, width, 3, 2, 1},
                                     nets::Relu{}, nets::Conv{width, width, 2, 1, 1}, nets::Relu{},
                                     nets::GlobalAveragePool{}, nets::Flatten{}, nets::Linear{width, 5}}),
                  7);
      expect_agreement({.net = net, .batch = batch, .trials = 3}, fmt::format("width {}, batch {}", width, batch));
    }
  }
}

// Random small networks: kernels, strides, paddings, activations, norms, batches, trials, objectives.
RC_GTEST_PROP(Engine, EqualsDoubleBackwardForRandomNetworks, ()) {
  auto between = [](int low, int high) { return static_cast<std::int64_t>(*rc::gen::inRange(low, high + 1)); };
  const std::vector<std::int64_t> input = {between(1, 3), between(7, 9), between(7, 9)};
  std::vector<nets::Op> ops;
  std::int64_t channels = input[0];
  for (int block = 0; block < 2; ++block) {
    const std::int64_t out = between(2, 20), kernel = between(1, 3);
    ops.push_back(nets::Conv{channels, out, kernel, between(1, 2), between(0, static_cast<int>(kernel - 1)),
                             *rc::gen::arbitrary<bool>()});
    if (*rc::gen::arbitrary<bool>()) ops.push_back(nets::BatchNorm{out});
    ops.push_back(
        *rc::gen::element<nets::Op>(nets::Relu{}, nets::LeakyRelu{0.1}, nets::Sigmoid{}, nets::Tanh{}, nets::Gelu{}));
    channels = out;
  }
  if (*rc::gen::arbitrary<bool>()) ops.push_back(nets::GlobalAveragePool{});
  ops.push_back(nets::Flatten{});
  nets::Architecture architecture = layers(input, ops);
  const auto features = nets::output_shapes(architecture).back()[0];
  architecture.layers.push_back({nets::Linear{features, 5}, "last", {static_cast<int>(ops.size()) - 1}});
  const Case c{.net = network(architecture, *rc::gen::inRange<std::uint64_t>(0, 1000)),
               .batch = between(1, 3),
               .trials = between(1, 3),
               .functional = Functional::kLoss,
               .objective = *rc::gen::element(Objective::kCosine, Objective::kL2),
               .mode = *rc::gen::element(nets::Mode::kEvaluation, nets::Mode::kTraining)};
  const auto shapes = nets::output_shapes(architecture);
  for (std::size_t i = 0; i < ops.size(); ++i) {  // one value a channel has no variance: it is refused
    const bool alone = c.batch == 1 && shapes[i].size() == 3 && shapes[i][1] * shapes[i][2] == 1;
    if (c.mode == nets::Mode::kTraining && std::holds_alternative<nets::BatchNorm>(ops[i]) && alone) return;
  }
  const Agreement a = compare(c);
  // Nearer to the truth v is a small difference of large gradients, and the sums that decide it are rounded.
  if (a.distance < 1e-3 || a.reference > 1e-4) return;
  RC_LOG() << fmt::format(
      "training {}, objective {}, batch {}, distance {:.1e}, gradient {:.1e} (double backward {:.1e}), loss {:.1e}\n",
      c.mode == nets::Mode::kTraining, static_cast<int>(c.objective), c.batch, a.distance, a.gradient, a.reference,
      a.loss);
  // A batch's own statistics undo much of what the layer before did: of the tangent, fewer digits are left than in
  // double backward, see docs/engine.md.
  const bool training = c.mode == nets::Mode::kTraining;
  RC_ASSERT(a.gradient < (training ? 3e-3 : a.tolerance(30)));
  RC_ASSERT(a.loss < (training ? 2e-4 : 1e-5));
}

// To the bit where oneDNN has its kernels for AVX-512; with AVX2 it takes other ones for other batches, and rounding
// differs.
TEST(Engine, GivesATrialTheSameInAnyCompany) {
  const auto net = network(nets::build({.net = "small_cnn"}), 8);
  Case c{.net = net, .trials = 4};
  const Problem problem = problem_of(c);
  const Tensor images = trial_images(c);
  std::vector<double> together(4), alone(1);
  Engine four(problem, 4, Precision::kFloat32), one(problem, 1, Precision::kFloat32);
  const Tensor gradients = four.evaluate(images, together).clone();
  for (std::int64_t t = 0; t < 4; ++t) {
    const Tensor gradient = one.evaluate(images.slice(0, t, t + 1), alone);
    const double rounding = has_brain_floats() ? 0 : 1e-5;
    EXPECT_NEAR(alone[0], together[t], rounding * together[t]) << t;
    EXPECT_LE((gradient[0] - gradients[t]).norm().item<double>(), rounding * gradients[t].norm().item<double>()) << t;
  }
}

TEST(Engine, HasTheGradientByTheLabels) {
  Case c{.net = tiny::balanced_lenet(), .batch = 2, .trials = 2};
  const Problem problem = problem_of(c);
  const auto& architecture = c.net.architecture;
  const Tensor images = trial_images(c),
               labels = core::uniform(core::Stream(3, "labels"), {4, architecture.spec.classes}).softmax(1);
  Engine engine(problem, 2, Precision::kFloat32);
  std::vector<double> losses(2);
  const auto gradients = engine.evaluate(images, labels, losses);
  for (std::int64_t t = 0; t < 2; ++t) {
    const auto leaves = nets::with_gradients({architecture, nets::converted(c.net.state, torch::kFloat64)});
    const Tensor x = images.slice(0, 2 * t, 2 * t + 2).to(torch::kFloat64).requires_grad_(true);
    const Tensor q = labels.slice(0, 2 * t, 2 * t + 2).to(torch::kFloat64).requires_grad_(true);
    const Tensor loss = -(nets::evaluate(architecture, leaves.state, x).logits.log_softmax(1) * q).sum() / 2;
    const auto g = torch::autograd::grad({loss}, leaves.parameters, {}, true, true);
    Tensor inner = torch::zeros({}, torch::kFloat64), square = inner, observed = inner;
    for (std::size_t i = 0; i < g.size(); ++i) {
      inner = inner + (g[i] * problem.observed[i]).sum();
      square = square + g[i].square().sum();
      observed = observed + problem.observed[i].square().sum();
    }
    const Tensor distance = 1 - inner / (square * observed).sqrt();
    const auto expected = torch::autograd::grad({distance}, {x, q});
    EXPECT_NEAR(losses[t] / distance.item<double>(), 1, 1e-5);
    EXPECT_LT(((gradients.images.slice(0, 2 * t, 2 * t + 2) - expected[0]).norm() / expected[0].norm()).item<double>(),
              1e-5);
    EXPECT_LT(((gradients.labels.slice(0, 2 * t, 2 * t + 2) - expected[1]).norm() / expected[1].norm()).item<double>(),
              1e-5);
  }
}

TEST(Engine, FollowsAGradientWhoseSquareUnderflows) {
  const auto observation = tiny::observed_with_margin(60);
  const auto labels = infer_labels(observation);
  for (const auto functional : {Functional::kLoss, Functional::kResidual}) {
    Attack options;
    options.functional = functional;
    options.objective = Objective::kCosine;
    options.features = 0;
    const Problem problem = make_problem(observation, options, labels);
    const Tensor trial = tiny::images(1, 7);
    const Matched expected = DoubleBackward(problem, Precision::kFloat64)(trial.to(torch::kFloat64));
    Engine engine(problem, 1, Precision::kFloat32);
    std::vector<double> losses(1);
    const Tensor gradient = engine.evaluate(trial, losses);
    EXPECT_NEAR(losses[0] / expected.matching_loss, 1, 1e-3);
    EXPECT_LT((gradient - expected.gradient).norm().item<double>(), 1e-2 * expected.gradient.norm().item<double>());
  }
}

TEST(Engine, HoldsAFixedAmountOfMemory) {
  Case c{.net = network(nets::build(tiny::spec()), 8), .trials = 2};
  Engine engine(problem_of(c), 2, Precision::kFloat32);
  const Tensor images = trial_images(c);
  std::vector<double> losses(2);
  for (int i = 0; i < 3; ++i) (void)engine.evaluate(images, losses);
  const auto before = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (int i = 0; i < 1000; ++i) (void)engine.evaluate(images, losses);
  EXPECT_EQ(mallinfo2().uordblks + mallinfo2().hblkhd, before);
  EXPECT_GT(engine.memory(), 4 * sizeof(float) * static_cast<std::size_t>(images.numel()));
}

TEST(Engine, SaysWhatItLacks) {
  EXPECT_EQ(Engine::lacks(nets::build({.net = "small_cnn"})), std::nullopt);
  auto shared =
      layers({1, 4, 4}, {nets::Conv{1, 1, 3, 1, 1}, nets::Conv{1, 1, 3, 1, 1}, nets::Flatten{}, nets::Linear{16, 5}});
  shared.layers[1].name = shared.layers[0].name;
  EXPECT_EQ(Engine::lacks(shared), "layers that share the parameters layer0");
  EXPECT_EQ(Engine::lacks(layers({1, 4, 4}, {nets::Flatten{}, nets::BatchNorm{16}, nets::Linear{16, 5}})),
            "a batch norm of flat features, layer1");
  EXPECT_EQ(Engine::lacks(nets::build({.net = "preact_resnet8_gn"})), "a group norm, layer1.0.gn1");
  EXPECT_EQ(Engine::lacks(layers(
                {1, 4, 4}, {nets::Conv{1, 1, 3}, nets::Normalise{{0.}, {1.}}, nets::Flatten{}, nets::Linear{4, 5}})),
            "a normalisation that is not the first layer");
  EXPECT_EQ(Engine::lacks(layers({1, 4, 4}, {nets::Conv{1, 5, 3}})), "an output that is not flat");
  const Problem problem = problem_of({.net = tiny::balanced_lenet()});
  core::expect_error([&] { Engine(problem, 1, Precision::kFloat64); }, ErrorKind::kUsage,
                     "got float64, expected float32 or mixed");
  for (const auto& [objective, got] : {std::pair{Objective::kL1, "got l1,"}, {Objective::kFisher, "got fisher,"}}) {
    const Problem other = problem_of({.net = tiny::balanced_lenet(), .objective = objective});
    core::expect_error([&] { Engine(other, 1, Precision::kFloat32); }, ErrorKind::kUsage, got);
  }
}

}  // namespace
}  // namespace pellucid::inversion
