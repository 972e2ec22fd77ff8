#include "pellucid/training/optimiser.h"

#include <cmath>

namespace pellucid::training {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

}  // namespace

void step(const TrainingOptions& options, double learning_rate, const std::vector<Tensor>& parameters,
          const std::vector<Tensor>& gradients, OptimiserState& state) {
  const torch::NoGradGuard no_gradient;
  const bool adam = options.optimiser == Optimiser::kAdam;
  if (state.first.empty()) {
    for (const auto& parameter : parameters) {
      state.first.push_back(torch::zeros_like(parameter));
      if (adam) state.second.push_back(torch::zeros_like(parameter));
    }
  }
  ++state.steps;
  const double bias1 = 1 - std::pow(kBeta1, static_cast<double>(state.steps));
  const double bias2 = 1 - std::pow(kBeta2, static_cast<double>(state.steps));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Tensor parameter = parameters[i];
    Tensor gradient = gradients[i];
    if (options.weight_decay != 0) gradient = gradient + options.weight_decay * parameter;
    if (adam) {
      state.first[i].mul_(kBeta1).add_(gradient, 1 - kBeta1);
      state.second[i].mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
      const Tensor denominator = (state.second[i].sqrt() / std::sqrt(bias2)).add_(kEpsilon);
      parameter.addcdiv_(state.first[i], denominator, -learning_rate / bias1);
    } else {
      state.first[i].mul_(options.momentum).add_(gradient);
      parameter.add_(options.nesterov ? gradient + options.momentum * state.first[i] : state.first[i], -learning_rate);
    }
  }
}

}  // namespace pellucid::training
