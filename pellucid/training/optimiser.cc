#include "pellucid/training/optimiser.h"

#include "pellucid/core/adam.h"

namespace pellucid::training {

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
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& parameter = parameters[i];
    Tensor gradient = gradients[i];
    if (options.weight_decay != 0) gradient = gradient + options.weight_decay * parameter;
    if (adam) {
      core::adam_step(parameter, gradient, state.first[i], state.second[i], state.steps, learning_rate);
    } else {
      state.first[i].mul_(options.momentum).add_(gradient);
      parameter.add_(options.nesterov ? gradient + options.momentum * state.first[i] : state.first[i], -learning_rate);
    }
  }
}

}  // namespace pellucid::training
