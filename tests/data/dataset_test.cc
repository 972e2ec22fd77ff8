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

// 20 images of class 0, 10 of class 1, 70 of class 2, sorted by class.
Dataset sorted_by_class() {
  const Tensor labels = torch::cat({torch::zeros(20), torch::ones(10), torch::full({70}, 2)}).to(torch::kInt64);
  return {.name = "sorted",
          .source = "test",
          .images = torch::arange(100, torch::kUInt8).view({100, 1, 1, 1}),
          .labels = labels,
          .classes = {"a", "b", "c"}};
}

std::vector<std::int64_t> numbers(const Tensor& tensor) {
  return {tensor.data_ptr<std::int64_t>(), tensor.data_ptr<std::int64_t>() + tensor.numel()};
}

TEST(Sample, OfEverySizeHasEachClassInItsShare) {
  const Dataset dataset = sorted_by_class();
  const Tensor order = sample_order(dataset, 5);
  EXPECT_TRUE(torch::equal(std::get<0>(order.sort()), torch::arange(100)));
  for (std::int64_t n = 1; n < 100; ++n) {
    const Tensor counts = torch::bincount(dataset.labels.index_select(0, order.slice(0, 0, n)), {}, 3);
    const double share[] = {0.2, 0.1, 0.7};
    for (int c = 0; c < 3; ++c)
      EXPECT_NEAR(counts[c].item<double>(), share[c] * static_cast<double>(n), 1.0) << n << " images, class " << c;
  }
}

TEST(Sample, DependsOnTheSeedAndGrowsByAddition) {
  const Dataset dataset = sorted_by_class();
  EXPECT_EQ(numbers(sample(dataset, 10, 1).labels), numbers(sample(dataset, 10, 1).labels));
  EXPECT_TRUE(torch::equal(sample(dataset, 30, 1).images.slice(0, 0, 10), sample(dataset, 10, 1).images));
  EXPECT_FALSE(torch::equal(sample(dataset, 30, 1).images, sample(dataset, 30, 2).images));
}

TEST(Sample,
     DrawsEveryImageEquallyOften) {  // 2,000 seeds, 10 of 100 images: 200 times each, sd 13.4; false alarms below 1e-4
  const Dataset dataset = sorted_by_class();
  Tensor drawn = torch::zeros({100});
  for (std::uint64_t seed = 0; seed < 2000; ++seed)
    drawn.index_add_(0, sample_order(dataset, seed).slice(0, 0, 10), torch::ones({10}));
  EXPECT_GT(drawn.min().item<double>(), 200 - 5 * 13.4);
  EXPECT_LT(drawn.max().item<double>(), 200 + 5 * 13.4);
}

TEST(Sample, OfAllImagesIsTheDataSetItself) {
  const Dataset dataset = sorted_by_class();
  for (const std::int64_t n : {0, 100, 101})
    EXPECT_TRUE(torch::equal(sample(dataset, n, 1).images, dataset.images)) << n;
  EXPECT_EQ(sample(dataset, 7, 1).classes, dataset.classes);
}

TEST(Relabelled, CountsLabelsByName) {
  const Dataset dataset = three_images();  // of classes c, a, b
  EXPECT_EQ(numbers(relabelled(dataset, {"b", "x", "c", "a"}).labels), (std::vector<std::int64_t>{2, 3, 0}));
  EXPECT_EQ(relabelled(dataset, {"b", "x", "c", "a"}).classes.size(), 4);
  EXPECT_EQ(numbers(relabelled(dataset, {}).labels), numbers(dataset.labels)) << "an old weight file";
}

TEST(Relabelled, RefusesAClassThatTheNetworkDoesNotHave) {
  expect_error([] { (void)relabelled(three_images(), {"a", "c"}); }, ErrorKind::kData, "three: class \"b\"");
  Dataset without = three_images();
  without.labels.fill_(0);
  EXPECT_NO_THROW((void)relabelled(without, {"a"})) << "a class without images does no harm";
}

TEST(SplitName, IsTrainOrTest) {
  EXPECT_EQ(to_string(Split::kTrain), "train");
  EXPECT_EQ(to_string(Split::kTest), "test");
}

TEST(ChannelStatistics, AreTheMeanAndDeviationOfAllPixels) {
  Dataset dataset{.name = "x",
                  .source = "",
                  .images = torch::randint(256, {5, 3, 4, 4}, torch::kUInt8),
                  .labels = torch::zeros({5}, torch::kInt64),
                  .classes = {}};
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
