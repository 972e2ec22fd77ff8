#include "pellucid/sharing/confidence.h"

#include "tests/evasion/tiny.h"
#include <gtest/gtest.h>

namespace pellucid::sharing {
namespace {

Confidence of(const std::vector<float>& logits, std::int64_t label) {
  return confidence(tiny::constant_logits(logits), tiny::images(1), torch::tensor({label})).front();
}

TEST(Confidence, IsTheMarginAndTheSoftmaxOfTheTrueClass) {
  const auto right = of({1, 3, 0, 2}, 1);
  EXPECT_DOUBLE_EQ(right.margin, 1);
  EXPECT_DOUBLE_EQ(right.p_true, 1 / (1 + std::exp(-2.0) + std::exp(-3.0) + std::exp(-1.0)));
  const auto wrong = of({1, 3, 0, 2}, 0);
  EXPECT_DOUBLE_EQ(wrong.margin, -2);
  EXPECT_DOUBLE_EQ(wrong.p_true, 1 / (1 + std::exp(2.0) + std::exp(-1.0) + std::exp(1.0)));
}

TEST(Confidence, IsExactWhereFloat32IsNot) {
  const auto sure = of({30, 0, 0, 0}, 0);
  EXPECT_EQ(sure.margin, 30);
  EXPECT_NEAR(1 - sure.p_true, 3 * std::exp(-30.0), 2e-16);
  EXPECT_LT(sure.p_true, 1);
  const auto mistaken = of({-40, 0}, 0);
  EXPECT_NEAR(mistaken.p_true / std::exp(-40.0), 1, 1e-12);
}

TEST(Confidence, IsOfEachImageOfTheBatch) {
  const nets::Network network = tiny::balanced_lenet();
  const Tensor images = tiny::images(3), labels = torch::tensor({2, 0, 1});
  const auto all = confidence(network, images, labels);
  ASSERT_EQ(all.size(), 3u);
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto one = confidence(network, images.slice(0, i, i + 1), labels.slice(0, i, i + 1)).front();
    EXPECT_NEAR(all[i].margin, one.margin, 1e-12);
    EXPECT_NEAR(all[i].p_true, one.p_true, 1e-12);
  }
}

TEST(RoundingMargin, IsTheLogarithmOfTheSignificandsRange) { EXPECT_DOUBLE_EQ(kRoundingMargin, 24 * std::log(2.0)); }

}  // namespace
}  // namespace pellucid::sharing
