// The terms that look at the network or at other restarts.
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/inversion/terms.h"

#include "tests/inversion/observed.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace pellucid::inversion {
namespace {

sharing::Observation in_training(std::int64_t images, bool share_statistics) {
  const auto network = tiny::normed();
  return {.network = network,
          .update = sharing::compute_update(network, tiny::images(images), tiny::labels(images),
                                            {.mode = nets::Mode::kTraining, .share_statistics = share_statistics}),
          .labels = {}};
}

Problem batch_problem(const sharing::Observation& observation, std::int64_t images) {
  return whole_problem(observation, preset("ig").attack, std::vector<std::int64_t>(images, 0));
}

Evaluated at(const std::string& name, const Problem& problem, const Tensor& pixels) {
  const Units units(problem.architecture.spec, torch::kFloat64);
  const auto row = std::ranges::find(terms(), name, &TermEntry::name);
  const auto trials = pixels.size(0) / problem.protocol.batch_size;
  return evaluate(row->make(problem, units, 0.5),
                  {.trials = trials, .pixels = pixels, .standardised = units.from_pixels(pixels)});
}

TEST(NetworkTerms, HaveTheGradientOfFiniteDifferences) {
  constexpr double kStep = 1e-6;
  auto observation = in_training(2, true);
  auto& [spec, layers] = observation.network.architecture;
  spec.mean = {0.4};
  spec.deviation = {0.2};
  for (auto& layer : layers) layer.inputs[0] += 1;
  layers.insert(layers.begin(), {nets::Normalise{{0.4}, {0.2}}, "", {nets::kNetworkInput}});
  auto problem = batch_problem(observation, 2);
  problem.autoencoder = tiny::network(
      {.net = "autoencoder", .input = {1, tiny::kSide, tiny::kSide}, .classes = tiny::kSide * tiny::kSide});
  const Units units(spec, torch::kFloat64);
  const Tensor z = units.from_pixels(tiny::images(4, 1).to(torch::kFloat64));  // two trials
  for (const auto& row : terms()) {
    if (row.compares_restarts) continue;  // it takes the others as given
    const auto here = at(row.name, problem, units.to_pixels(z));
    for (const std::int64_t pixel : {9, 77, 150, 255}) {
      const auto moved = [&](double step) {
        Tensor x = z.clone();
        x.view(-1)[pixel] += step;
        return at(row.name, problem, units.to_pixels(x)).losses.sum().item<double>();
      };
      EXPECT_NEAR((moved(kStep) - moved(-kStep)) / (2 * kStep), here.gradient.view(-1)[pixel].item<double>(), 1e-6)
          << row.name << " " << pixel;
    }
  }
}

TEST(BatchNormTerm, IsZeroAtTheTruthWhereTheClientSharesItsStatistics) {
  const Tensor truth = tiny::images(2).to(torch::kFloat64);
  EXPECT_LT(at("batch_norm", batch_problem(in_training(2, true), 2), truth).losses.item<double>(), 1e-5);
  EXPECT_GT(at("batch_norm", batch_problem(in_training(2, false), 2), truth).losses.item<double>(), 0.1)
      << "the network's own";
  EXPECT_EQ(at("batch_norm", batch_problem(tiny::observed_lenet(), 1), tiny::images(1).to(torch::kFloat64))
                .losses.item<double>(),
            0)
      << "without batch norm";
}

// As a network of the same statistics sees it: several steps move the running ones further.
TEST(KnownStatistics, AreThoseOfTheClientsBatch) {
  const auto network = tiny::normed();
  const auto after = [&](std::int64_t epochs) {
    return known_statistics({.network = network,
                             .update = sharing::compute_update(network, tiny::images(3), tiny::labels(3),
                                                               {.local = {.epochs = epochs, .learning_rate = 1e-6},
                                                                .mode = nets::Mode::kTraining,
                                                                .share_statistics = true}),
                             .labels = {}});
  };
  const auto exact =
      nets::batch_statistics(network.architecture, network.state, tiny::images(3), nets::Mode::kTraining);
  ASSERT_EQ(exact.size(), 2u);
  for (const auto& [name, value] : exact) {
    for (const std::int64_t epochs : {0, 1, 5})
      EXPECT_LT((after(epochs).at(name) - value).abs().max().item<double>(), 1e-4) << name << " " << epochs;
  }
}

TEST(GroupTerm, PullsTheRestartsTogetherAsTheyFitWhenShifted) {
  const auto problem = batch_problem(tiny::observed_lenet(), 1);
  Tensor image = torch::zeros({1, 1, tiny::kSide, tiny::kSide}, torch::kFloat64);
  image[0][0].slice(0, 3, 6).slice(1, 3, 5) = 1;
  const auto losses = [&](const std::vector<Tensor>& trials) {
    return at("group", problem, torch::cat(trials)).losses;
  };
  EXPECT_EQ(losses({image}).item<double>(), 0) << "one alone";
  EXPECT_EQ(losses({image, image}).sum().item<double>(), 0);
  const auto apart = at("group", problem, torch::cat({image, image, 0 * image}));
  EXPECT_NEAR(apart.losses[2].item<double>(), 0.5 * (image * 2 / 3).square().mean().item<double>(), 1e-12);
  const Tensor towards = 0 * image - 2 * 0.5 / 64 * (image * 2 / 3);
  EXPECT_TRUE(torch::allclose(apart.gradient[2], towards[0]));
  // Of three, two where it is and one shifted: shifted back it fits, so that the two have nothing to move for.
  EXPECT_NEAR(losses({image, image, image.roll({1, -2}, {2, 3})})[0].item<double>(), 0, 1e-12);
  EXPECT_GT(losses({image, image, image.roll({1, -2}, {2, 3})})[2].item<double>(), 0.01);
}

TEST(GroupTerm, SeesAllRestarts) {
  Attack attack = preset("ig").attack;
  attack.iterations = 20;
  attack.restarts = 6;  // more than are packed into one engine otherwise
  attack.terms["group"] = 100;
  const auto images = [&](int threads) {
    std::vector<Tensor> all;
    for (const auto& trial : reconstruct(tiny::observed_lenet(), attack, {.threads = threads}).trials)
      all.push_back(trial.images);
    return torch::cat(all);
  };
  const Tensor together = images(1);
  EXPECT_TRUE(torch::equal(together, images(2))) << "on any number of threads";
  attack.terms["group"] = 0;
  EXPECT_LT(together.std(0).mean().item<double>(), 0.7 * images(1).std(0).mean().item<double>());
}

}  // namespace
}  // namespace pellucid::inversion
