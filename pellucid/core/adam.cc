#include "pellucid/core/adam.h"

#include <cmath>

namespace pellucid::core {

void adam_step(Tensor parameter, const Tensor& gradient, Tensor first, Tensor second, std::int64_t steps,
               double learning_rate) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  const double bias1 = 1 - std::pow(kBeta1, static_cast<double>(steps));
  const double bias2 = 1 - std::pow(kBeta2, static_cast<double>(steps));
  first.mul_(kBeta1).add_(gradient, 1 - kBeta1);
  second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
  const Tensor denominator = (second.sqrt() / std::sqrt(bias2)).add_(kEpsilon);
  parameter.addcdiv_(first, denominator, -learning_rate / bias1);
}

}  // namespace pellucid::core
