// The one header through which libtorch is included. It is precompiled: torch/torch.h alone costs 12 s a file.
#pragma once

// Clang in C++20 needs this one before any other header of libtorch.
#include <ATen/core/ivalue.h>

#include <torch/torch.h>

namespace pellucid {
using torch::Tensor;
}
