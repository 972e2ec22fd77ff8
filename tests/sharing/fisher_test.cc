#include "pellucid/sharing/fisher.h"

#include "pellucid/core/tensor.h"
#include "pellucid/sharing/update.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/tiny.h"

namespace pellucid::sharing {
namespace {

constexpr double kDeviation = 0.05;
const MechanismUse kNoise = {"gaussian", kDeviation};

double relative(const Tensor& a, const Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

// What is shared before noise, in float64, as one row.
Tensor without_noise(const nets::Network& network, const Tensor& images, const Tensor& labels, Protocol protocol) {
  std::erase(protocol.mechanisms, kNoise);
  protocol.arithmetic = Arithmetic::kFloat64;
  std::vector<Tensor> values;
  for (const auto& [unused, tensor] : compute_update(network, images, labels, protocol).gradient)
    values.push_back(tensor.flatten());
  return torch::cat(values);
}

// By finite differences of the client's own computation.
Tensor by_differences(const nets::Network& network, const Tensor& images, const Tensor& labels,
                      const Protocol& protocol, std::int64_t which) {
  constexpr double kStep = 1e-5;
  std::vector<Tensor> columns;
  for (std::int64_t i = 0; i < images[0].numel(); ++i) {
    const auto at = [&](double step) {
      Tensor moved = images.to(torch::kFloat64).clone();
      moved[which].view({-1})[i] += step;
      return without_noise(network, moved, labels, protocol);
    };
    columns.push_back((at(kStep) - at(-kStep)) / (2 * kStep));
  }
  const Tensor jacobian = torch::stack(columns, 1);
  const double variance = kDeviation * kDeviation / static_cast<double>(protocol.clients);
  return jacobian.t().matmul(jacobian) / variance;
}

TEST(FisherInformation, IsThatOfFiniteDifferences) {
  const auto network = tiny::balanced_lenet();
  const Tensor images = tiny::images(4), labels = tiny::labels(4);
  const double norm = without_noise(network, images.slice(0, 0, 1), labels.slice(0, 0, 1), {}).norm().item<double>();
  struct Row {
    const char* what;
    std::int64_t batch, which;
    Protocol protocol;
  };
  const LocalTraining local = {.epochs = 2, .learning_rate = 0.1};
  for (const auto& row : {Row{"one image", 1, 0, {}}, Row{"one of a batch", 3, 1, {}},
                          Row{"clipped", 1, 0, {.mechanisms = {{"clip", norm / 2}}}},
                          Row{"clipped twice", 1, 0, {.mechanisms = {{"clip", norm / 4}, {"clip", norm / 2}}}},
                          Row{"not clipped", 1, 0, {.mechanisms = {{"clip", norm * 2}}}},
                          Row{"of two clients", 4, 2, {.clients = 2, .mechanisms = {{"clip", norm / 4}}}},
                          Row{"of local training", 2, 0, {.local = local}}}) {
    auto protocol = row.protocol;
    protocol.mechanisms.push_back(kNoise);
    const Tensor some = images.slice(0, 0, row.batch), whose = labels.slice(0, 0, row.batch);
    const Tensor found = fisher_information(network, some, whose, protocol, row.which),
                 expected = by_differences(network, some, whose, protocol, row.which);
    EXPECT_LT(relative(found, expected), 1e-6) << row.what;
  }
}

// ReLU and batch norm; the derivative of each shared value in turn.
TEST(FisherInformation, IsThatOfTheWholeJacobian) {
  const auto network = tiny::normed();
  nets::Network exact = network;
  exact.state = nets::converted(network.state, torch::kFloat64);
  const auto leaves = nets::with_gradients(exact);
  const Tensor pixels = tiny::images(1).to(torch::kFloat64).requires_grad_(), labels = tiny::labels(1);
  const auto logits = nets::evaluate(network.architecture, leaves.state, pixels).logits;
  std::vector<Tensor> rows;
  for (const auto& tensor : torch::autograd::grad({at::cross_entropy_loss(logits, labels)}, leaves.parameters, {}, true,
                                                  /*create_graph=*/true)) {
    const Tensor values = tensor.flatten();
    for (std::int64_t i = 0; i < values.numel(); ++i)
      rows.push_back(torch::autograd::grad({values[i]}, {pixels}, {}, /*retain_graph=*/true)[0].flatten());
  }
  const Tensor jacobian = torch::stack(rows);
  const Tensor found = fisher_information(network, pixels.detach(), labels, {.mechanisms = {kNoise}});
  EXPECT_LT(relative(found, jacobian.t().matmul(jacobian) / (kDeviation * kDeviation)), 1e-12);
}

TEST(FisherInformation, IsThatBeforeWhatFollowsTheNoise) {
  const auto network = tiny::balanced_lenet();
  const auto of = [&](std::vector<MechanismUse> uses) {
    return fisher_information(network, tiny::images(1), tiny::labels(1), {.mechanisms = std::move(uses)});
  };
  const Tensor noise = of({kNoise});
  EXPECT_TRUE(torch::equal(noise, of({kNoise, {"clip", 1e-3}, {"float16"}})));
  EXPECT_LT(relative(of({{"gaussian", 2 * kDeviation}}) * 4, noise), 1e-12);
}

TEST(FisherInformation, RefusesWhereThereIsNoBound) {
  const Tensor images = tiny::images(2), labels = tiny::labels(2);
  const auto refused = [&](const nets::Network& network, const Protocol& protocol, const char* why) {
    core::expect_error([&] { (void)fisher_product(network, images, labels, protocol); }, core::ErrorKind::kUsage, why);
  };
  const auto lenet = tiny::balanced_lenet();
  refused(lenet, {}, "expected gaussian among them");
  refused(lenet, {.mechanisms = {{"float16"}, kNoise}}, "got float16 before gaussian");
  refused(tiny::normed(), {.mode = nets::Mode::kTraining, .share_statistics = true, .mechanisms = {kNoise}},
          "share_statistics: got true");
  refused(tiny::network(tiny::spec("small_cnn", 28)), {.mode = nets::Mode::kTraining, .mechanisms = {kNoise}},
          "dropout is drawn");
  refused(lenet, {.local = {.epochs = 1, .step_images = 1}, .mechanisms = {kNoise}}, "the order of steps is drawn");
  refused(lenet, {.clients = 3, .mechanisms = {kNoise}}, "clients: got 3 with 2 images");
}

// A network whose answer does not depend on the image shares a gradient that is linear in it: the softmax's residual
// times the image, in the weight of its one layer.
struct Linear : testing::Test {
  nets::Network network = [] {
    nets::Architecture net{.spec = tiny::spec("tiny"), .layers = {}};
    net.layers = {{nets::Flatten{}, "", {nets::kNetworkInput}},
                  {nets::Linear{tiny::kSide * tiny::kSide, tiny::kClasses}, "fc", {0}}};
    auto state = nets::initialise(net, 0);
    state.at("fc.weight").zero_();
    state.at("fc.bias") = torch::tensor({0.3f, -0.2f, 1.0f, 0.1f});
    return nets::Network{.architecture = std::move(net), .state = std::move(state)};
  }();
  const Protocol protocol = {.arithmetic = Arithmetic::kFloat64, .mechanisms = {kNoise}};
  const Tensor residual = network.state.at("fc.bias").to(torch::kFloat64).softmax(0) -
                          torch::tensor({1, 0, 0, 0}, torch::kFloat64);  // of label 0
  const double strength = residual.square().sum().item<double>();
  // Neighbouring pixels are alike, as in pictures.
  const Prior prior = [] {
    const Tensor place = torch::arange(64, torch::kFloat64), apart = (place.unsqueeze(0) - place.unsqueeze(1)).abs();
    return Prior{.mean = torch::full({64}, 0.4, torch::kFloat64),
                 .covariance = 0.04 * (-apart / 20).exp() + 0.001 * torch::eye(64, torch::kFloat64)};
  }();

  // The least squares estimate of the image from its noisy update: unbiased.
  [[nodiscard]] Tensor least_squares(const Tensor& image, std::uint64_t seed) const {
    const auto update = compute_update(network, image.reshape({1, 1, tiny::kSide, tiny::kSide}), torch::tensor({0}),
                                       protocol, std::nullopt, seed);
    return residual.matmul(update.gradient.at("fc.weight")) / strength;
  }
};

TEST_F(Linear, LeastSquaresAttainsTheBoundOfUnbiasedEstimates) {
  const auto bound = unbiased_bound(fisher_information(network, tiny::images(1), torch::tensor({0}), protocol));
  EXPECT_NEAR(bound.error / (kDeviation * kDeviation / strength), 1, 1e-9);
  EXPECT_NEAR(bound.by_trace / bound.error, 1, 1e-9) << "all eigenvalues are one";
  EXPECT_NEAR(bound.largest * std::sqrt(bound.error), 1, 1e-9);
  EXPECT_EQ(bound.rank, 64);
  const Tensor image = tiny::images(1).to(torch::kFloat64).flatten();
  double error = 0;
  constexpr int kUpdates = 500;
  for (int i = 0; i < kUpdates; ++i)
    error += (least_squares(image, static_cast<std::uint64_t>(i)) - image).square().mean().item<double>() / kUpdates;
  EXPECT_NEAR(error / bound.error, 1, 0.03);  // four standard errors of 500 x 64 squares
}

TEST_F(Linear, ThePosteriorsMeanAttainsTheBoundOfAllEstimates) {
  const auto bound = bayes_bound(network, 0, protocol, prior, 4, 0);
  EXPECT_LT(bound.deviation, 1e-9 * bound.error) << "F is the same everywhere";
  EXPECT_EQ(bound.draws, 4);
  EXPECT_LT(bound.by_trace, bound.error);
  EXPECT_LT(bound.error, bound.prior);
  const Tensor information = fisher_information(network, tiny::images(1), torch::tensor({0}), protocol),
               inverse = prior.covariance.inverse(), posterior = (information + inverse).inverse();
  EXPECT_NEAR(bound.error / (posterior.trace().item<double>() / 64), 1, 1e-9);
  EXPECT_NEAR(bound.by_trace / (64 / (information + inverse).trace().item<double>()), 1, 1e-9);
  EXPECT_NEAR(linear_error(information, prior) / bound.error, 1, 1e-9);

  const Tensor factor = at::linalg_cholesky(prior.covariance);
  double error = 0, unbiased = 0;
  constexpr int kImages = 1000;
  for (int i = 0; i < kImages; ++i) {
    const auto number = static_cast<std::uint64_t>(i);
    const Tensor image =
        prior.mean + factor.mv(core::normal(core::Stream(1, "test images", number), {64}).to(torch::kFloat64));
    const Tensor found = least_squares(image, number),
                 mean = posterior.mv(information.mv(found) + inverse.mv(prior.mean));
    error += (mean - image).square().mean().item<double>() / kImages;
    unbiased += (found - image).square().mean().item<double>() / kImages;
  }
  EXPECT_NEAR(error / bound.error, 1, 0.03);
  EXPECT_GT(unbiased, 1.3 * error) << "the prior is worth something";
  EXPECT_LT(error, 0.8 * unbiased_bound(information).error)
      << "and a biased attack goes below the unbiased ones' bound";
}

TEST(UnbiasedBound, OfASingularInformationSaysTheRank) {
  Tensor information = torch::eye(3, torch::kFloat64) * 4;
  information[2][2] = 0;
  const auto bound = unbiased_bound(information);
  EXPECT_EQ(bound.rank, 2);
  EXPECT_GT(bound.error, 1e13);
  EXPECT_DOUBLE_EQ(bound.by_trace, 3.0 / 8);
  EXPECT_DOUBLE_EQ(bound.largest, 2);
}

TEST(UnbiasedBound, IsTheMeanOfTheInverse) {
  const Tensor a = core::normal(core::Stream(3, "test matrix"), {8, 5}).to(torch::kFloat64), f = a.t().matmul(a);
  const auto bound = unbiased_bound(f);
  EXPECT_NEAR(bound.error / (f.inverse().trace().item<double>() / 5), 1, 1e-9);
  EXPECT_LT(bound.by_trace, bound.error);
  EXPECT_NEAR(bound.by_trace / (5 / f.trace().item<double>()), 1, 1e-12);
}

TEST(EstimatedBound, AgreesWithTheWholeInformation) {
  const auto network = tiny::balanced_lenet();
  const Protocol protocol = {.mechanisms = {kNoise}};
  const auto exact = unbiased_bound(fisher_information(network, tiny::images(1), tiny::labels(1), protocol));
  const auto product = fisher_product(network, tiny::images(1), tiny::labels(1), protocol);
  const auto found = estimated_bound(product, 64, 40, 0);
  EXPECT_NEAR(found.largest / exact.largest, 1, 1e-6);
  EXPECT_LT(found.trace_deviation, 0.3);
  EXPECT_LT(std::abs(exact.by_trace / found.by_trace - 1), 4 * found.trace_deviation);
  EXPECT_TRUE(std::isinf(found.error));
  double squares = 0, said = 0;  // of how far each trace is off
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto one = estimated_bound(product, 64, 10, seed);
    const double ratio = exact.by_trace / one.by_trace;
    squares += std::pow(ratio - 1, 2);
    said += std::pow(one.trace_deviation * ratio, 2);
  }
  EXPECT_NEAR(std::log(said / squares), 0, std::log(1.6));
}

// One pixel, of which F is exponential: E[F] = 2, so that the bound is 1 / (2 + 1 / variance).
TEST(BayesBound, SaysHowFarItIsOff) {
  const double variance = 0.5, truth = 1 / (2 + 1 / variance);
  const Prior prior{.mean = torch::zeros({1}, torch::kFloat64),
                    .covariance = torch::full({1, 1}, variance, torch::kFloat64)};
  constexpr int kRuns = 2000;
  double mean = 0, plain = 0, square = 0, said = 0;
  for (int i = 0; i < kRuns; ++i) {
    core::Stream random(5, "test information", static_cast<std::uint64_t>(i));
    std::vector<Tensor> informations;
    double sum = 0;
    for (int k = 0; k < 12; ++k) {
      informations.push_back(torch::full({1, 1}, -2 * std::log1p(-random.uniform()), torch::kFloat64));
      sum += informations.back().item<double>() / 12;
    }
    const auto bound = bayes_bound(informations, prior);
    mean += bound.error / kRuns;
    plain += 1 / (sum + 1 / variance) / kRuns;
    square += std::pow(bound.error - truth, 2) / kRuns;
    said += std::pow(bound.deviation, 2) / kRuns;
  }
  EXPECT_GT(plain - truth, 0.004);
  EXPECT_LT(std::abs(mean - truth), 0.0015);
  EXPECT_NEAR(said / square, 1, 0.35);
}

TEST(BayesBound, FitsThePrior) {
  const Tensor images = tiny::images(50);
  const auto prior = fitted_prior(images, 0.01);
  const Tensor rows = images.flatten(1).to(torch::kFloat64);
  EXPECT_LT(relative(prior.mean, rows.mean(0)), 1e-12);
  EXPECT_LT(relative(prior.covariance.diag(), rows.var(0) + 0.01), 1e-12);
  const Tensor centred = rows - rows.mean(0);
  EXPECT_NEAR(prior.covariance[3][40].item<double>(),
              (centred.select(1, 3) * centred.select(1, 40)).sum().item<double>() / 49, 1e-12);
}

TEST(BayesBound, RefusesWhereTheGradientJumps) {
  const Prior prior = fitted_prior(tiny::images(70), 0.01);
  const auto refused = [&](const nets::Network& network, const Protocol& protocol, const char* why) {
    core::expect_error([&] { (void)bayes_bound(network, 0, protocol, prior, 2, 0); }, core::ErrorKind::kUsage, why);
  };
  refused(tiny::normed(), {.mechanisms = {kNoise}}, "without ReLU and max pooling");
  refused(tiny::network(tiny::spec("tanh_cnn")), {.mechanisms = {kNoise}}, "got tanh_cnn");
  refused(tiny::network(tiny::spec("cnn6")), {.mechanisms = {kNoise}}, "got cnn6");
  refused(tiny::balanced_lenet(), {.batch_size = 2, .mechanisms = {kNoise}}, "got 2 images of 1 clients");
  refused(tiny::balanced_lenet(), {}, "expected gaussian among them");
}

TEST(PsnrOf, IsOfTheMeanError) { EXPECT_DOUBLE_EQ(psnr_of(0.01), 20); }

}  // namespace
}  // namespace pellucid::sharing
