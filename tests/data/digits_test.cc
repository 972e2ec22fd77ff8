#include "pellucid/data/digits.h"

#include "pellucid/data/digit_styles.h"

#include "tests/core/expect_error.h"

namespace pellucid::data {
namespace {

using core::ErrorKind;
using core::expect_error;

TEST(GeneratedDigits, HaveTheFormOfMnist) {
  const Dataset digits = generated_digits(Split::kTrain, 30, 7);
  EXPECT_EQ(digits.name, "digits");
  EXPECT_EQ(digits.source, "generated, seed 7");
  EXPECT_EQ(digits.images.sizes(), (std::vector<std::int64_t>{30, 1, 28, 28}));
  EXPECT_EQ(digits.images.scalar_type(), torch::kUInt8);
  EXPECT_EQ(digits.labels.scalar_type(), torch::kInt64);
  EXPECT_EQ(digits.classes.size(), 10);
}

TEST(GeneratedDigits, ImageDependsOnItsNumberAlone) {
  const Dataset few = generated_digits(Split::kTrain, 17, 3);
  const Dataset all = generated_digits(Split::kTrain, 200, 3);
  const Dataset many{.name = all.name,
                     .source = all.source,
                     .images = all.images.slice(0, 0, 17),
                     .labels = all.labels.slice(0, 0, 17),
                     .classes = all.classes};
  EXPECT_TRUE(torch::equal(few.images, many.images));
  EXPECT_TRUE(torch::equal(few.labels, many.labels));
}

TEST(GeneratedDigits, DependOnSeedAndSplit) {
  const Dataset digits = generated_digits(Split::kTrain, 20, 3);
  for (const Dataset& other : {generated_digits(Split::kTrain, 20, 4), generated_digits(Split::kTest, 20, 3)}) {
    EXPECT_FALSE(torch::equal(digits.labels, other.labels));
    EXPECT_FALSE(torch::equal(digits.images, other.images));
  }
}

TEST(GeneratedDigits, AreBalancedInEveryTen) {
  const Dataset digits = generated_digits(Split::kTest, 100, 0);
  for (std::int64_t i = 0; i < 100; i += 10) {
    const Tensor sorted = std::get<0>(digits.labels.narrow(0, i, 10).sort());
    EXPECT_TRUE(torch::equal(sorted, torch::arange(10))) << i;
  }
  EXPECT_FALSE(torch::equal(digits.labels.narrow(0, 0, 10), digits.labels.narrow(0, 10, 10)));
}

TEST(GeneratedDigits, AreNeverTheSameTwice) {
  const Tensor images = generated_digits(Split::kTrain, 500, 0).images.flatten(1);
  EXPECT_EQ(std::get<0>(at::unique_dim(images, 0)).size(0), 500);
}

TEST(GeneratedDigits, AreInkedAndPlacedAsInMnist) {
  const Tensor ink = generated_digits(Split::kTrain, 1000, 0).images.to(torch::kFloat64).div(255).squeeze(1);
  EXPECT_NEAR(ink.mean().item<double>(), .130, .01);  // .1307 in MNIST
  EXPECT_NEAR(ink.std().item<double>(), .305, .01);   // .3081 in MNIST
  EXPECT_GT(ink.amax({1, 2}).min().item<double>(), .75);
  const Tensor mass = ink.sum({1, 2});
  const Tensor x = (ink.sum(1) * (torch::arange(28) + .5)).sum(1) / mass;
  const Tensor y = (ink.sum(2) * (torch::arange(28) + .5)).sum(1) / mass;
  EXPECT_NEAR(x.mean().item<double>(), 14, .2);
  EXPECT_NEAR(y.mean().item<double>(), 14, .2);
  // Ink at the border is rare: a digit is 20 pixels large and centred by its mass.
  const double border = 1 - ink.narrow(1, 1, 26).narrow(2, 1, 26).sum().item<double>() / ink.sum().item<double>();
  EXPECT_LT(border, .002);
}

TEST(GeneratedDigits, AreLearnableButNotTrivial) {
  // The nearest of 2,000 examples names most new digits rightly, and not all of them.
  const Dataset train = generated_digits(Split::kTrain, 2000, 0);
  const Dataset test = generated_digits(Split::kTest, 500, 0);
  auto rows = [](const Dataset& d) { return d.images.flatten(1).to(torch::kFloat32); };
  const Tensor nearest = torch::cdist(rows(test), rows(train)).argmin(1);
  const double accuracy = (labels(train, nearest) == test.labels).to(torch::kFloat64).mean().item<double>();
  EXPECT_GT(accuracy, .85);
  EXPECT_LT(accuracy, .99);
}

TEST(GeneratedDigits, RefuseACountBelowOne) {
  expect_error([] { (void)generated_digits(Split::kTrain, 0, 0); }, ErrorKind::kUsage,
               "digits: number of images, got 0, expected 1 or more");
}

TEST(Glyphs, StayOnThePaper) {
  for (int digit = 0; digit < 10; ++digit) {
    EXPECT_GE(glyphs(digit).size(), 3) << digit;
    for (const Glyph& glyph : glyphs(digit)) {
      for (const Stroke& stroke : glyph) {
        EXPECT_GE(stroke.size(), 2) << digit;
        for (const Point& point : stroke) {
          EXPECT_TRUE(point.x >= 0 && point.x <= .85 && point.y >= 0 && point.y <= 1) << digit;
        }
      }
    }
  }
}

}  // namespace
}  // namespace pellucid::data
