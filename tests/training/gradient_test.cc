#include "pellucid/training/gradient.h"

#include "pellucid/training/losses.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/tiny.h"

namespace pellucid::training {
namespace {

using core::ErrorKind;

constexpr std::int64_t kBatch = 8;

Batch batch(std::int64_t n = kBatch) {
  return {
      .images = tiny::images(n), .labels = tiny::labels(n), .ids = torch::arange(n), .part = {}, .epoch = 0, .step = 0};
}
Model model(const nets::Network& network) { return {.network = network}; }
Model lenet() { return model(tiny::balanced_lenet()); }
// A model with batch norms for both kinds of images, the clean images' different from the others'.
Model dual() {
  Model m = model(tiny::normed());
  for (const char* part : {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}) {
    const auto name = std::string("bn.") + part;
    m.clean_norms[name] = m.network.state.at(name) * 2;
  }
  return m;
}

Gradient plain_gradient(const Model& m, const Batch& b, const Tensor& points, const TrainingOptions& options) {
  return gradient(m, b, points, options, {});
}

double relative_difference(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]).square().sum().item<double>();
    norm += b[i].square().sum().item<double>();
  }
  return std::sqrt(difference / norm);
}

// The gradient of a function of the network's parameters, by autograd.
std::vector<Tensor> by_autograd(const nets::Network& network,
                                const std::function<Tensor(const nets::TensorMap&)>& loss) {
  const auto leaves = nets::with_gradients(network);
  return torch::autograd::grad({loss(leaves.state)}, leaves.parameters);
}

Tensor logits(const nets::Network& network, const nets::TensorMap& state, const Tensor& images) {
  return nets::evaluate(network.architecture, state, images, nets::Mode::kTraining).logits;
}

TEST(Attacked, IsTheShareSpreadEvenly) {
  EXPECT_EQ(attacked(10, 0).sum().item<int>(), 0);
  EXPECT_EQ(attacked(10, 1).sum().item<int>(), 10);
  EXPECT_TRUE(torch::equal(attacked(4, 0.5), torch::tensor({false, true, false, true})));
  for (const double share : {0.1, 0.25, 1.0 / 3, 0.7, 0.9}) {
    const Tensor which = attacked(120, share);
    EXPECT_EQ(which.sum().item<int>(), static_cast<int>(std::floor(120 * share + 1e-9))) << share;
    EXPECT_NEAR(which.slice(0, 0, 60).sum().item<double>(), 60 * share, 1) << share;
  }
}

TEST(Gradient, OfStandardTrainingIsThatOfTheMeanCrossEntropy) {
  const auto m = lenet();
  const auto b = batch();
  const auto found = plain_gradient(m, b, b.images, {});
  const auto expected = by_autograd(m.network, [&](const auto& state) {
    return at::cross_entropy_loss(logits(m.network, state, b.images), b.labels);
  });
  EXPECT_LT(relative_difference(found.parameters, expected), 1e-6);
  const Tensor answers = nets::logits(m.network, b.images);
  EXPECT_NEAR(found.loss, at::cross_entropy_loss(answers, b.labels).item<double>(), 1e-6);
  EXPECT_EQ(found.correct, (answers.argmax(1) == b.labels).sum().item<std::int64_t>());
}

TEST(Gradient, WeighsTheAttackedImages) {
  const auto m = lenet();
  const auto b = batch();
  const TrainingOptions options{.method = Method::kAdversarial, .adversarial_share = 0.25, .adversarial_weight = 3};
  const Tensor which = attacked(kBatch, 0.25),
               points = torch::where(evasion::per_image(which), b.images + 0.1, b.images);
  const auto expected = by_autograd(m.network, [&](const auto& state) {
    const Tensor losses = at::cross_entropy_loss(logits(m.network, state, points), b.labels, {}, at::Reduction::None);
    return (losses * torch::where(which, 3.0, 1.0)).sum() / (6 + 3 * 2);
  });
  EXPECT_LT(relative_difference(plain_gradient(m, b, points, options).parameters, expected), 1e-6);
}

TEST(Gradient, OfTradesAndMartTakesBothPasses) {
  const auto m = model(tiny::normed());
  const auto b = batch();
  const Tensor points = (b.images + 0.2).clamp(0, 1);
  for (const auto method : {Method::kTrades, Method::kMart}) {
    const auto expected = by_autograd(m.network, [&](const auto& state) {
      const Tensor clean = logits(m.network, state, b.images), moved = logits(m.network, state, points);
      return (method == Method::kTrades ? trades(clean, moved, b.labels, 2) : mart(clean, moved, b.labels, 2)).mean();
    });
    const auto found = plain_gradient(m, b, points, {.method = method, .beta = 2});
    EXPECT_LT(relative_difference(found.parameters, expected), 1e-5);
    EXPECT_EQ(found.running.at("bn.num_batches_tracked").item<std::int64_t>(), 2) << "batch norm sees both batches";
  }
}

TEST(Gradient, LeadsEachKindOfImageThroughItsOwnBatchNorm) {
  const auto m = dual();
  const auto b = batch();
  const TrainingOptions options{.method = Method::kAdversarial, .adversarial_share = 0.5, .dual_norm = true};
  const Tensor points = b.images + 0.1;
  const auto found = plain_gradient(m, b, points, options);
  ASSERT_EQ(found.parameters.size(), parameters(m).names.size());
  const Tensor odd = torch::arange(1, kBatch, 2), even = torch::arange(0, kBatch, 2);
  const auto half = [&](const nets::Network& network, const Tensor& rows) {
    return by_autograd(network, [&](const auto& state) {
      return at::cross_entropy_loss(logits(network, state, points.index_select(0, rows)),
                                    b.labels.index_select(0, rows)) /
             2;
    });
  };
  const auto moved = half(m.network, odd), still = half(clean_network(m), even);
  const auto names = nets::parameter_names(m.network.architecture);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool norm = names[i].starts_with("bn.");
    EXPECT_LT(relative_difference({found.parameters[i]}, {norm ? moved[i] : moved[i] + still[i]}), 1e-5) << names[i];
  }
  for (std::size_t i = names.size(); i < found.parameters.size(); ++i) {
    const auto name = parameters(m).names[i].substr(6);
    const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    EXPECT_LT(relative_difference({found.parameters[i]}, {still[at]}), 1e-5) << name;
  }
  EXPECT_EQ(found.running.size(), 3u);
  EXPECT_EQ(found.clean_running.size(), 3u);
  EXPECT_FALSE(torch::equal(found.running.at("bn.running_mean"), found.clean_running.at("bn.running_mean")));
}

TEST(Gradient, OfABatchTooSmallForBothKindsLeavesTheOtherNormAlone) {
  const auto m = dual();
  const auto b = batch(1);  // half of one image, rounded down: nothing is attacked
  const auto found =
      plain_gradient(m, b, b.images, {.method = Method::kAdversarial, .adversarial_share = 0.5, .dual_norm = true});
  EXPECT_TRUE(found.running.empty());
  EXPECT_TRUE(found.clean_running.at("bn.running_mean").isfinite().all().item<bool>());
  for (const auto& g : found.parameters) EXPECT_TRUE(g.isfinite().all().item<bool>());
}

TEST(Gradient, WithWeightPerturbationIsTakenWhereTheLossIsHigher) {
  const auto m = lenet();
  const auto b = batch();
  constexpr double kSize = 0.05;
  const auto at_weights = plain_gradient(m, b, b.images, {});
  Model moved = m;
  const auto names = nets::parameter_names(m.network.architecture);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Tensor& weight = m.network.state.at(names[i]);
    if (weight.dim() == 1) continue;  // biases stay
    const Tensor& g = at_weights.parameters[i];
    moved.network.state.at(names[i]) = weight + g / g.norm() * weight.norm() * kSize;
  }
  const auto expected = plain_gradient(moved, b, b.images, {});
  const auto found = plain_gradient(m, b, b.images, {.awp = kSize});
  EXPECT_LT(relative_difference(found.parameters, expected.parameters), 1e-5);
  EXPECT_GT(found.loss, at_weights.loss);
  const auto before = plain_gradient(m, b, b.images, {.awp = kSize, .awp_warmup = 1});
  EXPECT_LT(relative_difference(before.parameters, at_weights.parameters), 1e-9) << "the warm-up is not over";
}

TEST(Gradient, InMixedPrecisionIsNearAndInFloat32) {
  const auto m = model(tiny::normed());
  const auto b = batch();
  const auto exact = plain_gradient(m, b, b.images, {});
  const auto mixed = plain_gradient(m, b, b.images, {.precision = Precision::kMixed});
  const double error = relative_difference(mixed.parameters, exact.parameters);
  EXPECT_LT(error, 0.05);
  EXPECT_GT(error, 1e-5) << "bfloat16 was used";
  for (const auto& g : mixed.parameters) EXPECT_EQ(g.scalar_type(), torch::kFloat32);
}

TEST(Gradient, OfFreeTrainingIsByTheImagesToo) {
  const auto m = lenet();
  const auto b = batch();
  const auto found = plain_gradient(m, b, b.images, {.method = Method::kFree});
  const auto slope = evasion::slope(evasion::model_of(m.network), evasion::cross_entropy(b.labels), b.images);
  EXPECT_LT(relative_difference({found.images * kBatch}, {slope.gradient}), 1e-5);
  EXPECT_FALSE(plain_gradient(m, b, b.images, {}).images.defined());
}

// Each part is computed by itself; batch norm's sums over the parts are given beforehand, as the other process would.
TEST(Gradient, OfThePartsOfABatchSumsToTheWhole) {
  const auto m = model(tiny::normed());
  const auto b = batch();
  const auto whole = plain_gradient(m, b, b.images, {});
  // The sums in the order in which they are asked for: of the values, then of the squares about the mean.
  const Tensor x = torch::conv2d(b.images, m.network.state.at("conv.weight"), m.network.state.at("conv.bias"));
  const Tensor mean = x.mean({0, 2, 3});
  const std::vector<Tensor> sums = {x.sum({0, 2, 3}), (x - mean.view({1, -1, 1, 1})).square().sum({0, 2, 3})};
  double loss = 0;
  std::int64_t correct = 0;
  for (const auto& [begin, end] : {std::pair(0, 3), std::pair(3, 8)}) {
    Batch part = b;
    part.images = b.images.slice(0, begin, end);
    part.labels = b.labels.slice(0, begin, end);
    part.ids = b.ids.slice(0, begin, end);
    std::size_t asked = 0;
    part.part = {.begin = begin, .batch = kBatch, .sum = [&](const Tensor&) { return sums.at(asked++); }};
    const auto found = plain_gradient(m, part, part.images, {});
    EXPECT_EQ(asked, 2u);
    loss += found.loss;
    correct += found.correct;
    for (const char* name : {"bn.running_mean", "bn.running_var"}) {
      EXPECT_LT(relative_difference({found.running.at(name)}, {whole.running.at(name)}), 1e-5) << name;
    }
  }
  EXPECT_NEAR(loss, whole.loss, 1e-5);
  EXPECT_EQ(correct, whole.correct);
}

TEST(InnerAttack, LeavesStandardTrainingAlone) {
  const auto b = batch();
  EXPECT_TRUE(torch::equal(inner_attack(lenet().network, b, {}), b.images));
}

TEST(InnerAttack, MovesTheShareAlone) {
  const auto b = batch();
  TrainingOptions options{.method = Method::kAdversarial, .adversarial_share = 0.5};
  const Tensor moved = inner_attack(lenet().network, b, options).ne(b.images).flatten(1).any(1);
  EXPECT_TRUE(torch::equal(moved, attacked(kBatch, 0.5)));
  options.adversarial_share = 0;
  EXPECT_TRUE(torch::equal(inner_attack(lenet().network, b, options), b.images));
}

TEST(InnerAttack, DoesNotDependOnTheRestOfTheBatch) {
  const auto b = batch();
  const TrainingOptions options{.method = Method::kAdversarial};
  Batch one = b;
  one.images = b.images.slice(0, 5, 6);
  one.labels = b.labels.slice(0, 5, 6);
  one.ids = b.ids.slice(0, 5, 6);
  EXPECT_TRUE(torch::allclose(inner_attack(lenet().network, one, options),
                              inner_attack(lenet().network, b, options).slice(0, 5, 6)));
}

TEST(InnerAttack, OfTradesMovesTheAnswersAndNotTheLossAlone) {
  const auto m = lenet();
  const auto b = batch();
  TrainingOptions options{.method = Method::kTrades, .attack_start = AttackStart::kNear};
  options.attack.iterations = 10;
  const auto moves = [&](const Tensor& points) {
    return divergence(nets::logits(m.network, b.images), nets::logits(m.network, points)).mean().item<double>();
  };
  const Tensor points = inner_attack(m.network, b, options);
  options.method = Method::kAdversarial;
  EXPECT_GT(moves(points), moves(inner_attack(m.network, b, options)));
}

TEST(InnerAttack, BeginsNearTheImageWhereThatIsAskedFor) {
  const auto b = batch();
  TrainingOptions options{.method = Method::kMart, .attack_start = AttackStart::kNear};
  options.attack.iterations = 0;
  const Tensor delta = inner_attack(lenet().network, b, options) - b.images;
  EXPECT_NEAR(delta.std().item<double>(), 1e-3, 3e-4);
  options.attack_start = AttackStart::kBall;
  EXPECT_GT((inner_attack(lenet().network, b, options) - b.images).std().item<double>(), 0.05);
  options.attack_start = AttackStart::kNear;
  options.epsilon_warmup = 1;  // epsilon is 0 at epoch 0
  EXPECT_TRUE(torch::equal(inner_attack(lenet().network, b, options), b.images));
}

TEST(InitialModel, HasNormsOfItsOwnForCleanImagesWhereThatIsAskedFor) {
  const auto architecture = tiny::normed().architecture;
  EXPECT_TRUE(initial_model(architecture, {}).clean_norms.empty());
  const auto m = initial_model(architecture, {.dual_norm = true});
  ASSERT_EQ(m.clean_norms.size(), 5u);
  m.clean_norms.at("bn.weight").add_(1);
  EXPECT_FALSE(torch::equal(m.network.state.at("bn.weight"), m.clean_norms.at("bn.weight"))) << "they share no memory";
  EXPECT_TRUE(torch::equal(clean_network(m).state.at("bn.weight"), m.clean_norms.at("bn.weight")));
  core::expect_error([] { (void)initial_model(nets::build(tiny::spec()), {.dual_norm = true}); }, ErrorKind::kUsage,
                     "lenet has no batch norm");
}

}  // namespace
}  // namespace pellucid::training
