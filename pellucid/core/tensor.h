// Tensors filled from random streams, and small conversions that every layer above needs.
#pragma once

#include "pellucid/core/random.h"
#include "pellucid/core/torch.h"

namespace pellucid::core {

/// A float32 tensor of `shape`, each value uniform in [low, high).
[[nodiscard]] Tensor uniform(Stream stream, at::IntArrayRef shape, double low = 0, double high = 1);

/// A float32 tensor of `shape`, each value standard normal.
[[nodiscard]] Tensor normal(Stream stream, at::IntArrayRef shape);

/// U, S and V^T of a matrix, as libtorch's; where LAPACK's divide and conquer does not converge, which is rare and a
/// matter of rounding, of the same rows in reverse.
/// @param full as libtorch's `full_matrices`.
/// @throws c10::Error if neither converges.
[[nodiscard]] std::tuple<Tensor, Tensor, Tensor> svd(const Tensor& matrix, bool full);
/// S alone. @throws as `svd`.
[[nodiscard]] Tensor singular_values(const Tensor& matrix);

/// A copy of the values as doubles in row-major order.
[[nodiscard]] std::vector<double> to_doubles(const Tensor& tensor);

}  // namespace pellucid::core
