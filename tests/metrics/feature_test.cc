#include "pellucid/metrics/feature.h"

#include "pellucid/core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::metrics {
namespace {

void expect_refusal(const Tensor& a, const Tensor& b, const std::string& message) {
  try {
    (void)fmse(a, b);
    ADD_FAILURE() << "no error, expected: " << message;
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), core::ErrorKind::kInternal);
    EXPECT_THAT(error.what(), testing::HasSubstr(message));
  }
}

TEST(Fmse, IsTheMeanOfTheSquaredDifferences) {
  const Tensor a = torch::tensor({1.0, 2.0, 3.0, 4.0}), b = torch::tensor({1.0, 0.0, 3.0, 8.0});
  EXPECT_DOUBLE_EQ(fmse(a, b), (4.0 + 16.0) / 4);
  EXPECT_EQ(fmse(a, b), fmse(b, a));
  EXPECT_EQ(fmse(a, a), 0);
}

TEST(Fmse, SquaresInDoublePrecision) {
  const Tensor a = torch::full({2}, 3e30, torch::kFloat32);
  EXPECT_NEAR(fmse(a, torch::zeros({2})) / 9e60, 1, 1e-6);  // infinite in float32
}

TEST(Fmse, AcceptsTensorsThatCarryGradients) {
  EXPECT_EQ(fmse(torch::ones({3}).requires_grad_(), torch::zeros({3})), 1);
}

TEST(Fmse, RefusesShapesThatDiffer) {
  expect_refusal(torch::zeros({10}), torch::zeros({1, 10}), "got shapes (10) and (1,10)");
}

TEST(Fmse, RefusesNoValues) { expect_refusal(torch::zeros({0}), torch::zeros({0}), "at least one value"); }

}  // namespace
}  // namespace pellucid::metrics
