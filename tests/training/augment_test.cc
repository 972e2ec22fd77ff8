#include "pellucid/training/augment.h"

#include "pellucid/core/tensor.h"

#include <gtest/gtest.h>

#include <set>

namespace pellucid::training {
namespace {

TrainingOptions with(std::int64_t crop_padding, bool flip) {
  TrainingOptions options;
  options.crop_padding = crop_padding;
  options.flip = flip;
  return options;
}

// n copies of one image without symmetry and without zeros.
Tensor copies(std::int64_t n) {
  return core::uniform(core::Stream(0, "test"), {1, 2, 5, 4}, 0.5, 1).repeat({n, 1, 1, 1});
}

TEST(Augment, ChangesNothingWhenOff) {
  const Tensor images = copies(3);
  EXPECT_TRUE(torch::equal(augment(images, torch::arange(3), with(0, false)), images));
}

TEST(Augment, CropsOneOfTheShiftsOfThePaddedImage) {
  constexpr std::int64_t kPadding = 2, kShifts = 2 * kPadding + 1, kImages = 400;
  const Tensor images = copies(kImages);
  const Tensor padded = torch::constant_pad_nd(images[0], {kPadding, kPadding, kPadding, kPadding});
  const Tensor result = augment(images, torch::arange(kImages), with(kPadding, false));
  ASSERT_EQ(result.sizes(), images.sizes());
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < kImages; ++i) {
    std::int64_t shift = 0;
    auto crop = [&] {
      return padded.slice(1, shift / kShifts, shift / kShifts + 5).slice(2, shift % kShifts, shift % kShifts + 4);
    };
    while (shift < kShifts * kShifts && !torch::equal(result[i], crop())) ++shift;
    ASSERT_LT(shift, kShifts * kShifts) << "image " << i << " is no crop";
    seen.insert(shift);
  }
  EXPECT_EQ(static_cast<std::int64_t>(seen.size()), kShifts * kShifts) << "every shift occurs";
}

TEST(Augment, MirrorsHalfOfTheImages) {
  const Tensor images = copies(400), mirrored = images[0].flip({2});
  const Tensor result = augment(images, torch::arange(400), with(0, true));
  int flipped = 0, kept = 0;
  for (std::int64_t i = 0; i < 400; ++i) {
    flipped += torch::equal(result[i], mirrored);
    kept += torch::equal(result[i], images[i]);
  }
  EXPECT_EQ(flipped + kept, 400);
  EXPECT_NEAR(flipped, 200, 44);  // 4.4 standard deviations
}

TEST(Augment, DependsOnSeedAndIdAlone) {
  const Tensor images = copies(40), ids = torch::arange(40);
  auto options = with(2, true);
  const Tensor result = augment(images, ids, options);
  EXPECT_TRUE(torch::equal(augment(images.slice(0, 7, 9), ids.slice(0, 7, 9), options), result.slice(0, 7, 9)));
  EXPECT_FALSE(torch::equal(augment(images, ids + 40, options), result));
  options.seed = 1;
  EXPECT_FALSE(torch::equal(augment(images, ids, options), result));
}

}  // namespace
}  // namespace pellucid::training
