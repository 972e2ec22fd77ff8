#include "pellucid/inversion/double_backward.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/observed.h"

namespace pellucid::inversion {
namespace {

using core::ErrorKind;

const Tensor kTrial = tiny::images(1, 7);

Attack with(Functional functional, Objective objective, Precision precision = Precision::kFloat64) {
  return {.functional = functional, .objective = objective, .features = 0, .precision = precision};
}

std::vector<Attack> every_kind() {
  std::vector<Attack> all;
  for (const auto functional : {Functional::kLoss, Functional::kResidual}) {
    for (const auto objective :
         {Objective::kCosine, Objective::kAngular, Objective::kL2, Objective::kL1, Objective::kFisher})
      all.push_back(with(functional, objective));
  }
  return all;
}

Tensor exact(const Tensor& tensor) { return tensor.to(torch::kFloat64); }

// All gradients of a loss on the network, one after the other, in float64.
Tensor flat_gradient(const nets::Network& network, const std::function<Tensor(const nets::TensorMap&)>& loss) {
  const auto leaves = nets::with_gradients(
      {.architecture = network.architecture, .state = nets::converted(network.state, torch::kFloat64)});
  std::vector<Tensor> flat;
  for (const auto& gradient : torch::autograd::grad({loss(leaves.state)}, leaves.parameters))
    flat.push_back(gradient.flatten());
  return torch::cat(flat);
}

Tensor flat_observed(const sharing::Observation& observation) {
  std::vector<Tensor> flat;
  for (const auto& name : nets::parameter_names(observation.network.architecture)) {
    flat.push_back(exact(observation.update.gradient.at(name)).flatten());
  }
  return torch::cat(flat);
}

TEST(DoubleBackward, IsTheDistanceOfTheGradients) {
  const auto observation = tiny::observed_lenet();
  const Tensor observed = flat_observed(observation);
  for (auto options : every_kind()) {
    options.layers = Layers::kLinear;
    const Tensor gradient = flat_gradient(observation.network, [&](const nets::TensorMap& state) {
      const Tensor logits = nets::evaluate(observation.network.architecture, state, exact(kTrial)).logits;
      if (options.functional == Functional::kLoss) return -logits.log_softmax(1)[0][1];
      return (exact(residual_at_logits(observation)) * logits[0]).sum();
    });
    std::vector<Tensor> weights;
    for (const auto& name : nets::parameter_names(observation.network.architecture)) {
      const auto size = observation.update.gradient.at(name).numel();
      weights.push_back(torch::full({size}, (8.0 - static_cast<double>(weights.size())) / 8, torch::kFloat64));
    }
    const Tensor w = torch::cat(weights), difference = gradient - observed;
    const Tensor cosine =
        (w * gradient).dot(observed) / ((w * gradient).dot(gradient) * (w * observed).dot(observed)).sqrt();
    const std::map<Objective, Tensor> expected = {
        {Objective::kCosine, 1 - cosine},
        {Objective::kAngular, cosine.arccos()},
        {Objective::kL2, (w * difference).dot(difference) / observed.square().sum()},
        {Objective::kL1, w.dot(difference.abs()) / w.dot(observed.abs())},
        {Objective::kFisher,
         w.dot(difference.square() / (observed.square() + 1e-8 * observed.square().sum())) / w.sum()}};
    const DoubleBackward matching = tiny::reference(observation, options, {1});
    EXPECT_NEAR(matching(exact(kTrial)).matching_loss, expected.at(options.objective).item<double>(), 1e-10);
  }
}

TEST(DoubleBackward, HasTheGradientOfFiniteDifferences) {
  const auto observation = tiny::observed_lenet();
  for (const auto& options : every_kind()) {
    const double step = options.objective == Objective::kL1 ? 1e-7 : 1e-4;  // between its kinks
    const DoubleBackward matching = tiny::reference(observation, options, {1});
    const Tensor x = exact(kTrial), gradient = matching(x).gradient;
    ASSERT_EQ(gradient.sizes(), x.sizes());
    for (std::uint64_t i = 0; i < 4; ++i) {
      const Tensor direction = exact(core::normal(core::Stream(0, "direction", i), x.sizes()));
      const double slope =
          (matching(x + step * direction).matching_loss - matching(x - step * direction).matching_loss) / (2 * step);
      EXPECT_NEAR((gradient * direction).sum().item<double>() / slope, 1, 1e-5);
    }
  }
}

TEST(DoubleBackward, IsZeroAtTheTruth) {
  const auto observation = tiny::observed_lenet();
  for (const auto& options : every_kind()) {
    const DoubleBackward matching = tiny::reference(observation, options, {1});
    // The client's gradient is float32: the first order of its rounding, or the square of it.
    const bool square = options.objective == Objective::kCosine || options.objective == Objective::kL2;
    EXPECT_LT(std::abs(matching(exact(tiny::images(1))).matching_loss), square ? 1e-11 : 1e-5);
    EXPECT_GT(matching(exact(kTrial)).matching_loss, 1e-4);
  }
}

TEST(DoubleBackward, EvaluatesTheNetworkInTheClientsMode) {
  const nets::Network network = tiny::normed();
  const Tensor images = tiny::images(2), labels = torch::tensor({0, 2});
  for (const auto mode : {nets::Mode::kEvaluation, nets::Mode::kTraining}) {
    const auto observation = tiny::observed(network, images, labels, mode);
    const DoubleBackward matching = tiny::reference(observation, with(Functional::kLoss, Objective::kL2), {0, 2});
    EXPECT_LT(matching(exact(images)).matching_loss, 1e-10);
  }
}

TEST(DoubleBackward, DoesNotDependOnTheSizeOfTheGradient) {
  auto observation = tiny::observed_lenet();
  for (const auto& options : every_kind()) {
    if (options.functional == Functional::kLoss && !any_size(options.objective)) continue;  // the loss has a size
    const double expected = tiny::reference(observation, options, {1})(exact(kTrial)).matching_loss;
    auto faint = observation;
    tiny::scale(faint.update, 1e-25);
    EXPECT_NEAR(tiny::reference(faint, options, {1})(exact(kTrial)).matching_loss / expected, 1, 1e-4);
  }
}

// A margin of 60 leaves a gradient of less than 1e-20, whose square is nothing in float32.
TEST(DoubleBackward, FollowsAGradientWhoseSquareUnderflows) {
  const auto observation = tiny::observed_with_margin(60);
  const auto labels = infer_labels(observation);
  double naive = 0;
  for (const auto& [name, tensor] : observation.update.gradient) naive += tensor.square().sum().item<float>();
  ASSERT_LT(sharing::gradient_norm(observation.update), 1e-20);
  ASSERT_GT(sharing::gradient_norm(observation.update), 1e-24);
  ASSERT_EQ(naive, 0);
  for (auto options : every_kind()) {
    if (options.functional == Functional::kLoss && !any_size(options.objective)) continue;
    const Matched expected = tiny::reference(observation, options, labels)(exact(kTrial));
    options.precision = Precision::kFloat32;
    const Matched matched = tiny::reference(observation, options, labels)(kTrial);
    EXPECT_NEAR(matched.matching_loss / expected.matching_loss, 1, 1e-3);
    EXPECT_LT((exact(matched.gradient) - expected.gradient).norm().item<double>(),
              1e-2 * expected.gradient.norm().item<double>());
    EXPECT_GT(expected.gradient.norm().item<double>(), 0);
    EXPECT_LE(options.objective == Objective::kCosine ? matched.matching_loss : 0, 2);
  }
}

TEST(MakeProblem, WeighsTheParametersFromTheImagesOn) {
  const auto observation = tiny::observed_lenet();
  const auto weights = [&](Layers layers) {
    Attack attack = with(Functional::kLoss, Objective::kCosine);
    attack.layers = layers;
    return make_problem(observation, attack, {1}).weights;
  };
  const auto equal = weights(Layers::kEqual), linear = weights(Layers::kLinear),
             exponential = weights(Layers::kExponential);
  ASSERT_EQ(equal.size(), 8u);  // four layers' weights and biases
  EXPECT_EQ(equal, std::vector<double>(8, 1));
  for (int i = 0; i < 8; ++i) {
    EXPECT_DOUBLE_EQ(linear[i], (8 - i) / 8.0);
    EXPECT_DOUBLE_EQ(exponential[i], std::exp(-i));
  }
}

TEST(DoubleBackward, RefusesAGradientThatCannotBeMatched) {
  auto zero = tiny::observed_lenet(), damaged = zero;
  tiny::scale(zero.update, 0);
  damaged.update.gradient.at("fc.0.bias")[2] = NAN;
  core::expect_error([&] { (void)tiny::reference(zero, {}, {1}); }, ErrorKind::kModel,
                     "the observed gradient is zero everywhere");
  core::expect_error([&] { (void)tiny::reference(damaged, {}, {1}); }, ErrorKind::kModel, "values that are not finite");
}

TEST(DoubleBackward, RefusesTheResidualOfABatch) {
  const auto batch = tiny::observed(tiny::balanced_lenet(), tiny::images(2), tiny::labels(2));
  core::expect_error(
      [&] {
        (void)tiny::reference(batch, {}, {0, 1});
      },
      ErrorKind::kUsage, "got a batch of 2, expected one image; use ig");
}

TEST(DoubleBackward, RefusesTheResidualOfANetworkWithoutALastLinearLayer) {
  auto observation = tiny::observed_lenet();
  auto& layers = observation.network.architecture.layers;
  layers.push_back({nets::Sigmoid{}, "", {static_cast<int>(layers.size()) - 1}});
  core::expect_error([&] { (void)tiny::reference(observation, {}, {1}); }, ErrorKind::kUsage,
                     "lenet does not end in a linear layer; use ig");
}

TEST(ResidualAtLogits, IsTheProbabilityMinusOneHotInFloat32) {
  const auto observation = tiny::observed_lenet();
  const Tensor p = nets::logits(observation.network, tiny::images(1)).softmax(1)[0];
  const Tensor residual = residual_at_logits(observation);
  EXPECT_LT((residual - p + torch::one_hot(torch::tensor(1), tiny::kClasses)).abs().max().item<float>(), 1e-6f);
}

TEST(InferLabels, ReadsEveryClassOffOneImage) {
  for (std::int64_t label = 0; label < tiny::kClasses; ++label) {
    const auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(1), torch::tensor({label}));
    EXPECT_EQ(infer_labels(observation), (std::vector<std::int64_t>{label}));
  }
}

TEST(InferLabels, ReadsAClassThatFloat32RoundedAway) {
  const auto observation = tiny::observed(tiny::constant_logits({0, 3, 30, 1}), tiny::images(1), torch::tensor({2}));
  ASSERT_EQ(residual_at_logits(observation)[2].item<float>(), 0);
  EXPECT_EQ(infer_labels(observation), (std::vector<std::int64_t>{2}));
}

TEST(InferLabels, TakesThoseThatWereShared) {
  auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(2), tiny::labels(2));
  observation.labels = {3, 3};
  EXPECT_EQ(infer_labels(observation), (std::vector<std::int64_t>{3, 3}));
}

TEST(InferLabels, RefusesABatchWhereOneImageIsMeant) {
  const auto observation = tiny::observed(tiny::balanced_lenet(), tiny::images(2), tiny::labels(2));
  core::expect_error([&] { (void)infer_labels(observation, "idlg"); }, ErrorKind::kUsage,
                     "idlg reads the label of one image (got a batch of 2); take ilrg");
}

}  // namespace
}  // namespace pellucid::inversion
