// Training with differential privacy: each example's gradient clipped, noise, and what may not be.
#include "pellucid/training/gradient.h"
#include "pellucid/training/losses.h"
#include "pellucid/training/per_example.h"
#include "pellucid/training/train.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

#include <cmath>
#include <limits>

namespace pellucid::training {
namespace {

using core::ErrorKind;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Every kind of layer that has parameters and keeps images apart, with strides and paddings.
nets::Network every_layer() {
  nets::Architecture net{.spec = tiny::spec("tiny"), .layers = {}};
  net.layers = {{nets::Conv{.in = 1, .out = 4, .kernel = 3, .padding = 1}, "a", {nets::kNetworkInput}},
                {nets::GroupNorm{4, 2}, "b", {0}},
                {nets::Tanh{}, "", {1}},
                {nets::Conv{.in = 4, .out = 6, .kernel = 4, .stride = 2, .padding = 1, .bias = false}, "c", {2}},
                {nets::Relu{}, "", {3}},
                {nets::Flatten{}, "", {4}},
                {nets::Linear{6 * 4 * 4, 5}, "d", {5}},
                {nets::Tanh{}, "", {6}},
                {nets::Linear{5, tiny::kClasses}, "e", {7}}};
  auto state = nets::initialise(net, 3);
  state.at("b.weight") = torch::tensor({0.5f, 1.5f, -1.0f, 2.0f});
  return {.architecture = std::move(net), .state = std::move(state)};
}

Batch examples(std::int64_t n) {
  return {
      .images = tiny::images(n), .labels = tiny::labels(n), .ids = torch::arange(n), .part = {}, .epoch = 0, .step = 0};
}

Batch example(const Batch& batch, std::int64_t i) {
  return {.images = batch.images.narrow(0, i, 1),
          .labels = batch.labels.narrow(0, i, 1),
          .ids = batch.ids.narrow(0, i, 1),
          .part = {},
          .epoch = 0,
          .step = 0};
}

double norm_of(const std::vector<Tensor>& tensors) {
  double square = 0;
  for (const auto& tensor : tensors) square += tensor.to(torch::kFloat64).square().sum().item<double>();
  return std::sqrt(square);
}

// The relative distance of two lists of tensors.
double distance(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  std::vector<Tensor> difference;
  for (std::size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  return norm_of(difference) / norm_of(b);
}

// One backward pass for each example: what `clipped_sum` must equal.
std::vector<Tensor> one_by_one(const nets::Network& network, const Batch& batch, const Tensor& points,
                               const TrainingOptions& plain, double clip) {
  std::vector<Tensor> sum;
  for (std::int64_t i = 0; i < batch.images.size(0); ++i) {
    const auto of_one = gradient({.network = network}, example(batch, i), points.narrow(0, i, 1), plain, {}).parameters;
    const double factor = std::min(1.0, clip / norm_of(of_one));
    for (std::size_t t = 0; t < of_one.size(); ++t) {
      const Tensor part = of_one[t] * factor;
      if (i == 0)
        sum.push_back(part);
      else
        sum[t] += part;
    }
  }
  return sum;
}

ClippedSum clipped_by(const nets::Network& network, const Batch& batch, const Tensor& points, double clip, NormBy by,
                      bool two_passes) {
  std::vector<std::vector<nets::Passed>> passes(two_passes ? 2 : 1);
  const auto pass = [&](const Tensor& images, std::vector<nets::Passed>& passed) {
    return nets::evaluate(network.architecture, network.state, images.detach().requires_grad_(true),
                          nets::Mode::kTraining, {}, {}, &passed)
        .logits;
  };
  const Tensor first = pass(two_passes ? batch.images : points, passes[0]);
  const Tensor loss = two_passes ? trades(first, pass(points, passes[1]), batch.labels, 2).sum()
                                 : at::cross_entropy_loss(first, batch.labels, {}, at::Reduction::Sum);
  return clipped_sum(network.architecture, passes, loss, clip, by);
}

TEST(ClippedSum, IsThatOfExamplesOneByOneHoweverTheNormIsFound) {
  constexpr std::int64_t kExamples = 6;
  for (const auto& network : {every_layer(), tiny::balanced_lenet()}) {
    const Batch batch = examples(kExamples);
    const Tensor points = (batch.images + 0.1).clamp(0, 1);
    for (const bool two_passes : {false, true}) {
      const TrainingOptions plain{.method = two_passes ? Method::kTrades : Method::kAdversarial, .beta = 2};
      for (const double clip : {0.5, kInfinity}) {
        const auto expected = one_by_one(network, batch, points, plain, clip);
        for (const auto by : {NormBy::kCheaper, NormBy::kGhost, NormBy::kInstantiated}) {
          const auto found = clipped_by(network, batch, points, clip, by, two_passes);
          ASSERT_EQ(found.parameters.size(), expected.size());
          EXPECT_LT(distance(found.parameters, expected), 2e-5) << static_cast<int>(by) << two_passes << clip;
        }
      }
    }
  }
}

TEST(ClippedSum, OfOneExampleIsNeverLongerThanTheClipNorm) {
  const auto network = every_layer();
  for (std::int64_t i = 0; i < 8; ++i) {
    const Batch one = example(examples(8), i);
    for (const double clip : {1e-3, 0.1, 1.0}) {
      const auto found = clipped_by(network, one, one.images, clip, NormBy::kCheaper, false);
      ASSERT_GT(found.norms.item<double>(), clip) << "nothing to clip";
      EXPECT_LE(norm_of(found.parameters), clip);
      EXPECT_GT(norm_of(found.parameters), clip * (1 - 1e-4));
    }
  }
}

TEST(PrivateGradient, WithoutNoiseOrClippingIsTheOrdinaryOne) {
  const auto network = every_layer();
  const Batch batch = examples(8);
  const auto autoencoder = tiny::network(
      {.net = "autoencoder", .input = {1, tiny::kSide, tiny::kSide}, .classes = tiny::kSide * tiny::kSide});
  const Tensor points = (batch.images + 0.1).clamp(0, 1);
  for (const auto method :
       {Method::kStandard, Method::kAdversarial, Method::kTrades, Method::kMart, Method::kAutoencoder}) {
    const Model model{.network = method == Method::kAutoencoder ? autoencoder : network};
    TrainingOptions options{.method = method, .batch_size = 8};
    const auto ordinary = gradient(model, batch, points, options, {});
    options.clip_norm = 1e5;
    const auto found = gradient(model, batch, points, options, {});
    EXPECT_LT(distance(found.parameters, ordinary.parameters), 1e-5) << static_cast<int>(method);
    EXPECT_NEAR(found.loss, ordinary.loss, 1e-5 * ordinary.loss);
    EXPECT_EQ(found.correct, ordinary.correct);
  }
}

TEST(PrivateGradient, IsDividedByTheExpectedSizeOfTheBatch) {
  const auto network = every_layer();
  const Batch batch = examples(8);
  const TrainingOptions eight{.batch_size = 8, .clip_norm = 0.1}, two{.batch_size = 2, .clip_norm = 0.1};
  const auto a = gradient({.network = network}, batch, batch.images, eight, {}).parameters;
  const auto b = gradient({.network = network}, batch, batch.images, two, {}).parameters;
  EXPECT_NEAR(norm_of(b), 4 * norm_of(a), 1e-5 * norm_of(b));
}

// What the guarantee rests on: taking one example away moves the sum by at most the clip norm, in every method.
TEST(PrivateGradient, MovesByAtMostTheClipNormWithOneExample) {
  constexpr std::int64_t kExamples = 7;
  constexpr double kClip = 0.05;
  const auto network = every_layer();
  const Batch whole = examples(kExamples);
  for (const auto method : {Method::kStandard, Method::kAdversarial, Method::kTrades, Method::kMart}) {
    const TrainingOptions options{.method = method,
                                  .batch_size = 1,
                                  .attack = {.epsilon = core::Number("0.1"), .iterations = 3, .random_start = true},
                                  .adversarial_share = method == Method::kAdversarial ? 0.5 : 1,
                                  .clip_norm = kClip};
    const auto sum = [&](const Batch& batch) {
      return gradient({.network = network}, batch, inner_attack(network, batch, options), options, {}).parameters;
    };
    const auto all = sum(whole);
    for (std::int64_t out = 0; out < kExamples; ++out) {
      const Tensor others = torch::tensor({0, 1, 2, 3, 4, 5, 6}, torch::kInt64).masked_select(whole.ids != out);
      const auto without = sum({.images = whole.images.index_select(0, others),
                                .labels = whole.labels.index_select(0, others),
                                .ids = others,
                                .part = {},
                                .epoch = 0,
                                .step = 0});
      std::vector<Tensor> moved;
      for (std::size_t t = 0; t < all.size(); ++t) moved.push_back(all[t] - without[t]);
      EXPECT_LE(norm_of(moved), kClip * (1 + 1e-5)) << static_cast<int>(method) << ", without " << out;
      EXPECT_GT(norm_of(moved), 0);
    }
  }
}

TEST(PrivateGradient, OfAnEmptyBatchIsTheNoiseOfThatStep) {
  const auto network = every_layer();
  Batch none = examples(0);
  const TrainingOptions options{.batch_size = 4, .clip_norm = 0.5, .noise_multiplier = 3};
  const auto found = gradient({.network = network}, none, none.images, options, {});
  const auto again = gradient({.network = network}, none, none.images, options, {});
  none.step = 1;
  const auto later = gradient({.network = network}, none, none.images, options, {});
  double square = 0, count = 0;
  for (std::size_t t = 0; t < found.parameters.size(); ++t) {
    EXPECT_TRUE(torch::equal(found.parameters[t], again.parameters[t]));
    EXPECT_FALSE(torch::equal(found.parameters[t], later.parameters[t]));
    square += found.parameters[t].square().sum().item<double>();
    count += static_cast<double>(found.parameters[t].numel());
  }
  // A chi-square variable over its degrees of freedom: four deviations of it, sqrt(2 / count).
  const double expected = 3 * 0.5 / 4;
  EXPECT_NEAR(square / count / (expected * expected), 1, 4 * std::sqrt(2 / count));
  EXPECT_EQ(found.loss, 0);
}

TEST(PrivateGradient, HasTheNoiseOnceHoweverManyExamples) {
  const auto network = every_layer();
  const auto at = [&](std::int64_t n, double noise) {
    const Batch batch = examples(n);
    return gradient({.network = network}, batch, batch.images,
                    {.batch_size = 1, .clip_norm = 1e-3, .noise_multiplier = noise}, {})
        .parameters;
  };
  const auto noisy = at(600, 1), quiet = at(600, 0), alone = at(0, 1);  // 600: in more than one pass
  std::vector<Tensor> noise;
  for (std::size_t t = 0; t < noisy.size(); ++t) noise.push_back(noisy[t] - quiet[t]);
  EXPECT_LT(distance(noise, alone), 1e-3);
}

TEST(PrivateGradient, AttacksEachExampleIndependentlyOfTheOthers) {
  const TrainingOptions options{.method = Method::kAdversarial, .adversarial_share = 0.3, .clip_norm = 1};
  const Tensor ids = torch::arange(20000);
  const Tensor chosen = attacked_privately(ids, options);
  EXPECT_NEAR(chosen.to(torch::kFloat64).mean().item<double>(), 0.3, 4 * std::sqrt(0.3 * 0.7 / 20000));
  EXPECT_TRUE(torch::equal(attacked_privately(ids.slice(0, 5, 50), options), chosen.slice(0, 5, 50)));
}

// Of a network that does not learn, an epoch's loss is its mean loss times the share of the images that were drawn.
TEST(PrivateTraining, DrawsEachImageIndependentlyAndAsManyAsABatchOnAverage) {
  constexpr std::int64_t kImages = 400;
  const core::Folder folder;
  const auto set = tiny::noise(kImages);
  const auto trained = train(tiny::spec(), set, tiny::noise(4, 1),
                             {.epochs = 4,
                              .batch_size = 20,
                              .learning_rate = 0,
                              .clip_norm = 1,
                              .noise_multiplier = 1,
                              .checkpoint_steps = {},
                              .test_attack_images = 0},
                             folder.path(), {});
  const auto images = data::pixels(set, torch::arange(kImages));
  const double mean =
      at::cross_entropy_loss(nets::logits(trained.network, images), data::labels(set, torch::arange(kImages)))
          .item<double>();
  double share = 0;
  for (const auto& epoch : trained.curve) {
    EXPECT_GT(std::abs(epoch.train_loss / mean - 1), 1e-4) << "each image once, as in a shuffled pass";
    share += epoch.train_loss / mean / 4;
  }
  // 80 steps draw 400 images each with probability 1/20: four deviations of their number.
  EXPECT_NEAR(share, 1, 4 * std::sqrt(80 * 400 * 0.05 * 0.95) / 1600);
}

TEST(PrivateTraining, LeavesTheNamesOfOtherTrainingsAsTheyWere) {
  for (const auto& json : {to_json(TrainingOptions{}), determinants({})}) {
    EXPECT_FALSE(json.contains("clip_norm"));
    EXPECT_FALSE(json.contains("noise_multiplier"));
  }
  const TrainingOptions clipped{.clip_norm = 2};
  for (const auto& json : {to_json(clipped), determinants(clipped)}) EXPECT_EQ(json["clip_norm"], 2);
}

TEST(PrivateTraining, RefusesWhatWouldBreakTheGuarantee) {
  const auto refused = [](const TrainingOptions& options, const char* why) {
    core::expect_error([&] { check(options); }, ErrorKind::kUsage, why);
  };
  refused({.method = Method::kFree, .clip_norm = 1}, "it carries a perturbation along");
  refused({.awp = 0.01, .clip_norm = 1}, "the perturbation follows gradients without noise");
  refused({.method = Method::kAdversarial, .clip_norm = 1, .guard_images = 5}, "chooses an epoch by training images");
  refused({.noise_multiplier = 1}, "a clip_norm above 0 with it");
  const auto set = tiny::noise(16, 0, 32);
  core::expect_error([&] { check(tiny::spec("preact_resnet8", 32), set, set, {.batch_size = 4, .clip_norm = 1}); },
                     ErrorKind::kUsage,
                     "with batch norm (layer1.0.bn1), expected a network in which images do not see one another");
  auto standardised = tiny::spec("preact_resnet8_gn", 32);
  standardised.mean = standardised.deviation = {0.5};
  core::expect_error([&] { check(standardised, set, set, {.batch_size = 4, .clip_norm = 1}); }, ErrorKind::kUsage,
                     "the mean and the deviation of the training images would be in it without noise");
  check(tiny::spec("preact_resnet8_gn", 32), set, set, {.batch_size = 4, .clip_norm = 1});
}

}  // namespace
}  // namespace pellucid::training
