#include "pellucid/evasion/ball.h"

#include "pellucid/evasion/judge.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/models.h"
#include <rapidcheck/gtest.h>

namespace pellucid::evasion {
namespace {

struct Drawn {
  Tensor images, points;
  Ball ball;
};

Drawn draw() {
  const auto seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
  const Norm norm = *rc::gen::element(Norm::kLinf, Norm::kL2);
  const Ball ball = tiny::ball(norm, fmt::format("{}/100", *rc::gen::inRange(0, norm == Norm::kLinf ? 60 : 300)));
  const Tensor images = tiny::images(3, seed);
  const double reach = *rc::gen::element(0.01, 0.3, 5.0);
  return {images, images + reach * core::normal(core::Stream(seed, "points"), images.sizes()), ball};
}

RC_GTEST_PROP(Project, EndsInTheBallAndInThePixelsRange, ()) {
  const Drawn d = draw();
  const Tensor x = project(d.points, d.images, d.ball);
  RC_ASSERT(lengths(x - d.images, d.ball.norm).max().item<double>() <= d.ball.epsilon.value + 1e-6);
  RC_ASSERT(x.min().item<float>() >= 0 && x.max().item<float>() <= 1);
}

RC_GTEST_PROP(Project, IsIdempotent, ()) {
  const Drawn d = draw();
  const Tensor once = project(d.points, d.images, d.ball);
  RC_ASSERT((project(once, d.images, d.ball) - once).abs().max().item<double>() < 1e-6);
}

TEST(Project, LeavesWhatIsInsideAndShortensWhatIsNot) {
  const Tensor images = torch::full({1, 1, 1, 2}, 0.5), far = torch::tensor({0.8, 0.9}).view({1, 1, 1, 2});
  EXPECT_TRUE(torch::equal(project(far, images, tiny::ball(Norm::kLinf, "0.45")), far));
  EXPECT_TRUE(torch::allclose(project(far, images, tiny::ball(Norm::kLinf, "0.3")), torch::tensor({0.8, 0.8})));
  EXPECT_TRUE(torch::allclose(project(far, images, tiny::ball(Norm::kL2, "0.6")), far));
  EXPECT_TRUE(torch::allclose(project(far, images, tiny::ball(Norm::kL2, "0.25")), torch::tensor({0.65, 0.7})));
}

TEST(Project, RefusesABallWiderThanThePixels) {
  const Tensor images = tiny::images(1);
  core::expect_error([&] { (void)project(images, images, tiny::ball(Norm::kLinf, "8")); }, core::ErrorKind::kUsage,
                     "is 8/255 meant?");
  (void)project(images, images, tiny::ball(Norm::kL2, "8"));
}

TEST(Ascent, IsTheSignOrTheUnitVector) {
  const Tensor gradient = torch::tensor({3.0, -4.0, 0.0, 0.0}).view({2, 1, 1, 2});
  EXPECT_TRUE(torch::allclose(ascent(gradient, Norm::kLinf).flatten(), torch::tensor({1.0, -1.0, 0.0, 0.0})));
  EXPECT_TRUE(torch::allclose(ascent(gradient, Norm::kL2).flatten(), torch::tensor({0.6, -0.8, 0.0, 0.0})));
}

TEST(InsideOrImage, KeepsOnlyPointsOfTheBall) {
  const Tensor images = torch::full({2, 1, 1, 1}, 0.5), points = torch::tensor({0.6f, 0.9f}).view({2, 1, 1, 1});
  EXPECT_TRUE(torch::allclose(inside_or_image(points, images, tiny::ball(Norm::kLinf, "0.2")).flatten(),
                              torch::tensor({0.6f, 0.5f})));
}

// Errs on images whose first pixel is brighter than a threshold, if their label is 0.
Model brighter_than(double threshold) {
  return [threshold](const Tensor& x) {
    const Tensor over = x.flatten(1).select(1, 0) - threshold;
    return torch::stack({-over, over}, 1);
  };
}

TEST(Judge, TakesPointsBackAndAsksAgain) {
  const Tensor images = torch::zeros({3, 1, 2, 2}), labels = torch::zeros({3}, torch::kInt64);
  Tensor points = images.clone();
  points[0][0][0][0] = 0.9;   // breaks the image, but from outside the ball
  points[1][0][0][0] = 0.25;  // breaks it
  points[2][0][0][0] = std::numeric_limits<float>::quiet_NaN();
  const Judged judged = judge(brighter_than(0.22), points, images, labels, tiny::ball(Norm::kLinf, "0.3"));
  EXPECT_TRUE(torch::equal(judged.corrected, torch::tensor({true, false, true})));
  EXPECT_TRUE(torch::equal(judged.broken, torch::tensor({true, true, false})));
  EXPECT_TRUE(torch::allclose(judged.distance, torch::tensor({0.3f, 0.25f, 0.f})));
  const Judged narrow = judge(brighter_than(0.5), points, images, labels, tiny::ball(Norm::kLinf, "0.3"));
  EXPECT_FALSE(narrow.broken.any().item<bool>()) << "only the point outside the ball was adversarial";
}

TEST(Judge, SaysWhatRoundingMends) {
  const Tensor images = torch::full({1, 1, 2, 2}, 100.0 / 255), labels = torch::zeros({1}, torch::kInt64);
  const Judged judged =
      judge(brighter_than(100.2 / 255), images + 0.3 / 255, images, labels, tiny::ball(Norm::kLinf, "0.1"));
  EXPECT_TRUE(judged.broken[0].item<bool>());
  EXPECT_FALSE(judged.broken_8bit[0].item<bool>());
  EXPECT_TRUE(torch::equal(judged.x_8bit, images));
}

RC_GTEST_PROP(Judge, RoundsToLevelsInsideTheBall, ()) {
  Drawn d = draw();
  d.images = (d.images * 255).round() / 255;
  const Judged judged = judge(brighter_than(0.5), d.points, d.images, torch::zeros({3}, torch::kInt64), d.ball);
  const Tensor levels = judged.x_8bit * 255;
  RC_ASSERT((levels - levels.round()).abs().max().item<double>() < 1e-3);
  RC_ASSERT(lengths(judged.x_8bit - d.images, d.ball.norm).max().item<double>() <= d.ball.epsilon.value + 1e-5);
  const double apart = (judged.x_8bit - judged.x).abs().max().item<double>();
  RC_ASSERT(apart <= 1.0 / 255 + 1e-5);
}

}  // namespace
}  // namespace pellucid::evasion
