#include "pellucid/training/autoencoder.h"

#include "pellucid/core/file.h"
#include "pellucid/stats/interval.h"
#include "pellucid/training/train.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

#include <numeric>

namespace pellucid::training {
namespace {

nets::Spec autoencoder() {
  return {.net = "autoencoder", .input = {1, tiny::kSide, tiny::kSide}, .classes = tiny::kSide * tiny::kSide};
}

TrainingOptions to_reconstruct() {
  TrainingOptions options;
  options.method = Method::kAutoencoder;
  options.epochs = 20;
  options.batch_size = 16;
  options.checkpoint_steps = {};
  return options;
}

TEST(Autoencoder, FollowsTheGradientOfItsError) {
  const auto network = tiny::network(autoencoder());
  const Tensor images = tiny::images(8);
  const Batch batch{
      .images = images, .labels = tiny::labels(8), .ids = torch::arange(8), .part = {}, .epoch = 0, .step = 0};
  const auto found =
      gradient({.network = network}, batch, inner_attack(network, batch, to_reconstruct()), to_reconstruct(), {});
  const auto leaves = nets::with_gradients(network);
  const Tensor expected =
      (nets::evaluate(network.architecture, leaves.state, images).logits.view_as(images) - images).square().mean();
  EXPECT_NEAR(found.loss, expected.item<double>(), 1e-6);
  EXPECT_EQ(found.correct, 0);
  const auto gradients = torch::autograd::grad({expected}, leaves.parameters);
  for (std::size_t i = 0; i < gradients.size(); ++i)
    EXPECT_TRUE(torch::allclose(found.parameters[i], gradients[i], 1e-4, 1e-8)) << i;
}

TEST(Autoencoder, LearnsToGiveImagesBack) {
  const core::Folder folder;
  const auto train_set = tiny::quarters(128), test_set = tiny::quarters(32, 1);
  const auto trained = train(autoencoder(), train_set, test_set, to_reconstruct(), folder.path(), {});
  const auto errors = reconstruction_errors(trained.network, test_set);
  ASSERT_EQ(errors.size(), 32u);
  const Tensor images = data::pixels(test_set, torch::arange(32));
  const Tensor mean = data::pixels(train_set, torch::arange(128)).mean(0, /*keepdim=*/true);
  EXPECT_LT(stats::mean(errors), 0.5 * (images - mean).square().mean().item<double>());
  const Tensor third = images.narrow(0, 3, 1);
  EXPECT_NEAR(errors[3], (nets::logits(trained.network, third).view_as(third) - third).square().mean().item<double>(),
              1e-6);
  ASSERT_EQ(trained.curve.size(), 20u);
  EXPECT_LT(trained.curve.back().train_loss, 0.5 * trained.curve.front().train_loss);
}

TEST(Autoencoder, HasNoAccuracyAndNoUseOfLabels) {
  const core::Folder one, other;
  auto options = to_reconstruct();
  options.epochs = 2;
  auto data = tiny::quarters(32), unlabelled = data;
  while (unlabelled.classes.size() < 80) unlabelled.classes.push_back(fmt::format("{}", unlabelled.classes.size()));
  unlabelled.labels = torch::full_like(data.labels, 79);                             // more than there are outputs
  data.classes.assign(unlabelled.classes.begin(), unlabelled.classes.begin() + 64);  // as many
  const auto trained = train(autoencoder(), data, tiny::quarters(8, 1), options, one.path(), {});
  for (const auto& record : trained.curve) EXPECT_EQ(record.natural.n + record.robust.n + record.guard.n, 0);
  EXPECT_TRUE(trained.network.classes.empty());
  const auto again = train(autoencoder(), unlabelled, tiny::quarters(8, 1), options, other.path(), {});
  EXPECT_TRUE(tiny::same_bits(trained.network.state, again.network.state));
}

TEST(Autoencoder, IsNotJudgedAnewByOtherTestImages) {
  const core::Folder folder;
  auto options = to_reconstruct();
  options.epochs = 1;
  for (const std::uint64_t seed : {1, 2}) {
    const auto trained = train(autoencoder(), tiny::quarters(32), tiny::quarters(8, seed), options, folder.path(), {});
    EXPECT_EQ(trained.curve.front().natural.n, 0);
  }
}

TEST(Autoencoder, RefusesWhatDoesNotFit) {
  const core::Folder folder;
  auto spec = autoencoder();
  const auto refuse = [&](const TrainingOptions& options, core::ErrorKind kind, const std::string& message) {
    core::expect_error([&] { (void)train(spec, tiny::quarters(32), tiny::quarters(8, 1), options, folder.path(), {}); },
                       kind, message);
  };
  auto guarded = to_reconstruct();
  guarded.guard_images = 4;
  refuse(guarded, core::ErrorKind::kUsage, "got guard_images and method autoencoder, expected an adversarial method");
  spec.classes = 4;
  refuse(to_reconstruct(), core::ErrorKind::kUsage, "autoencoder: outputs: got [4], expected [64]");
  spec.input = {1, 9, 9};
  spec.classes = 81;
  refuse(to_reconstruct(), core::ErrorKind::kData, "got images of 1 x 8 x 8, expected 1 x 9 x 9");
  core::expect_error([] { (void)reconstruction_errors(tiny::network(tiny::spec()), tiny::quarters(8)); },
                     core::ErrorKind::kUsage, "lenet: outputs: got [4], expected [64]");
  const auto network = tiny::network(autoencoder());
  core::expect_error([&] { (void)reconstruction_errors(network, tiny::noise(8, 0, 9)); }, core::ErrorKind::kUsage,
                     "images: got shape [8, 1, 9, 9]");
}

}  // namespace
}  // namespace pellucid::training
