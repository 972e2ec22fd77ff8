#include "pellucid/metrics/feature.h"

#include "pellucid/metrics/shape.h"

namespace pellucid::metrics {

double fmse(const Tensor& features_a, const Tensor& features_b) {
  check_same_shape(features_a, features_b);
  return (features_a.detach().to(torch::kFloat64) - features_b.detach().to(torch::kFloat64))
      .square()
      .mean()
      .item<double>();
}

}  // namespace pellucid::metrics
