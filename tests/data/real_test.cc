// The published data sets themselves, where they are on this machine.
#include "pellucid/data/catalog.h"

#include "tests/data/environment.h"
#include <gtest/gtest.h>

namespace pellucid::data {
namespace {

TEST(RealMnist, IsReadAsPublished) {
  if (!available("mnist")) GTEST_SKIP() << "no MNIST here: set PELLUCID_DATA or run `pellucid data fetch mnist`";
  const Dataset train = load("mnist", Split::kTrain);
  const Dataset test = load("mnist", Split::kTest);
  EXPECT_EQ(train.images.sizes(), (std::vector<std::int64_t>{60'000, 1, 28, 28}));
  EXPECT_EQ(test.images.sizes(), (std::vector<std::int64_t>{10'000, 1, 28, 28}));
  EXPECT_TRUE(torch::equal(train.labels.slice(0, 0, 5), torch::tensor({5, 0, 4, 1, 9}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(test.labels.slice(0, 0, 5), torch::tensor({7, 2, 1, 0, 4}, torch::kInt64)));
  EXPECT_NEAR(pixels(train, torch::arange(60'000)).mean().item<double>(), .1307, 1e-4);
}

TEST(RealFashionMnist, IsReadAsPublished) {
  const Variable data("PELLUCID_DATA", std::nullopt);  // Debian's package counts where no place is given
  if (!available("fashion_mnist")) GTEST_SKIP() << "no Fashion-MNIST here: apt-get install dataset-fashion-mnist";
  const Dataset train = load("fashion_mnist", Split::kTrain);
  const Dataset test = load("fashion_mnist", Split::kTest);
  EXPECT_EQ(train.images.sizes(), (std::vector<std::int64_t>{60'000, 1, 28, 28}));
  EXPECT_TRUE(torch::equal(train.labels.bincount(), torch::full({10}, 6'000, torch::kInt64)));
  EXPECT_TRUE(torch::equal(test.labels.bincount(), torch::full({10}, 1'000, torch::kInt64)));
  EXPECT_EQ(train.classes.at(static_cast<std::size_t>(train.labels[0].item<std::int64_t>())), "ankle boot");
  EXPECT_NEAR(pixels(train, torch::arange(60'000)).mean().item<double>(), .2860, 1e-4);
}

TEST(RealCifar10, IsReadAsPublished) {
  if (!available("cifar10")) GTEST_SKIP() << "no CIFAR-10 here: set PELLUCID_DATA or run `pellucid data fetch cifar10`";
  const Dataset train = load("cifar10", Split::kTrain);
  const Dataset test = load("cifar10", Split::kTest);
  EXPECT_EQ(train.images.sizes(), (std::vector<std::int64_t>{50'000, 3, 32, 32}));
  EXPECT_EQ(test.images.sizes(), (std::vector<std::int64_t>{10'000, 3, 32, 32}));
  EXPECT_TRUE(torch::equal(train.labels.bincount(), torch::full({10}, 5'000, torch::kInt64)));
  EXPECT_TRUE(torch::equal(test.labels.bincount(), torch::full({10}, 1'000, torch::kInt64)));
  const Tensor means = train.images.to(torch::kFloat32).div(255).mean({0, 2, 3});
  EXPECT_TRUE(torch::allclose(means, torch::tensor({.4914f, .4822f, .4465f}), 0, 2e-4)) << means;
}

}  // namespace
}  // namespace pellucid::data
