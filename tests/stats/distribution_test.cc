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

TEST(Beta, CdfMatchesScipy) {
  for (const auto& c : golden()["beta_cdf"]) {
    EXPECT_NEAR(beta_cdf(c["x"].get<double>(), c["a"].get<double>(), c["b"].get<double>()), c["p"].get<double>(), 1e-10)
        << c;
  }
}

TEST(Beta, CdfIsZeroAndOneAtTheEnds) {
  EXPECT_EQ(beta_cdf(0, 2, 3), 0);
  EXPECT_EQ(beta_cdf(1, 2, 3), 1);
}

TEST(Beta, QuantileUndoesTheCdf) {
  for (const double x : {0.001, 0.3, 0.6, 0.9}) EXPECT_NEAR(beta_quantile(beta_cdf(x, 3, 2), 3, 2), x, 1e-12) << x;
}

}  // namespace
}  // namespace pellucid::stats
