#include "pellucid/inversion/isolate.h"

#include "tests/core/expect_error.h"
#include <gtest/gtest.h>

#include <limits>

namespace pellucid::inversion {
namespace {

constexpr std::int64_t kIn = 150, kOut = 200;

// A batch at a layer behind a ReLU, with random derivatives where its own ReLU is on; without zeros if not rectified.
struct Batch {
  Tensor inputs, residuals;  // (B, in), (B, out) float64
  LinearLayer layer;         // in float32
};

Batch batch_of(std::int64_t images, double smallest = 1, bool rectified = true) {
  torch::manual_seed(images);
  Batch batch;
  const Tensor weight = torch::randn({kOut, kIn}, torch::kFloat64), bias = torch::randn({kOut}, torch::kFloat64);
  batch.inputs = torch::randn({images, kIn}, torch::kFloat64);
  batch.inputs = rectified ? batch.inputs.relu() : batch.inputs.abs();
  const Tensor on = torch::addmm(bias, batch.inputs, weight.t()) > 0;
  batch.residuals = torch::randn({images, kOut}, torch::kFloat64) / static_cast<double>(images);
  if (rectified) batch.residuals *= on;
  batch.residuals[0] *= smallest;
  const Tensor d = batch.residuals.to(torch::kFloat32), h = batch.inputs.to(torch::kFloat32);
  batch.layer = {.weight = weight.to(torch::kFloat32),
                 .bias = bias.to(torch::kFloat32),
                 .weight_gradient = torch::mm(d.t(), h),
                 .bias_gradient = d.sum(0),
                 .batch = images,
                 .least = 0};
  return batch;
}

// The image that each isolated one is. Its input and its residual are right to this relative difference.
std::set<std::int64_t> matched(const Batch& batch, const Isolated& found, double difference) {
  std::set<std::int64_t> images;
  for (std::int64_t i = 0; i < found.inputs.size(0); ++i) {
    const Tensor apart = (batch.inputs - found.inputs[i]).norm(2, 1) / batch.inputs.norm(2, 1);
    const auto image = apart.argmin().item<std::int64_t>();
    EXPECT_LT(apart[image].item<double>(), difference) << i;
    const Tensor residual = found.residuals[i], right = batch.residuals[image] * (residual != 0);
    EXPECT_GT(right.norm().item<double>(), 0.1 * batch.residuals[image].norm().item<double>()) << i;
    EXPECT_LT(((residual - right).norm() / right.norm()).item<double>(), difference) << i;
    images.insert(image);
  }
  EXPECT_EQ(static_cast<std::int64_t>(images.size()), found.inputs.size(0)) << "each image once";
  return images;
}

TEST(Isolate, FindsEveryImageOfABatch) {
  for (const std::int64_t images : {1, 2, 5, 12}) {
    for (const bool by_inputs : {true, false}) {
      SCOPED_TRACE(images);
      auto batch = batch_of(images);
      if (!by_inputs) batch.layer.least.reset();
      const auto found = isolate(batch.layer);
      EXPECT_EQ(found.visible, images);
      EXPECT_EQ(static_cast<std::int64_t>(matched(batch, found, 2e-5).size()), images);
    }
  }
}

// Float32 keeps 6e-8 of a sum, but units that are off in the large images have nothing to add to the small one's.
TEST(Isolate, FindsAnImageOfABillionthOfTheOthersSize) {
  const auto batch = batch_of(6, 1e-9);
  EXPECT_EQ(matched(batch, isolate(batch.layer), 1e-2).size(), 6u);
}

TEST(Isolate, FindsNothingWhereNoDerivativeVanishes) {
  const auto found = isolate(batch_of(6, 1, /*rectified=*/false).layer);
  EXPECT_EQ(found.visible, 6);
  EXPECT_EQ(found.inputs.size(0), 0);
  EXPECT_EQ(isolate(batch_of(6, 1e-9, /*rectified=*/false).layer).visible, 5);  // below the rounding of each sum
}

TEST(Isolate, FindsNothingInABatchAsLargeAsTheLayer) {
  EXPECT_EQ(isolate(batch_of(kIn + 1).layer).visible, 0);  // with the bias, of as many inputs
}

TEST(Isolate, TakesEqualInputsForOneImage) {
  auto batch = batch_of(4);
  batch.layer.batch = 5;
  const auto found = isolate(batch.layer);
  EXPECT_EQ(found.visible, 4);
  EXPECT_EQ(matched(batch, found, 2e-5).size(), 4u);
}

TEST(Isolate, DependsOnLayerAndSeedAlone) {
  const auto batch = batch_of(12);
  EXPECT_TRUE(torch::equal(isolate(batch.layer, 3).inputs, isolate(batch.layer, 3).inputs));
}

TEST(Isolate, RefusesWhatIsNoGradient) {
  const auto refused = [](auto change, const char* why) {
    auto layer = batch_of(2).layer;
    change(layer);
    core::expect_error([&] { (void)isolate(layer); }, core::ErrorKind::kInternal, why);
  };
  refused([](LinearLayer& l) { l.bias_gradient = l.bias_gradient.slice(0, 1); }, "shapes");
  refused([](LinearLayer& l) { l.weight_gradient[0][0] = std::numeric_limits<float>::infinity(); }, "infinite");
  refused([](LinearLayer& l) { l.batch = 0; }, "a batch of 0");
}

}  // namespace
}  // namespace pellucid::inversion
