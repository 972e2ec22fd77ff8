#include "pellucid/training/losses.h"

#include "pellucid/core/config.h"

#include "tests/evasion/tiny.h"
#include <gtest/gtest.h>

namespace pellucid::training {
namespace {

using PerImage = Tensor (*)(const Tensor&, const Tensor&, const Tensor&, double);

void expect_golden(const char* name, PerImage loss) {
  const core::Json golden = core::read_json(PELLUCID_GOLDEN "/training.json")["losses"][name];
  const auto numbers = [](const core::Json& json) {
    return torch::tensor(json.get<std::vector<double>>(), torch::kFloat64);
  };
  const Tensor clean = tiny::formula({6, 4}, 1, 3).requires_grad_(true),
               moved = tiny::formula({6, 4}, 2, 3).requires_grad_(true);
  const Tensor values = loss(clean, moved, torch::tensor({0, 1, 2, 3, 0, 1}), 6);
  EXPECT_LT((values.detach() - numbers(golden["loss"])).abs().max().item<double>(), 1e-12) << name;
  const auto gradients = torch::autograd::grad({values.sum()}, {clean, moved});
  for (int i = 0; i < 2; ++i) {
    EXPECT_LT((gradients[i].flatten() - numbers(golden["gradients"][i])).abs().max().item<double>(), 1e-11)
        << name << " by logits " << i;
  }
}

TEST(Trades, IsWhatPyTorchComputes) { expect_golden("trades", trades); }
TEST(Mart, IsWhatPyTorchComputes) { expect_golden("mart", mart); }

TEST(Mart, IsFiniteWhereAProbabilityIsZero) {
  const Tensor clean = torch::tensor({{200.0, 0.0, 0.0}}, torch::kFloat64).requires_grad_(true);
  const Tensor moved = torch::tensor({{0.0, 900.0, 0.0}}, torch::kFloat64).requires_grad_(true);
  const Tensor loss = mart(clean, moved, torch::tensor({0}), 6).sum();
  const auto gradients = torch::autograd::grad({loss}, {clean, moved});
  EXPECT_TRUE(loss.isfinite().item<bool>());
  EXPECT_TRUE(gradients[0].isfinite().all().item<bool>());
  EXPECT_TRUE(gradients[1].isfinite().all().item<bool>());
}

TEST(Divergence, IsZeroBetweenEqualAnswersAndPositiveElse) {
  const Tensor a = tiny::formula({5, 4}, 1, 3), b = tiny::formula({5, 4}, 2, 3);
  EXPECT_LT(divergence(a, a + 7).abs().max().item<double>(), 1e-14) << "a shift of the logits changes no probability";
  EXPECT_GT(divergence(a, b).min().item<double>(), 0);
}

}  // namespace
}  // namespace pellucid::training
