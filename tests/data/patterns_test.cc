#include "pellucid/data/patterns.h"

#include <gtest/gtest.h>

#include <numbers>

namespace pellucid::data {
namespace {

TEST(Patterns, HaveTheFormOfMnist) {
  const Dataset train = patterns(Split::kTrain);
  EXPECT_EQ(train.images.sizes(), (std::vector<std::int64_t>{kTrainPatterns, 1, 28, 28}));
  EXPECT_EQ(train.images.scalar_type(), torch::kUInt8);
  EXPECT_TRUE(torch::equal(train.labels.bincount(), torch::full({10}, kTrainPatterns / 10, torch::kInt64)));
  EXPECT_EQ(train.classes.size(), 10u);
  EXPECT_EQ(train.images.max().item<int>(), 255);
  const double mean = train.images.to(torch::kFloat64).div(255).mean().item<double>();
  EXPECT_TRUE(mean > .1 && mean < .3) << mean;
}

TEST(Patterns, AreTheSameEachTimeAndNeverTwice) {
  const Dataset train = patterns(Split::kTrain), test = patterns(Split::kTest);
  EXPECT_TRUE(torch::equal(test.images, patterns(Split::kTest).images));
  const Tensor all = torch::cat({train.images, test.images}).flatten(1);
  EXPECT_EQ(std::get<0>(at::unique_dim(all, 0)).size(0), kTrainPatterns + kTestPatterns);
}

TEST(Patterns, AreTurnedByTheirClass) {
  // The main axis of an image's ink lies along its bar.
  const Dataset test = patterns(Split::kTest);
  const Tensor ink = (test.images.squeeze(1) > 127).to(torch::kFloat64), mass = ink.sum({1, 2});
  const auto mean = [&](const Tensor& t) { return (ink * t).sum({1, 2}) / mass; };
  const Tensor x = torch::arange(28).view({1, 1, 28}), y = torch::arange(28).view({1, 28, 1});
  const Tensor mx = mean(x), my = mean(y);
  const Tensor xx = mean(x * x) - mx * mx, yy = mean(y * y) - my * my, xy = mean(x * y) - mx * my;
  const Tensor axis = torch::atan2(2 * xy, xx - yy) * (90 / std::numbers::pi);
  const Tensor off = (axis - 90 - 18 * test.labels).remainder(180);
  EXPECT_LT(torch::minimum(off, 180 - off).max().item<double>(), 9) << "half of what is between two classes";
}

}  // namespace
}  // namespace pellucid::data
