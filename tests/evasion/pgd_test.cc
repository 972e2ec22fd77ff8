#include "pellucid/evasion/pgd.h"

#include "pellucid/core/config.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/tiny.h"
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace pellucid::evasion {
namespace {

PgdOptions options(const std::string& epsilon, const std::string& step, std::int64_t iterations, bool random_start) {
  return {.epsilon = core::Number(epsilon),
          .step = core::Number(step),
          .iterations = iterations,
          .random_start = random_start};
}

Tensor noise_for(const Tensor& images, std::uint64_t seed = 0) {
  return start_noise(seed, "test", torch::arange(images.size(0)), images.sizes().slice(1));
}

double loss(const nets::Network& network, const Tensor& images, const Tensor& labels) {
  return at::cross_entropy_loss(nets::logits(network, images), labels).item<double>();
}

TEST(PgdOptions, DescribeThemselvesWithTheNumbersAsTyped) {
  EXPECT_EQ(describe(options("8/255", "0.0078", 10, true)), "PGD-10, L-inf, eps 8/255, step 0.0078, random start");
  EXPECT_EQ(describe(options("0.0314", "1e-2", 1, false)), "PGD-1, L-inf, eps 0.0314, step 1e-2");
}

TEST(PgdOptions, AreFields) {
  PgdOptions o;
  core::assign(fields(o), {{"epsilon", "8/255"}, {"step", 0.25}, {"iterations", 7}, {"random_start", false}}, "test");
  EXPECT_DOUBLE_EQ(o.epsilon.value, 8.0 / 255);
  EXPECT_EQ(o.step->value, 0.25);
  EXPECT_EQ(o.iterations, 7);
  EXPECT_FALSE(o.random_start);
}

TEST(PgdOptions, TakeAStepThatReachesTheBallWhereNoneIsSet) {
  PgdOptions o;
  EXPECT_NEAR(o.step_size(), 0.01, 1e-15);
  EXPECT_EQ(describe(o), "PGD-40, L-inf, eps 0.3, step 0.01, random start");
  for (const Norm norm : {Norm::kLinf, Norm::kL2}) {
    for (const char* epsilon : {"3", "0.5", "8/255", "0.001"}) {
      for (const std::int64_t iterations : {1, 7, 40, 1000}) {
        o = {.epsilon = core::Number(epsilon), .iterations = iterations, .norm = norm};
        const double way = o.step_size() * static_cast<double>(iterations);
        EXPECT_GT(way, o.epsilon.value) << "from the image to the surface";
        if (norm == Norm::kL2) {
          EXPECT_GT(way, 2 * o.epsilon.value) << "from any point to any other";
        }
      }
    }
  }
  core::assign(fields(o), {{"step", "2/255"}}, "test");
  EXPECT_EQ(o.step_size(), 2.0 / 255);
  core::assign(fields(o), core::to_json(fields(o)), "test");
  EXPECT_EQ(o.step->typed, "2/255");
  core::assign(fields(o), {{"step", "none"}}, "test");
  EXPECT_FALSE(o.step);
  EXPECT_EQ(core::to_json(fields(o))["step"], "none");
  core::expect_error(
      [&] {
        core::assign(fields(o), {{"step", "some"}}, "test");
      },
      core::ErrorKind::kUsage, "expected none, or a number from 0 to 100");
}

TEST(Ball, IsCheckedBeforeAnyWork) {
  core::expect_error([] { check({.norm = Norm::kLinf, .epsilon = core::Number("8")}, "test_attack"); },
                     core::ErrorKind::kUsage, "test_attack: epsilon: got 8");
  check({.norm = Norm::kL2, .epsilon = core::Number("8")}, "test_attack");
  check({.norm = Norm::kLinf, .epsilon = core::Number("1")}, "");
}

TEST(StartNoise, DependsOnSeedPurposeAndIdAlone) {
  const Tensor batch = start_noise(1, "a", torch::tensor({5, 2, 9}), {1, 3, 3});
  EXPECT_TRUE(torch::equal(batch[1], start_noise(1, "a", torch::tensor({2}), {1, 3, 3})[0]));
  EXPECT_FALSE(torch::equal(batch[1], batch[0]));
  EXPECT_FALSE(torch::equal(batch, start_noise(2, "a", torch::tensor({5, 2, 9}), {1, 3, 3})));
  EXPECT_FALSE(torch::equal(batch, start_noise(1, "b", torch::tensor({5, 2, 9}), {1, 3, 3})));
}

TEST(StartNoise, FillsTheBall) {
  const Tensor noise = start_noise(0, "a", torch::arange(4), {1, 16, 16});
  EXPECT_EQ(noise.sizes(), (std::vector<std::int64_t>{4, 1, 16, 16}));
  EXPECT_LT(noise.max().item<float>(), 1);
  EXPECT_GE(noise.min().item<float>(), -1);
  EXPECT_GT(noise.max().item<float>(), 0.95);
  EXPECT_LT(noise.min().item<float>(), -0.95);
}

TEST(Pgd, TakesTheStepsOfPyTorch) {
  const core::Json golden = core::read_json(PELLUCID_GOLDEN "/evasion.json");
  nets::Network network = tiny::network(tiny::spec());
  const auto names = nets::parameter_names(network.architecture);
  for (std::size_t k = 0; k < names.size(); ++k) {
    Tensor& parameter = network.state.at(names[k]);
    parameter = tiny::formula(parameter.sizes(), static_cast<double>(k), 0.5);
  }
  const Tensor images = (tiny::formula({3, 1, 8, 8}, 20, 0.6) + 0.5).clamp(0, 1);
  const Tensor labels = torch::tensor({0, 1, 3}), noise = tiny::formula(images.sizes(), 21, 1);
  for (const auto& c : golden["cases"]) {
    for (std::int64_t i = 0; i < 5; ++i) {
      const auto o = options(c["epsilon"], c["step"], i, c["random_start"]);
      const Tensor expected = torch::tensor(c["iterates"][i].get<std::vector<double>>(), torch::kFloat64);
      const Tensor x = pgd(network, images, labels, o, noise);
      EXPECT_LT((x.flatten() - expected).abs().max().item<double>(), 1e-12) << describe(o);
    }
  }
}

TEST(Pgd, IsFgsmWithOneStepOfEpsilon) {
  const nets::Network network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(3), labels = tiny::labels(3);
  const Tensor leaf = images.clone().requires_grad_(true);
  at::cross_entropy_loss(nets::logits(network, leaf), labels).backward();
  const Tensor expected = (images + 0.1 * leaf.grad().sign()).clamp(0, 1);
  const Tensor x = pgd(network, images, labels, options("0.1", "0.1", 1, false), Tensor());
  EXPECT_LT((x - expected).abs().max().item<double>(), 1e-6);
}

RC_GTEST_PROP(Pgd, StaysInTheBallAndInThePixelsRange, ()) {
  const auto epsilon = *rc::gen::inRange(0, 60), step = *rc::gen::inRange(0, 60);
  const auto o = options(fmt::format("{}/100", epsilon), fmt::format("{}/100", step), *rc::gen::inRange(0, 4),
                         *rc::gen::arbitrary<bool>());
  static const nets::Network network = tiny::network(tiny::spec());
  const auto seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
  const Tensor images = tiny::images(2, seed);
  const Tensor x = pgd(network, images, tiny::labels(2), o, noise_for(images, seed));
  RC_ASSERT((x - images).abs().max().item<double>() <= epsilon / 100.0 + 1e-6);
  RC_ASSERT(x.min().item<float>() >= 0 && x.max().item<float>() <= 1);
}

TEST(Pgd, ChangesNothingWithoutBudget) {
  const Tensor images = tiny::images(3);
  for (const bool random_start : {false, true}) {
    const auto o = options("0", "0.1", 3, random_start);
    EXPECT_TRUE(torch::equal(pgd(tiny::network(tiny::spec()), images, tiny::labels(3), o, noise_for(images)), images));
  }
}

TEST(Pgd, LeavesImagesAndNetworkAsTheyAre) {
  const nets::Network network = tiny::network(tiny::spec());
  const nets::TensorMap before = nets::converted(network.state, torch::kFloat32);
  const Tensor images = tiny::images(3), copy = images.clone();
  const Tensor x = pgd(network, images, tiny::labels(3), options("0.3", "0.1", 2, true), noise_for(images));
  EXPECT_FALSE(x.requires_grad());
  EXPECT_TRUE(torch::equal(images, copy));
  EXPECT_TRUE(tiny::same_bits(network.state, before));
}

TEST(Pgd, TreatsEachImageAlone) {
  const nets::Network network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(4), labels = tiny::labels(4), noise = noise_for(images);
  const auto o = options("0.3", "0.1", 2, true);
  const Tensor third = pgd(network, images.slice(0, 2, 3), labels.slice(0, 2, 3), o, noise.slice(0, 2, 3));
  EXPECT_LT((pgd(network, images, labels, o, noise)[2] - third[0]).abs().max().item<double>(), 1e-6);
}

TEST(Pgd, RaisesTheLossWithEachStep) {
  const nets::Network network = tiny::balanced_lenet();
  const Tensor images = tiny::images(8), labels = tiny::labels(8);
  double last = loss(network, images, labels);
  for (std::int64_t iterations = 1; iterations <= 5; ++iterations) {
    const auto o = options("0.3", "0.05", iterations, false);
    const double now = loss(network, pgd(network, images, labels, o, Tensor()), labels);
    EXPECT_GT(now, last) << iterations;
    last = now;
  }
}

TEST(Pgd, EvaluatesTheNetworkInTheGivenMode) {
  nets::Network network = tiny::normed();
  const Tensor images = tiny::images(4), labels = tiny::labels(4);
  const auto o = options("0.1", "0.1", 1, false);
  const Tensor evaluation = pgd(network, images, labels, o, Tensor(), nets::Mode::kEvaluation);
  const Tensor training = pgd(network, images, labels, o, Tensor(), nets::Mode::kTraining);
  EXPECT_FALSE(torch::equal(evaluation, training));
  network.state.at("bn.running_mean") += core::normal(core::Stream(0, "test"), {4});
  EXPECT_FALSE(torch::equal(pgd(network, images, labels, o, Tensor(), nets::Mode::kEvaluation), evaluation));
  EXPECT_TRUE(torch::equal(pgd(network, images, labels, o, Tensor(), nets::Mode::kTraining), training));
}

}  // namespace
}  // namespace pellucid::evasion
