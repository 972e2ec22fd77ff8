// The device that networks are trained and attacked on.
#pragma once

#include "pellucid/core/torch.h"

#include <string>

namespace pellucid::core {

/// The device that "cpu", "cuda" or "cuda:N" names. "cuda" is the device of this process's number on its machine
/// (`local_rank`) where a launcher started several. From then on CUDA computes products and convolutions in strict
/// float32, not in TF32.
/// @throws Error(kUsage) if it is none of these, or libtorch finds no such device here.
[[nodiscard]] torch::Device device(const std::string& name);

}  // namespace pellucid::core
