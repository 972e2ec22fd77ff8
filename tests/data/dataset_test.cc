#include "pellucid/data/dataset.h"

#include "tests/core/expect_error.h"

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

Dataset three_images() {
  return {.name = "three",
          .source = "test",
          .images = torch::tensor({0, 51, 255}, torch::kUInt8).view({3, 1, 1, 1}),
          .labels = torch::tensor({2, 0, 1}, torch::kInt64),
          .classes = {"a", "b", "c"}};
}

TEST(Pixels, AreFloatsInZeroToOneInTheOrderAsked) {
  const Tensor got = pixels(three_images(), torch::tensor({2, 1, 1}, torch::kInt64));
  EXPECT_EQ(got.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(torch::equal(got, torch::tensor({1.f, .2f, .2f}).view({3, 1, 1, 1})));
}

TEST(Pixels, OfNoIndicesAreNone) { EXPECT_EQ(pixels(three_images(), torch::empty({0}, torch::kInt64)).size(0), 0); }

TEST(Pixels, RefuseAnIndexOutOfRange) {
  const Dataset dataset = three_images();
  expect_error(
      [&] {
        (void)pixels(dataset, torch::tensor({0, 3}, torch::kInt64));
      },
      ErrorKind::kUsage, "three: image number, got 3, expected 0 to 2");
  expect_error([&] { (void)pixels(dataset, torch::tensor({-1}, torch::kInt64)); }, ErrorKind::kUsage, "got -1");
}

TEST(Labels, ComeInTheOrderAsked) {
  const Tensor got = labels(three_images(), torch::tensor({2, 0}, torch::kInt64));
  EXPECT_TRUE(torch::equal(got, torch::tensor({1, 2}, torch::kInt64)));
}

TEST(Labels, RefuseAnIndexOutOfRange) {
  expect_error([] { (void)labels(three_images(), torch::tensor({3}, torch::kInt64)); }, ErrorKind::kUsage, "got 3");
}

TEST(First, TakesTheFirstOrAll) {
  const Dataset dataset = three_images();
  EXPECT_EQ(first(dataset, 2).size(), 2);
  EXPECT_TRUE(torch::equal(first(dataset, 2).labels, torch::tensor({2, 0}, torch::kInt64)));
  EXPECT_EQ(first(dataset, 9).size(), 3);
  EXPECT_EQ(first(dataset, 0).size(), 0);
  EXPECT_EQ(first(dataset, 2).classes, dataset.classes);
}

TEST(SplitName, IsTrainOrTest) {
  EXPECT_EQ(to_string(Split::kTrain), "train");
  EXPECT_EQ(to_string(Split::kTest), "test");
}

TEST(ChannelStatistics, AreTheMeanAndDeviationOfAllPixels) {
  Dataset dataset{.name = "x", .source = "", .images = torch::randint(256, {5, 3, 4, 4}, torch::kUInt8), .labels = torch::zeros({5}, torch::kInt64), .classes = {}};
  dataset.images.select(1, 2).fill_(51);
  const auto [mean, deviation] = channel_statistics(dataset);
  ASSERT_EQ(mean.size(), 3u);
  for (int c = 0; c < 2; ++c) {
    const Tensor values = dataset.images.select(1, c).to(torch::kFloat64) / 255;
    EXPECT_NEAR(mean[c], values.mean().item<double>(), 1e-12);
    EXPECT_NEAR(deviation[c], values.std(/*unbiased=*/false).item<double>(), 1e-12);
  }
  EXPECT_NEAR(mean[2], 0.2, 1e-12);
  EXPECT_EQ(deviation[2], 1) << "of a constant channel: nothing is divided by 0";
}

}  // namespace
}  // namespace pellucid::data
