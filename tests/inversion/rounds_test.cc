// Several rounds of one client: what is matched, and what it brings.
#include "pellucid/inversion/matching.h"
#include "pellucid/inversion/reconstruct.h"

#include "tests/core/expect_error.h"
#include "tests/inversion/observed.h"

namespace pellucid::inversion {
namespace {

using core::ErrorKind;

Tensor exact(const Tensor& tensor) { return tensor.to(torch::kFloat64); }

// So many rounds of the client with that image in `balanced_lenet`, noise of that deviation on each update; the server
// follows it slowly.
sharing::Observation in_rounds(int count, double noise = 0, double rate = 0.05) {
  std::vector<sharing::Observation> all;
  nets::Network network = tiny::balanced_lenet();
  for (int i = 0; i < count; ++i) {
    sharing::Protocol protocol;
    if (noise > 0) protocol.mechanisms = {{.name = "gaussian", .value = noise}};
    all.push_back({.network = network,
                   .update = sharing::compute_update(network, tiny::images(1), torch::tensor({1}), protocol,
                                                     std::nullopt, static_cast<std::uint64_t>(i)),
                   .labels = {1}});
    network = sharing::next(network, all.back().update, rate);
  }
  return sharing::together(all);
}

Attack matched(Functional functional, Objective objective, double features = 0) {
  return {.functional = functional, .objective = objective, .features = features, .precision = Precision::kFloat64};
}

// The whole gradient of a round at an image as the attacker computes it, and the observed one, in float64.
std::pair<Tensor, Tensor> gradients(const sharing::Observation& round, const Tensor& image) {
  const auto leaves = nets::with_gradients(
      {.architecture = round.network.architecture, .state = nets::converted(round.network.state, torch::kFloat64)});
  const Tensor logits = nets::evaluate(round.network.architecture, leaves.state, exact(image)).logits;
  const auto found = torch::autograd::grad({-logits.log_softmax(1)[0][1]}, leaves.parameters);
  std::vector<Tensor> at_image, observed;
  for (const auto& gradient : found) at_image.push_back(gradient.flatten());
  for (const auto& name : nets::parameter_names(round.network.architecture))
    observed.push_back(exact(round.update.gradient.at(name)).flatten());
  return {torch::cat(at_image), torch::cat(observed)};
}

TEST(Rounds, AreMatchedAsOneGradient) {
  const auto observation = in_rounds(3, 0.01);
  const Tensor trial = tiny::images(1, 7);
  double distance = 0, size = 0, cosine = 0;
  for (const auto& round : sharing::rounds(observation)) {
    const auto [g, observed] = gradients(round, trial);
    const double norm = observed.square().sum().item<double>();
    distance += (g - observed).square().sum().item<double>();
    size += norm;
    cosine += norm * (1 - (g.dot(observed) / (g.norm() * observed.norm())).item<double>());
  }
  const auto loss = [&](Objective objective) {
    return tiny::reference(observation, matched(Functional::kLoss, objective), {1}).loss(exact(trial));
  };
  EXPECT_NEAR(loss(Objective::kL2), distance / size, 1e-10);
  EXPECT_NEAR(loss(Objective::kCosine), cosine / size, 1e-10);
}

TEST(Rounds, ShareTheFeaturesAsTheGradientsTheyWereReadOff) {
  const auto observation = in_rounds(2, 0.01);
  const Tensor trial = tiny::images(1, 7);
  const auto attack = matched(Functional::kLoss, Objective::kL2, 0.5);
  double distance = 0, size = 0;
  for (const auto& round : sharing::rounds(observation)) {
    const auto problem = make_problem(round, attack, {1});
    const auto& layer = problem.features.layer;
    const double d = exact(round.update.gradient.at(layer + ".bias")).square().sum().item<double>();
    nets::Architecture before = round.network.architecture;
    const auto at = std::ranges::find(before.layers, layer, &nets::Layer::name);
    before.layers.erase(at, before.layers.end());
    const Tensor h =
        nets::evaluate(before, nets::converted(round.network.state, torch::kFloat64), exact(trial)).logits.flatten();
    distance += d * (h - problem.features.targets[0]).square().sum().item<double>();
    size += d * problem.features.targets.square().sum().item<double>();
  }
  const double without =
      tiny::reference(observation, matched(Functional::kLoss, Objective::kL2), {1}).loss(exact(trial));
  EXPECT_NEAR(tiny::reference(observation, attack, {1}).loss(exact(trial)), without + 0.5 * distance / size, 1e-10);
}

TEST(Rounds, HaveTheGradientOfFiniteDifferences) {
  const auto observation = in_rounds(2, 0.01);
  for (const auto functional : {Functional::kLoss, Functional::kResidual}) {
    const auto matching = tiny::reference(observation, matched(functional, Objective::kL2, 1), {1});
    const Tensor x = exact(tiny::images(1, 7)), gradient = matching(x).gradient;
    const Tensor direction = exact(core::normal(core::Stream(0, "direction"), x.sizes())) * 1e-4;
    const double slope = matching.loss(x + direction) - matching.loss(x - direction);
    EXPECT_NEAR((gradient * direction).sum().item<double>() * 2 / slope, 1, 1e-5);
  }
}

TEST(Rounds, AreTheSameByEveryMethod) {
  const auto observation = in_rounds(3, 0.01);
  const Tensor images = tiny::images(2, 7);  // two trials
  const Tensor labels = torch::tensor({{0.1, 0.6, 0.2, 0.1}, {0.7, 0.1, 0.1, 0.1}});
  for (const auto functional : {Functional::kLoss, Functional::kResidual}) {
    for (const auto method : {Method::kEngine, Method::kTensor, Method::kDoubleBackward}) {
      auto attack = matched(functional, Objective::kCosine, 1);
      const auto problem = make_problem(observation, attack, {1});
      const DoubleBackward reference(problem, Precision::kFloat64);
      attack.precision = Precision::kFloat32;
      attack.method = method;
      const auto matching = make_matching(problem, attack, 2, torch::kCPU);
      EXPECT_TRUE(matching.method.ends_with("; 3 rounds")) << matching.method;
      const bool joint = functional == Functional::kLoss;
      for (int call = 0; call < 2; ++call) {  // an engine's memory is used again
        const auto got = matching.at(images, joint ? labels : Tensor());
        for (std::int64_t t = 0; t < 2; ++t) {
          const auto expected =
              reference(exact(images.narrow(0, t, 1)), joint ? exact(labels.narrow(0, t, 1)) : Tensor());
          EXPECT_NEAR(got.losses[t].item<double>(), expected.matching_loss, 1e-5);
          EXPECT_TRUE(torch::allclose(exact(got.gradient[t]), expected.gradient[0], 1e-3, 1e-5));
          if (joint) {
            EXPECT_TRUE(torch::allclose(exact(got.by_labels[t]), expected.by_labels[0], 1e-3, 1e-5));
          }
        }
      }
    }
  }
}

TEST(Rounds, OfOneAreTheObservationItself) {
  const auto one = tiny::observed_lenet(), same = sharing::together({one});
  Attack attack;
  attack.iterations = 5;
  const auto a = run_trial(one, attack, 0), b = run_trial(same, attack, 0);
  EXPECT_TRUE(torch::equal(a.images, b.images));
  EXPECT_EQ(a.matching_loss, b.matching_loss);
  EXPECT_EQ(a.method, "engine, float32");
  EXPECT_EQ(make_problem(one, attack, {1}).share, 1);
}

TEST(Rounds, ShowMoreThroughNoiseThanOne) {
  for (const std::string name : {"residual", "ig"}) {
    Attack attack = preset(name).attack;
    attack.iterations = 300;
    attack.terms["tv"] = 0;
    const auto read = [&](int rounds, double rate) {
      return tiny::psnr(run_trial(in_rounds(rounds, 0.02, rate), attack, 0).images, tiny::images(1));
    };
    const double one = read(1, 0), four = read(4, 0.05), still = read(4, 0);
    EXPECT_GT(four, one + 2) << name;
    EXPECT_GT(still, one + 2) << name << ": the server's network stands still";
  }
}

// The server follows the client so fast that from the second round on it has learned the image.
TEST(Rounds, ThatNoiseDrownsDoNotHideTheFirst) {
  const auto psnr = [&](int rounds) {
    Attack attack;
    attack.iterations = 300;
    attack.terms["tv"] = 0;
    return tiny::psnr(run_trial(in_rounds(rounds, 5e-3, 50), attack, 0).images, tiny::images(1));
  };
  EXPECT_GT(psnr(4), psnr(1) - 1);
}

TEST(Rounds, OfLocalTrainingAreReadByBothOfItsAttacks) {
  std::vector<sharing::Observation> all;
  nets::Network network = tiny::balanced_lenet();
  const sharing::Protocol protocol{.local = {.epochs = 2, .learning_rate = 0.05}};
  for (int i = 0; i < 2; ++i) {
    all.push_back({.network = network,
                   .update = sharing::compute_update(network, tiny::images(1), torch::tensor({1}), protocol),
                   .labels = {1}});
    network = sharing::next(network, all.back().update, 0);
  }
  const auto both = sharing::together(all);
  for (const auto& [name, through] : {std::pair{"unrolled", "double backward, float32: through the client's steps"},
                                      std::pair{"surrogate", "engine, float32"}}) {
    Attack attack = preset(name).attack;
    attack.iterations = 400;
    const Trial trial = run_trial(both, attack, 0);
    EXPECT_EQ(trial.status, Status::kOk) << trial.reason;
    EXPECT_EQ(trial.method.find(std::string(through) + "; 2 rounds"), 0u) << trial.method;
    EXPECT_GT(tiny::psnr(trial.images, tiny::images(1)), 20) << name;
    const auto judged = solver(attack).judged(both, attack, {1});
    EXPECT_EQ(judged.further.size(), 1u);
    EXPECT_LT(DoubleBackward(judged, Precision::kFloat64).loss(exact(tiny::images(1))), 1e-6)
        << "each round is simulated from its own weights";
  }
}

TEST(Rounds, WithNothingToMatchAreRefusedByTheirNumber) {
  auto observation = in_rounds(3);
  for (auto& [unused, tensor] : observation.further[1].update.gradient) tensor = torch::zeros_like(tensor);
  core::expect_error([&] { (void)make_problem(observation, {}, {1}); }, ErrorKind::kModel,
                     "round 3: the observed gradient is zero everywhere");
  const auto trial = run_trial(observation, {}, 0);
  EXPECT_EQ(trial.status, Status::kNotApplicable);
  EXPECT_EQ(trial.reason.find("round 3: "), 0u);
}

}  // namespace
}  // namespace pellucid::inversion
