// One step of SGD or Adam, equal to PyTorch's.
#pragma once

#include "pellucid/training/options.h"

namespace pellucid::training {

/// What an optimiser remembers: tensors beside each parameter, in the parameters' order.
///
/// libtorch's own optimisers keep this inside, keyed by address and not by name; ours is a value, so that a checkpoint
/// is a safetensors file and a resumed run has the same bits.
struct OptimiserState {
  std::int64_t steps = 0;
  std::vector<Tensor> first;   ///< SGD: the momentum buffers; Adam: the first moments. Empty before the first step.
  std::vector<Tensor> second;  ///< Adam: the second moments; SGD: empty
};

/// Moves the parameters along the gradients, in place.
///
/// Sources: SGD as in torch.optim.SGD (Sutskever et al. 2013, with PyTorch's placement of the learning rate); Adam as
/// in torch.optim.Adam (`core::adam_step`, L2 penalty added to the gradient).
void step(const TrainingOptions& options, double learning_rate, const std::vector<Tensor>& parameters,
          const std::vector<Tensor>& gradients, OptimiserState& state);

}  // namespace pellucid::training
