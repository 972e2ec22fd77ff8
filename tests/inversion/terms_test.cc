// The terms against autograd and against what they say of images that are known.
#include "pellucid/inversion/terms.h"

#include "pellucid/core/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace pellucid::inversion {
namespace {

Units units_of(std::int64_t channels, bool normalised) {
  nets::Spec spec{.net = "any", .input = {channels, 5, 6}, .classes = 2};
  for (std::int64_t c = 0; normalised && c < channels; ++c) {
    spec.mean.push_back(0.4);
    spec.deviation.push_back(0.2 + 0.1 * static_cast<double>(c));
  }
  return Units(spec, torch::kFloat64);
}

// Those that look at an image alone.
std::vector<TermEntry> own_terms() {
  std::vector<TermEntry> rows;
  for (const auto& row : terms()) {
    if (row.uses.empty() && !row.compares_restarts) rows.push_back(row);
  }
  return rows;
}

Evaluated of(const std::string& name, const Units& units, const Tensor& z, std::int64_t trials, double weight) {
  const auto& row = *std::ranges::find(terms(), name, &TermEntry::name);
  return evaluate(row.make(Problem{}, units, weight),
                  {.trials = trials, .pixels = units.to_pixels(z), .standardised = z});
}

TEST(Terms, HaveTheGradientOfFiniteDifferences) {
  constexpr double kStep = 1e-6;
  for (const auto& row : own_terms()) {
    for (const std::int64_t channels : {1, 2, 3, 4}) {
      const Units units = units_of(channels, channels > 1);
      const Tensor z = core::normal(core::Stream(0, "candidate"), {4, channels, 5, 6}).to(torch::kFloat64);
      const auto at = [&](const Tensor& x) { return of(row.name, units, x, 2, 0.7); };
      const Tensor direction = core::normal(core::Stream(0, "direction"), z.sizes()).to(torch::kFloat64);
      const Tensor slopes = (at(z + kStep * direction).losses - at(z - kStep * direction).losses) / (2 * kStep);
      const Tensor along = (at(z).gradient * direction).reshape({2, -1}).sum(1);
      EXPECT_TRUE(torch::allclose(along, slopes, 1e-5, 1e-9)) << row.name << ", " << channels << " channels";
      EXPECT_GT(slopes.abs().min().item<double>(), 0) << row.name;
    }
  }
}

TEST(Terms, AreMeansOverATrialsBatch) {
  for (const auto& row : own_terms()) {
    const Units units = units_of(3, false);
    const Tensor z = core::normal(core::Stream(0, "candidate"), {1, 3, 5, 6}).to(torch::kFloat64);
    const Tensor one = of(row.name, units, z, 1, 1).losses;
    EXPECT_TRUE(torch::allclose(of(row.name, units, z.repeat({6, 1, 1, 1}), 3, 1).losses, one.repeat({3}))) << row.name;
  }
}

TEST(Terms, MeasureWhatTheySay) {
  const Units units = units_of(3, false);
  Tensor edge = torch::zeros({1, 3, 5, 6}, torch::kFloat64);  // one step of 2 down the middle of each row
  edge.slice(3, 3).fill_(2);
  const auto loss = [&](const char* name, const Tensor& z) { return of(name, units, z, 1, 1).losses.item<double>(); };
  EXPECT_NEAR(loss("tv", edge), 2.0 / 5, 1e-12) << "one of the five differences in a row";
  EXPECT_NEAR(loss("l2", edge), 0.5 * 4 / 2, 1e-12);
  EXPECT_NEAR(loss("opponent_tv", edge), 2.0 / 6 / 2, 1e-7) << "half of the planes are differences, which are flat";
  Tensor red = edge.clone();
  red.slice(1, 1).zero_();
  EXPECT_NEAR(loss("opponent_tv", red), 2.0 / 6 / 2, 1e-7) << "one of three channels, two of three differences";
  Tensor corner = torch::zeros({1, 1, 5, 6}, torch::kFloat64);
  corner[0][0][2][3] = 3;
  EXPECT_NEAR(of("opponent_tv", units_of(1, false), corner, 1, 1).losses.item<double>(), 3 * (2 + std::sqrt(2)) / 30,
              1e-7);
}

TEST(Terms, HaveAGradientWhereImagesAreFlat) {
  const Tensor flat = torch::full({1, 3, 5, 6}, 0.25);
  for (const auto& row : own_terms()) {
    const Units units(nets::Spec{.net = "any", .input = {3, 5, 6}, .classes = 2});
    EXPECT_TRUE(torch::isfinite(of(row.name, units, flat, 1, 1).gradient).all().item<bool>()) << row.name;
  }
}

}  // namespace
}  // namespace pellucid::inversion
