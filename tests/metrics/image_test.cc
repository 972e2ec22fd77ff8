#include "pellucid/metrics/image.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <limits>

namespace pellucid::metrics {
namespace {

using core::ErrorKind;
using Metric = double (*)(const Tensor&, const Tensor&);

Tensor constant(double value, at::IntArrayRef shape = {3, 12, 12}) {
  return torch::full(shape, value, torch::kFloat64);
}

Tensor noise(std::uint64_t index) { return core::uniform({1, "metrics test", index}, {3, 13, 12}); }

void expect_error(Metric metric, const Tensor& a, const Tensor& b, ErrorKind kind, const std::string& message) {
  try {
    (void)metric(a, b);
    ADD_FAILURE() << "no error, expected: " << message;
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), testing::HasSubstr(message));
  }
}

TEST(ImageMetrics, MatchScikitImage) {
  const core::Json golden = core::read_json(PELLUCID_GOLDEN "/metrics.json");
  for (const auto& c : golden["cases"]) {
    const auto shape = c["shape"].get<std::vector<std::int64_t>>();
    auto image = [&](const char* name) {
      return torch::tensor(c[name].get<std::vector<double>>(), torch::kFloat64).div(255).view(shape);
    };
    const Tensor original = image("original"), reconstruction = image("reconstruction");
    EXPECT_NEAR(mse(reconstruction, original), c["mse"].get<double>(), 1e-12) << c["name"];
    EXPECT_NEAR(psnr(reconstruction, original), c["psnr"].get<double>(), 1e-10) << c["name"];
    EXPECT_NEAR(ssim(reconstruction, original), c["ssim"].get<double>(), 1e-10) << c["name"];
  }
}

TEST(ImageMetrics, RefuseShapesThatDiffer) {
  for (const Metric metric : {mse, psnr, ssim}) {
    expect_error(metric, constant(0, {3, 12, 12}), constant(0, {1, 12, 12}), ErrorKind::kInternal,
                 "got shapes (3,12,12) and (1,12,12)");
    expect_error(metric, constant(0, {12, 12}), constant(0, {12, 12}), ErrorKind::kInternal,
                 "got shape (12,12), expected (C,H,W)");
    expect_error(metric, constant(0, {0, 12, 12}), constant(0, {0, 12, 12}), ErrorKind::kInternal,
                 "at least one value");
  }
}

TEST(ImageMetrics, AcceptTensorsThatCarryGradients) {
  const Tensor image = noise(0).requires_grad_();
  EXPECT_EQ(psnr(image, image), kMaxPsnr);
  EXPECT_NEAR(ssim(image, image), 1, 1e-12);
}

TEST(ImageMetrics, AreNotNumbersWhereAPixelIsNot) {
  Tensor broken = noise(0);
  broken[1][5][5] = std::numeric_limits<float>::quiet_NaN();
  for (const Metric metric : {mse, psnr, ssim}) EXPECT_TRUE(std::isnan(metric(broken, noise(1))));
}

TEST(Mse, OfAConstantOffsetIsItsSquare) { EXPECT_NEAR(mse(constant(0.55), constant(0.25)), 0.09, 1e-15); }

TEST(Mse, CountsPixelsOutOfRangeInFull) { EXPECT_DOUBLE_EQ(mse(constant(3), constant(1)), 4); }

TEST(Psnr, OfAnMseOfOneHundredthIs20Db) { EXPECT_NEAR(psnr(constant(0.6), constant(0.5)), 20, 1e-12); }

TEST(Psnr, OfBlackAgainstWhiteIsZero) { EXPECT_EQ(psnr(constant(0), constant(1)), 0); }

TEST(Psnr, ClampsToTheVisibleRange) {
  EXPECT_EQ(psnr(constant(-4), constant(0)), kMaxPsnr);
  EXPECT_NEAR(psnr(constant(7), constant(0.9)), 20, 1e-12);
}

TEST(Psnr, OfIdenticalImagesIsTheHighest) {
  EXPECT_EQ(psnr(noise(0), noise(0)), kMaxPsnr);
  EXPECT_EQ(psnr(constant(0.5), constant(0.5 + 1e-9)), kMaxPsnr);
  EXPECT_LT(psnr(constant(0.5), constant(0.5 + 1e-4)), kMaxPsnr);
}

TEST(Ssim, OfIdenticalImagesIsOne) { EXPECT_NEAR(ssim(noise(0), noise(0)), 1, 1e-12); }

TEST(Ssim, OfTwoConstantsIsTheirLuminanceTerm) {
  EXPECT_NEAR(ssim(constant(0.2), constant(0.8)), (2 * 0.2 * 0.8 + 1e-4) / (0.2 * 0.2 + 0.8 * 0.8 + 1e-4), 1e-12);
}

TEST(Ssim, ClampsToTheVisibleRange) { EXPECT_NEAR(ssim(noise(0) + 5, constant(1, {3, 13, 12})), 1, 1e-12); }

TEST(Ssim, RefusesImagesSmallerThanItsWindow) {
  EXPECT_TRUE(ssim_applies(constant(0, {1, 11, 11})));
  EXPECT_FALSE(ssim_applies(constant(0, {1, 10, 28})));
  EXPECT_FALSE(ssim_applies(constant(0, {1, 28, 10})));
  expect_error(ssim, constant(0, {1, 10, 28}), constant(0, {1, 10, 28}), ErrorKind::kUsage,
               "image size: got 10x28, expected at least 11x11");
  expect_error(ssim, constant(0, {1, 28, 10}), constant(0, {1, 28, 10}), ErrorKind::kUsage, "got 28x10");
}

RC_GTEST_PROP(ImageMetrics, AreSymmetricAndBounded, ()) {
  const auto index = *rc::gen::inRange<std::uint64_t>(0, 1'000'000);
  const double spread = *rc::gen::inRange(0, 30) / 10.0;
  const Tensor original = noise(index), reconstruction = original + spread * (noise(index + 1) - 0.5);
  for (const Metric metric : {mse, psnr, ssim}) {
    RC_ASSERT(std::abs(metric(original, reconstruction) - metric(reconstruction, original)) < 1e-12);
  }
  RC_ASSERT(mse(reconstruction, original) >= 0);
  RC_ASSERT(psnr(reconstruction, original) >= 0 && psnr(reconstruction, original) <= kMaxPsnr);
  RC_ASSERT(std::abs(ssim(reconstruction, original)) <= 1 + 1e-12);
}

}  // namespace
}  // namespace pellucid::metrics
