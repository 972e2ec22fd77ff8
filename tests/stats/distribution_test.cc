#include "pellucid/stats/distribution.h"

#include "pellucid/core/config.h"

#include <gtest/gtest.h>

namespace pellucid::stats {
namespace {

const core::Json& golden() {
  static const core::Json document = core::read_json(PELLUCID_GOLDEN "/stats.json");
  return document;
}

TEST(Normal, QuantileMatchesScipy) {
  for (const auto& c : golden()["normal_quantile"]) {
    EXPECT_NEAR(normal_quantile(c["p"].get<double>()), c["z"].get<double>(), 1e-12) << c;
  }
}

TEST(Normal, CdfUndoesTheQuantile) {
  for (const double p : {1e-15, 0.1, 0.5, 0.77}) EXPECT_NEAR(normal_cdf(normal_quantile(p)) / p, 1, 1e-12) << p;
}

TEST(Beta, QuantileUndoesTheCdfOfScipy) {
  int seen = 0;
  for (const auto& c : golden()["beta_cdf"]) {
    const double p = c["p"], x = c["x"];
    if (p == 0 || 1 - p < 1e-6) continue;  // says nothing of x any more
    EXPECT_NEAR(beta_quantile(p, c["a"], c["b"]) / x, 1, 1e-11) << c;
    ++seen;
  }
  EXPECT_GE(seen, 10);
}

TEST(Beta, QuantileIsZeroAndOneAtTheEnds) {
  EXPECT_EQ(beta_quantile(0, 2, 3), 0);
  EXPECT_EQ(beta_quantile(1, 2, 3), 1);
}

}  // namespace
}  // namespace pellucid::stats
