#include "pellucid/inversion/optimisers.h"

#include <cmath>

namespace pellucid::inversion {
namespace {

Tensor on_device(const std::vector<double>& values, const Tensor& z) {
  return torch::tensor(values, torch::kFloat64).to(z.options());
}

Step adam(const Tensor& z, const std::vector<double>& learning_rates) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  std::vector<double> rates, roots;  // of each iteration: the rate, and the second moment's correction
  for (std::size_t i = 0; i < learning_rates.size(); ++i) {
    const auto step = static_cast<double>(i + 1);
    rates.push_back(-learning_rates[i] / (1 - std::pow(kBeta1, step)));
    roots.push_back(std::sqrt(1 - std::pow(kBeta2, step)));
  }
  return [rates = on_device(rates, z), roots = on_device(roots, z), first = torch::zeros_like(z),
          second = torch::zeros_like(z)](Tensor& at, const Tensor& gradient, const Tensor& iteration) {
    first.mul_(kBeta1).add_(gradient, 1 - kBeta1);
    second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
    const Tensor rate = rates.index_select(0, iteration), root = roots.index_select(0, iteration);
    at.add_(first * rate / (second.sqrt() / root).add_(kEpsilon));
  };
}

Step sgd(const Tensor& z, const std::vector<double>& learning_rates) {
  return [rates = on_device(learning_rates, z)](Tensor& at, const Tensor& gradient, const Tensor& iteration) {
    at.sub_(gradient * rates.index_select(0, iteration));
  };
}

}  // namespace

const std::vector<Optimiser>& optimisers() {
  static const std::vector<Optimiser> rows = {
      {"adam", "beta .9 and .999, epsilon 1e-8", "Kingma and Ba 2015, arXiv:1412.6980", adam},
      {"sgd", "the gradient times the learning rate", "Robbins and Monro 1951", sgd},
  };
  return rows;
}

}  // namespace pellucid::inversion
