#include "pellucid/inversion/optimisers.h"

#include "pellucid/core/tensor.h"

#include <gtest/gtest.h>
#include <torch/optim/lbfgs.h>

#include <algorithm>

namespace pellucid::inversion {
namespace {

const Optimiser& optimiser(const std::string& name) { return *std::ranges::find(optimisers(), name, &Optimiser::name); }

// A curved valley in each trial, (trials, n).
Tensor valley(const Tensor& x) {
  const Tensor a = x.slice(1, 0, -1), b = x.slice(1, 1);
  return (10 * (b - a.square()).square() + (1 - a).square()).sum(1);
}

Tensor gradient_at(const Tensor& x) {
  const Tensor leaf = x.detach().requires_grad_(true);
  return torch::autograd::grad({valley(leaf).sum()}, {leaf})[0];
}

// Where an optimiser is after each step.
std::vector<Tensor> path(const std::string& name, Tensor x, std::int64_t trials, int steps) {
  const auto step = optimiser(name).make(x, trials, std::vector<double>(static_cast<std::size_t>(steps), 1));
  std::vector<Tensor> points;
  for (int i = 0; i < steps; ++i) {
    step(x, gradient_at(x), torch::tensor({i}));
    points.push_back(x.clone());
  }
  return points;
}

// The same numbers as libtorch's own, whose closure sees every point.
TEST(Lbfgs, StepsAsLibtorchs) {
  const Tensor start = core::uniform(core::Stream(0, "start"), {1, 6}).to(torch::kFloat64);
  constexpr int kSteps = 120;  // more than the pairs that are kept
  const auto points = path("lbfgs", start.clone(), 1, kSteps);
  const Tensor x = start.clone().requires_grad_(true);
  torch::optim::LBFGS reference(
      {x}, torch::optim::LBFGSOptions(1).max_iter(kSteps).max_eval(kSteps + 1).tolerance_grad(0).tolerance_change(0));
  std::vector<Tensor> expected;
  reference.step([&] {
    expected.push_back(x.detach().clone());
    reference.zero_grad();
    const Tensor loss = valley(x).sum();
    loss.backward();
    return loss;
  });
  ASSERT_GT(expected.size(), 20u);
  for (std::size_t i = 1; i < std::min<std::size_t>(expected.size(), 40); ++i)
    EXPECT_LT((points[i - 1] - expected[i]).abs().max().item<double>(), 1e-6) << i;
  EXPECT_LT(valley(points.back()).item<double>(), 1e-12);
}

TEST(Lbfgs, StepsEachTrialAsAlone) {
  const Tensor start = core::uniform(core::Stream(1, "start"), {3, 6}).to(torch::kFloat64);
  const Tensor together = path("lbfgs", start.clone(), 3, 30).back();
  for (std::int64_t t = 0; t < 3; ++t) {
    const Tensor alone = path("lbfgs", start.slice(0, t, t + 1).clone(), 1, 30).back();
    EXPECT_TRUE(torch::equal(together.slice(0, t, t + 1), alone)) << t;
  }
}

TEST(Optimisers, EachSaysWhatItIs) {
  for (const auto& row : optimisers()) EXPECT_FALSE(row.summary.empty() || row.source.empty()) << row.name;
}

}  // namespace
}  // namespace pellucid::inversion
