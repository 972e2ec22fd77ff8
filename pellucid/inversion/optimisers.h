// How a descent steps along its gradient: one row each.
#pragma once

#include "pellucid/core/torch.h"

#include <functional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// Moves z along the gradient, in place. Everything is on z's device and nothing is read back.
/// @param iteration (1) int64, 0 for the first.
using Step = std::function<void(Tensor& z, const Tensor& gradient, const Tensor& iteration)>;

struct Optimiser {
  std::string name, summary, source;
  /// @param z where it begins, (trials * B, C, H, W): each trial steps as alone.
  /// @param rates the learning rate of each iteration.
  Step (*make)(const Tensor& z, std::int64_t trials, const std::vector<double>& rates);
};

/// Every optimiser, the one place that lists them.
[[nodiscard]] const std::vector<Optimiser>& optimisers();

}  // namespace pellucid::inversion
