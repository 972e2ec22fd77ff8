// The matching loss of an attack and its gradient, by the fastest of three ways that can take the network.
#pragma once

#include "pellucid/inversion/candidate.h"
#include "pellucid/inversion/problem.h"

#include <functional>
#include <string>

namespace pellucid::inversion {

/// What computes the matching loss of several trials and its gradient.
struct Matching {
  std::string method;  ///< what it is called in results: "engine, float32"
  /// By the pixels and on their device. @param pixels (trials * B, C, H, W).
  /// @param labels (trials * B, classes), distributions, by which the loss is differentiated too; undefined: the
  /// problem's. @pre they are undefined for the residual functional.
  std::function<Evaluated(const Tensor& pixels, const Tensor& labels)> at;
  bool reads_back = false;  ///< reads values back from the device, so that it cannot be recorded
};

/// The engine (engine/engine.h) on the cpu and the tensor engine elsewhere, where they can take the network; else
/// double backward, and `method` says why. Each of several rounds has an engine of its own.
/// @throws Error(kUsage) as `check_precision` (engine/tensor_engine.h).
[[nodiscard]] Matching make_matching(const Problem& problem, const Attack& attack, std::int64_t trials,
                                     const torch::Device& device);

}  // namespace pellucid::inversion
