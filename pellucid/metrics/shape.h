// The check that every metric makes first: two tensors of the same shape.
#pragma once

#include "pellucid/core/torch.h"

#include <string>

namespace pellucid::metrics {

/// "(3,32,32)".
[[nodiscard]] std::string shape_text(const Tensor& tensor);

/// @throws Error(kInternal) if the shapes differ or the tensors are empty, naming both shapes.
void check_same_shape(const Tensor& a, const Tensor& b);

}  // namespace pellucid::metrics
