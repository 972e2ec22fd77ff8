#include "pellucid/sharing/dominance.h"

#include "pellucid/sharing/update.h"

#include "tests/evasion/tiny.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pellucid::sharing {
namespace {

TEST(Dominance, IsTheLargestNormOverTheOthers) {
  const auto network = tiny::network(tiny::spec());
  const Tensor images = tiny::images(3), labels = tiny::labels(3);
  const auto found = dominance(network, images, labels);
  double least = 1e9;  // of the layers' own, by gradients of one image each
  for (const auto& [name, weight] : network.state) {
    if (weight.dim() < 2) continue;
    std::vector<double> norms;
    for (std::int64_t i = 0; i < 3; ++i) {
      const auto one = compute_update(network, images.narrow(0, i, 1), labels.narrow(0, i, 1));
      norms.push_back(one.gradient.at(name).norm().item<double>());
    }
    const double sum = std::accumulate(norms.begin(), norms.end(), 0.0), most = std::ranges::max(norms);
    EXPECT_LE(most / (sum - most), found.ratio + 1e-5) << name;
    least = std::min(least, std::abs(most / (sum - most) - found.ratio));
    if (name == found.layer + ".weight") {
      for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(found.share[i], norms[i] / sum, 1e-5);
    }
  }
  EXPECT_LT(least, 1e-5);
}

// A network that is sure of all images but one.
TEST(Dominance, FindsTheImageThatTheOthersDoNotHide) {
  auto network = tiny::balanced_lenet();
  const Tensor images = tiny::images(8), logits = nets::logits(network, images);
  Tensor labels = logits.argmax(1);
  labels[5] = logits[5].argmin();
  const double honest = dominance(network, images, labels).ratio;
  const auto found = dominance(tiny::sharpened(network, 300), images, labels);
  EXPECT_LT(honest, 1);
  EXPECT_GT(found.ratio, 1);
  EXPECT_GT(found.share[5], 0.5);
}

TEST(Dominance, OfOneImageIsAll) {
  const auto found = dominance(tiny::network(tiny::spec()), tiny::images(1), tiny::labels(1));
  EXPECT_TRUE(std::isinf(found.ratio));
  EXPECT_EQ(found.share, std::vector<double>{1});
}

}  // namespace
}  // namespace pellucid::sharing
