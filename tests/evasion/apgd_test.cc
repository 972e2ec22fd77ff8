#include "pellucid/evasion/apgd.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/models.h"
#include <gtest/gtest.h>

namespace pellucid::evasion {
namespace {

TEST(ApgdCheckpoints, AreThoseOfThePaper) {
  EXPECT_EQ(core::Json(apgd_checkpoints(100)), tiny::golden()["checkpoints"]);
  EXPECT_EQ(apgd_checkpoints(10), (std::vector<std::int64_t>{2, 3, 4, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(apgd_checkpoints(1), (std::vector<std::int64_t>{1}));
}

TEST(Apgd, TakesTheStepSizesOfThePaper) {
  const Model model = model_of(tiny::golden_network());
  const Tensor images = tiny::golden_images(), labels = tiny::golden_labels(), noise = tiny::golden_noise();
  for (const auto& c : tiny::golden()["apgd"]) {
    const Norm norm = c["norm"] == "linf" ? Norm::kLinf : Norm::kL2;
    const Ball ball = tiny::ball(norm, c["epsilon"]);
    const Objective objective =
        c["objective"] == "cross_entropy" ? cross_entropy(labels) : dlr_towards(labels, torch::tensor({1, 2, 0}));
    const Tensor start = project(images + ball.epsilon.value * noise / per_image(lengths(noise, norm)), images, ball);
    const ApgdResult result = apgd(model, images, labels, objective, ball, {}, start);
    for (std::int64_t k = 0; k < 3; ++k) {
      EXPECT_LT(tiny::apart(result.step_sizes.select(1, k), c["runs"][k]["step_sizes"]), 1e-12)
          << c["norm"] << c["objective"] << k;
      EXPECT_NEAR(result.best[k].item<double>(), c["runs"][k]["best"].get<double>(), 1e-9)
          << c["norm"] << c["objective"] << k;
    }
  }
}

// Between two classes the cross-entropy falls with the margin, whose least value in the ball is known.
TEST(Apgd, ReachesTheOptimumOfALinearClassifier) {
  for (const Norm norm : {Norm::kLinf, Norm::kL2}) {
    const Tensor weight = core::normal(core::Stream(1, "weight"), {64}).to(torch::kFloat64);
    const Model model = tiny::linear_model(torch::stack({weight, -weight}) / 2, torch::zeros({2}, torch::kFloat64));
    const Tensor images = 0.4 + 0.2 * tiny::images(4).to(torch::kFloat64), labels = torch::tensor({0, 0, 1, 1});
    const Ball ball = tiny::ball(norm, norm == Norm::kLinf ? "0.25" : "0.5");
    const Tensor x = apgd_ce(model, images, labels, torch::arange(4), ball, {}, 0);
    const Tensor towards_0 = (images.flatten(1) * weight).sum(1) * torch::tensor({1, 1, -1, -1});
    const double reach = ball.epsilon.value * (norm == Norm::kLinf ? weight.abs().sum() : weight.norm()).item<double>();
    const Tensor optimum = towards_0 - reach;
    ASSERT_TRUE((optimum < 0).all().item<bool>());
    const ApgdResult all = apgd(model, images, labels, cross_entropy(labels), ball, {}, images);
    EXPECT_TRUE(torch::allclose(all.best, torch::log1p(torch::exp(-optimum)), 0, 1e-6)) << to_string(norm);
    EXPECT_TRUE(errs(model(x), labels).all().item<bool>());
  }
}

TEST(Apgd, ReturnsAPointThatErrsEvenIfAnotherIsHigher) {
  // The objective is the pixel; the model errs only where that is near 0.55, on the way up.
  const Model model = [](const Tensor& x) {
    const Tensor pixel = x.flatten(1).select(1, 0);
    return torch::stack({torch::full_like(pixel, 10), 10.05 - (pixel - 0.55).abs(), pixel}, 1);
  };
  const Objective brightness = [](const Tensor& logits) { return logits.select(1, 2); };
  const Tensor images = torch::full({1, 1, 1, 1}, 0.45), labels = torch::zeros({1}, torch::kInt64);
  const ApgdResult result = apgd(model, images, labels, brightness, tiny::ball(Norm::kLinf, "0.5"), {.iterations = 1},
                                 torch::full_like(images, 0.55));
  EXPECT_FLOAT_EQ(result.x.item<float>(), 0.55);
  EXPECT_GT(result.best.item<float>(), 0.9);
}

// One pixel, the objective -|x - 0.5|, steps of 0.8 from 0.45 in [0.05, 0.85]: to the border at 0.85, with momentum
// back to 0.85 - 0.6 + 0.1 = 0.35. One step of two has risen, fewer than 3 of 4: the step is halved, and the next one
// is taken from the best point, 0.45, with the momentum of the path: 0.45 + 0.75 * 0.4 + 0.25 * (0.45 - 0.85) = 0.65.
TEST(Apgd, GoesOnFromTheBestPointWhenItHalvesTheStep) {
  std::vector<float> asked;
  const Model model = [&](const Tensor& x) {
    asked.push_back(x.item<float>());
    return torch::stack({x.flatten(), -(x.flatten() - 0.5).abs()}, 1);
  };
  const Objective height = [](const Tensor& logits) { return logits.select(1, 1); };
  const Tensor image = torch::full({1, 1, 1, 1}, 0.45);
  (void)apgd(model, image, torch::zeros({1}, torch::kInt64), height, tiny::ball(Norm::kLinf, "0.4"), {.iterations = 10},
             image);
  ASSERT_GE(asked.size(), 4u);
  const float expected[] = {0.45f, 0.85f, 0.35f, 0.65f};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(asked[i], expected[i], 1e-6) << i;
}

TEST(ApgdStart, LiesOnTheSurfaceAndDependsOnIdAlone) {
  const Tensor images = torch::full({3, 1, 8, 8}, 0.5), ids = torch::tensor({4, 7, 9});
  for (const Norm norm : {Norm::kLinf, Norm::kL2}) {
    const Tensor start = apgd_start(images, ids, tiny::ball(norm, "0.3"), 1, "p");
    EXPECT_TRUE(torch::allclose(lengths(start - images, norm), torch::full({3}, 0.3), 0, 1e-5));
    EXPECT_TRUE(torch::equal(apgd_start(images.slice(0, 1, 2), ids.slice(0, 1, 2), tiny::ball(norm, "0.3"), 1, "p")[0],
                             start[1]));
    EXPECT_FALSE(torch::equal(start[0], start[1]));
  }
}

TEST(ApgdT, BreaksTowardsLaterTargetsToo) {
  // The likeliest wrong class cannot be reached within the ball, the second can.
  Tensor weight = torch::zeros({5, 8});
  weight[2][0] = 2;
  const Model model = tiny::linear_model(weight, torch::tensor({1.0, 0.9, -0.58, -3.0, -4.0}));
  const Tensor images = torch::full({1, 1, 1, 8}, 0.5f), labels = torch::zeros({1}, torch::kInt64),
               ids = torch::zeros({1}, torch::kInt64);
  const Ball ball = tiny::ball(Norm::kLinf, "0.3");
  TargetedApgdOptions options;
  options.iterations = 20;
  options.targets = 1;
  EXPECT_FALSE(errs(model(apgd_t(model, images, labels, ids, ball, options, 0)), labels).item<bool>());
  options.targets = 9;
  EXPECT_TRUE(errs(model(apgd_t(model, images, labels, ids, ball, options, 0)), labels).item<bool>());
}

TEST(ApgdT, NeedsFourClasses) {
  const Tensor images = tiny::images(2).to(torch::kFloat64);
  core::expect_error(
      [&] {
        (void)apgd_t(tiny::random_linear(3), images, torch::zeros({2}, torch::kInt64), torch::arange(2),
                     tiny::ball(Norm::kLinf, "0.1"), {}, 0);
      },
      core::ErrorKind::kUsage, "got 3 classes, expected at least 4");
}

}  // namespace
}  // namespace pellucid::evasion
