// The one header through which libtorch is included: tensors, operators and autograd. It is precompiled. All of
// torch/torch.h costs twice as long, in each file: with modules, optimisers and data loaders that are not used here.
#pragma once

// Clang in C++20 needs this one before any other header of libtorch.
#include <ATen/core/ivalue.h>
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

namespace pellucid {
using torch::Tensor;
}
