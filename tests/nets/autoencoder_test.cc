#include "pellucid/nets/autoencoder.h"

#include "pellucid/nets/zoo.h"

#include "tests/core/expect_error.h"

namespace pellucid::nets {
namespace {

TEST(ReconstructionErrors, AreMeanSquaredDifferences) {
  const Tensor images = torch::tensor({0.0, 0.5, 1.0, 0.25, 0.0, 0.0, 0.0, 0.0}, torch::kFloat64).view({2, 1, 2, 2});
  const Tensor outputs = torch::tensor({{0.5, 0.5, 0.0, 0.25}, {1.0, 2.0, 0.0, -1.0}}, torch::kFloat64);
  const Tensor errors = reconstruction_errors(outputs, images);
  EXPECT_TRUE(torch::allclose(errors, torch::tensor({1.25 / 4, 6.0 / 4}, torch::kFloat64)));
}

TEST(RequireAutoencoder, TakesAnyNetworkWithAnOutputForEachPixel) {
  EXPECT_NO_THROW(require_autoencoder(build(usual_spec("autoencoder"))));
  EXPECT_NO_THROW(require_autoencoder(build({.net = "lenet", .input = {3, 8, 8}, .classes = 192})));
  core::expect_error(
      [] {
        require_autoencoder(build({.net = "lenet", .input = {3, 8, 8}}));
      },
      core::ErrorKind::kUsage, "lenet: outputs: got [10], expected [192], one for each value of a 3 x 8 x 8 image");
}

}  // namespace
}  // namespace pellucid::nets
