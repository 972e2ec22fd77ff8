#include "pellucid/metrics/assignment.h"

#include "pellucid/core/memory.h"
#include "pellucid/core/tensor.h"

#include "tests/core/expect_error.h"

#include <algorithm>
#include <numeric>

namespace pellucid::metrics {
namespace {

double total(const Tensor& costs, const std::vector<std::int64_t>& columns) {
  double sum = 0;
  for (std::size_t i = 0; i < columns.size(); ++i)
    sum += costs[static_cast<std::int64_t>(i)][columns[i]].item<double>();
  return sum;
}

TEST(Assign, IsTheBestOfAllPermutations) {
  for (std::int64_t n = 1; n <= 6; ++n) {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
      Tensor costs = core::uniform(core::Stream(seed, "costs"), {n, n}).to(torch::kFloat64);
      if (seed % 3 == 0) costs = (costs * 4).floor();  // with ties
      if (seed % 3 == 1) costs = costs - 0.5;          // below zero
      std::vector<std::int64_t> order(static_cast<std::size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      double best = total(costs, order);
      while (std::next_permutation(order.begin(), order.end())) best = std::min(best, total(costs, order));
      auto columns = assign(costs);
      EXPECT_NEAR(total(costs, columns), best, 1e-12) << costs;
      std::sort(columns.begin(), columns.end());
      for (std::size_t i = 0; i < columns.size(); ++i)
        EXPECT_EQ(columns[i], static_cast<std::int64_t>(i)) << "each column once";
    }
  }
}

TEST(Assign, FindsALargePermutationAgain) {
  const auto order = core::permutation(core::Stream(0, "order"), 300);
  Tensor costs = core::uniform(core::Stream(0, "costs"), {300, 300}).to(torch::kFloat64) + 0.1;
  for (std::size_t i = 0; i < order.size(); ++i) costs[static_cast<std::int64_t>(i)][order[i]] = 0.0;
  EXPECT_EQ(assign(costs), order);
}

TEST(Assign, RefusesWhatIsNoCosts) {
  const auto refused = [](const Tensor& costs) {
    core::expect_error([&] { (void)assign(costs); }, core::ErrorKind::kInternal, "expected finite float64 (n,n)");
  };
  refused(torch::zeros({2, 3}, torch::kFloat64));
  refused(torch::zeros({2, 2}));
  refused(torch::full({1, 1}, std::nan(""), torch::kFloat64));
}

TEST(Match, FindsEachImageItsOriginal) {
  const Tensor originals = core::uniform(core::Stream(0, "images"), {4, 1, 3, 3});
  const Tensor shuffled = originals.index_select(0, torch::tensor({2, 0, 3, 1})) + 0.01;
  EXPECT_EQ(match(shuffled, originals), (std::vector<std::int64_t>{2, 0, 3, 1}));
}

// Both reconstructions are nearest to original 0; only one may have it.
TEST(Match, GivesNoOriginalAwayTwice) {
  const Tensor originals = torch::tensor({0.5, 0.0}).view({2, 1, 1, 1}),
               reconstructions = torch::tensor({0.5, 0.4}).view({2, 1, 1, 1});
  EXPECT_EQ(match(reconstructions, originals), (std::vector<std::int64_t>{0, 1}));
}

TEST(Match, AsksForMemory) {
  const Tensor images = torch::zeros({100, 1, 1, 1});
  core::set_memory_budget(50'000);
  core::expect_error([&] { (void)match(images, images); }, core::ErrorKind::kData, "needs 78.1 KiB");
  core::set_memory_budget(0);
  core::expect_error([&] { (void)match(images, images.slice(0, 1)); }, core::ErrorKind::kInternal, "equal shapes");
}

}  // namespace
}  // namespace pellucid::metrics
