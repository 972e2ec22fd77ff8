// Adam, for all who descend: trainings and attacks.
#pragma once

#include "pellucid/core/torch.h"

namespace pellucid::core {

/// One step of Adam, in place, equal to PyTorch's; to be called without gradients (`torch::NoGradGuard`).
/// @param first, second the moments, of the parameter's shape; zeros before the first step.
/// @param steps the steps so far, this one included.
///
/// Source: Kingma and Ba 2015, algorithm 1, with their beta .9 and .999 and epsilon 1e-8.
void adam_step(Tensor parameter, const Tensor& gradient, Tensor first, Tensor second, std::int64_t steps,
               double learning_rate);

}  // namespace pellucid::core
