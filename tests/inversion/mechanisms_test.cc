// The attacker who knows what the client did to its update: what is matched, and what it brings.
#include "pellucid/inversion/analytic.h"
#include "pellucid/inversion/matching.h"
#include "pellucid/inversion/reconstruct.h"

#include "tests/inversion/observed.h"

namespace pellucid::inversion {
namespace {

sharing::Observation sent_through(const std::string& mechanisms, std::uint64_t seed = 0,
                                  const nets::Network& network = tiny::balanced_lenet()) {
  return {.network = network,
          .update = sharing::compute_update(
              network, tiny::images(1), torch::tensor({1}),
              {.arithmetic = sharing::Arithmetic::kFloat64, .mechanisms = sharing::parse_mechanisms(mechanisms)},
              std::nullopt, seed),
          .labels = {1}};
}

Attack knowing(Functional functional, Objective objective, double features = 0) {
  return {.functional = functional,
          .objective = objective,
          .mechanisms = Mechanisms::kKnown,
          .features = features,
          .precision = Precision::kFloat64};
}

double loss_at_truth(const sharing::Observation& observation, const Attack& attack) {
  return tiny::reference(observation, attack, {1}).loss(tiny::images(1).to(torch::kFloat64));
}

// Rounding at random is likeliest, on average over what it draws, for the image itself.
TEST(KnownMechanisms, OfRoundingPreferTheImage) {
  const auto mean_at = [](const Tensor& image) {
    double sum = 0;
    for (std::uint64_t i = 0; i < 20; ++i)
      sum +=
          tiny::reference(sent_through("quantise 3", i), knowing(Functional::kLoss, Objective::kL2), {1}).loss(image);
    return sum / 20;
  };
  const Tensor image = tiny::images(1).to(torch::kFloat64);
  const double at_image = mean_at(image);
  EXPECT_LT(at_image, mean_at((image + 0.05 * tiny::images(1, 5)).clamp(0, 1)));
  EXPECT_LT(at_image, mean_at((image - 0.05 * tiny::images(1, 5)).clamp(0, 1)));
  EXPECT_LT(at_image, mean_at(tiny::images(1, 5).to(torch::kFloat64)) / 1.15);
}

// The image itself explains the update, whatever the mechanism has hidden of it; ignored, it does not.
TEST(KnownMechanisms, LeaveNothingToExplainAtTheImage) {
  for (const char* mechanisms : {"top-k 10", "percentile 50", "random-k 20", "secagg 8", "limit 0.01", "bfloat16",
                                 "clip 0.1", "drop-layers 40", "soteria 50", "top-k 30, quantise 4"}) {
    const auto observation = sent_through(mechanisms);
    for (const Objective objective : {Objective::kL2, Objective::kL1, Objective::kCosine}) {
      Attack attack = knowing(Functional::kLoss, objective);
      EXPECT_LT(loss_at_truth(observation, attack), 1e-12) << mechanisms << ", " << to_string(objective);
      attack.mechanisms = Mechanisms::kIgnored;
      const bool a_scale = std::string(mechanisms) == "clip 0.1" && objective == Objective::kCosine;
      if (!a_scale) {
        EXPECT_GT(loss_at_truth(observation, attack), 1e-10) << mechanisms << ", " << to_string(objective);
      }
    }
  }
}

TEST(KnownMechanisms, OfSignsAskNoMoreThanTheSigns) {
  const auto observation = sent_through("sign");
  EXPECT_LT(loss_at_truth(observation, knowing(Functional::kLoss, Objective::kL2)), 1e-10);
  const auto other = tiny::reference(observation, knowing(Functional::kLoss, Objective::kL2), {1});
  EXPECT_GT(other.loss(tiny::images(1, 5).to(torch::kFloat64)), 1e-4);
}

TEST(KnownMechanisms, HaveTheGradientOfTheirLoss) {
  for (const char* mechanisms : {"top-k 20", "random-k 30", "quantise 3", "clip 0.1", "sign", "clip 1, quantise 3"}) {
    const auto observation = sent_through(mechanisms);
    const auto reference = tiny::reference(observation, knowing(Functional::kLoss, Objective::kL2), {1});
    const Tensor trial = tiny::images(1, 7).to(torch::kFloat64);
    const Tensor direction = core::normal(core::Stream(3, "direction"), trial.sizes()).to(torch::kFloat64);
    constexpr double kStep = 1e-5;
    const double slope =
        (reference.loss(trial + kStep * direction) - reference.loss(trial - kStep * direction)) / (2 * kStep);
    const double expected = (reference(trial, {}).gradient * direction).sum().item<double>();
    EXPECT_NEAR(slope, expected, 1e-4 * std::abs(expected)) << mechanisms;
  }
}

TEST(KnownMechanisms, CompareDirectionsWhereSomethingIsKnown) {
  const auto observation = sent_through("random-k 30");
  const Tensor trial = tiny::images(1, 7).to(torch::kFloat64);
  const auto at_trial = sharing::compute_update(observation.network, trial, torch::tensor({1}),
                                                {.arithmetic = sharing::Arithmetic::kFloat64});
  double product = 0, size = 0, observed = 0;
  for (const auto& [name, shared] : observation.update.gradient) {
    const Tensor g = at_trial.gradient.at(name).masked_fill(shared == 0, 0);
    product += (g * shared).sum().item<double>();
    size += g.square().sum().item<double>();
    observed += shared.square().sum().item<double>();
  }
  EXPECT_NEAR(tiny::reference(observation, knowing(Functional::kLoss, Objective::kCosine), {1}).loss(trial),
              1 - product / std::sqrt(size * observed), 1e-9);
}

TEST(KnownMechanisms, LeaveWholeLayersToTheEngine) {
  const auto observation = sent_through("drop-layers 40");
  Attack attack = knowing(Functional::kLoss, Objective::kL2);
  attack.precision = Precision::kFloat32;
  const Problem problem = make_problem(observation, attack, {1});
  std::size_t dropped = 0;
  const auto names = nets::parameter_names(observation.network.architecture);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool zero = !observation.update.gradient.at(names[i]).any().item<bool>();
    EXPECT_EQ(problem.weights[i], zero ? 0 : 1) << names[i];
    dropped += zero ? 1 : 0;
  }
  EXPECT_TRUE(dropped > 0 && dropped < names.size());
  EXPECT_EQ(make_matching(problem, attack, 1, torch::kCPU).method, "engine, float32");
  const Problem cells = make_problem(sent_through("quantise 3"), attack, {1});
  EXPECT_EQ(make_matching(cells, attack, 1, torch::kCPU).method,
            "double backward, float32: through what the client's mechanisms may have hidden");
}

TEST(KnownMechanisms, DoNotReadOffWhatWasLeftOut) {
  const Attack residual = knowing(Functional::kResidual, Objective::kL2, 1);
  // Pruned columns are of unknown values, which the features leave alone.
  const auto pruned = sent_through("soteria 50");
  const auto features = make_problem(pruned, residual, {1}).features;
  EXPECT_NEAR(features.known.mean().item<double>(), 0.5, 0.01);
  EXPECT_LT(loss_at_truth(pruned, residual), 1e-10);
  // Where some rows of a column are left out, the others give its value.
  const auto sparse = sent_through("top-k 60");
  const Tensor whole = make_problem(sent_through(""), residual, {1}).features.targets;
  const auto some = make_problem(sparse, residual, {1}).features;
  EXPECT_TRUE(torch::allclose(some.targets * some.known, whole * some.known, 1e-6, 1e-9));
  EXPECT_GT(some.known.mean().item<double>(), 0.5);
  // Nothing was read of an input whose columns are all left out.
  const auto whole_layer = sent_through("soteria 100");
  for (const auto known : {Mechanisms::kIgnored, Mechanisms::kKnown}) {
    Attack attack = residual;
    attack.mechanisms = known;
    EXPECT_EQ(make_problem(whole_layer, attack, {1}).features.weights.item<double>(), 0);
  }
  // Without the whole residual the loss is matched.
  EXPECT_EQ(make_problem(sparse, residual, {1}).functional, Functional::kResidual);
  const auto random = sent_through("random-k 30");
  EXPECT_EQ(make_problem(random, residual, {1}).functional, Functional::kLoss);
  EXPECT_LT(loss_at_truth(random, residual), 1e-10);
}

// What the rows of the weight's gradient say of the noise is what drawing it again and again says.
TEST(KnownMechanisms, WeighTheFeaturesByWhatIsNotNoise) {
  const auto network = tiny::rectified(100);
  const auto weight = [&](const std::string& mechanisms, std::uint64_t seed, Mechanisms known = Mechanisms::kKnown) {
    Attack attack = knowing(Functional::kLoss, Objective::kL2, 1);
    attack.mechanisms = known;
    const auto features = make_problem(sent_through(mechanisms, seed, network), attack, {1}).features;
    return (features.weights * features.targets.square().sum(1)).item<double>();  // over 1 / |h*|^2
  };
  EXPECT_DOUBLE_EQ(weight("", 0), 1);
  EXPECT_LT(weight("gaussian 10", 0), 0.2);
  EXPECT_DOUBLE_EQ(weight("gaussian 10", 0, Mechanisms::kIgnored), 1);
  const Tensor exact = linear_input(sent_through("", 0, network).update, "one");
  for (const std::string mechanisms : {"gaussian 0.02", "laplace 0.014"}) {
    double noise = 0, lost = 0;
    constexpr int kDraws = 50;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const Tensor read = noisy_linear_input(sent_through(mechanisms, i, network).update, "one", false).input;
      noise += (read - exact).square().sum().item<double>() / read.square().sum().item<double>() / kDraws;
      lost += (1 - weight(mechanisms, i)) / kDraws;
    }
    EXPECT_GT(noise, 0.01) << mechanisms;
    EXPECT_NEAR(lost, noise, 0.3 * noise) << mechanisms;
  }
}

TEST(KnownMechanisms, BringTheImageBackThroughAQuantiser) {
  const auto observation = sent_through("quantise 4");
  Attack attack = {.functional = Functional::kLoss,
                   .objective = Objective::kL2,
                   .features = 0,
                   .terms = {},
                   .iterations = 400,
                   .restarts = 1,
                   .precision = Precision::kFloat64};
  const auto psnr = [&] {
    const auto found = reconstruct(observation, attack, {});
    return tiny::psnr(found.trials[found.chosen].images, tiny::images(1));
  };
  const double ignored = psnr();
  attack.mechanisms = Mechanisms::kKnown;
  EXPECT_GT(psnr(), ignored + 3);
}

}  // namespace
}  // namespace pellucid::inversion
