// Which reconstruction stands for which original: a set of images has no order.
#pragma once

#include "pellucid/core/torch.h"

#include <cstdint>
#include <vector>

namespace pellucid::metrics {

/// The one-to-one assignment of rows to columns whose costs have the smallest sum.
///
/// Source: Kuhn 1955, "The Hungarian method for the assignment problem"; here by shortest augmenting paths, Jonker and
/// Volgenant 1987, in O(n^3).
/// @param costs (n, n) float64. Of several assignments with the same sum, one; the same each time.
/// @return the column of each row.
/// @throws Error(kInternal) if the costs are not square or not finite.
[[nodiscard]] std::vector<std::int64_t> assign(const Tensor& costs);

/// Which original each reconstruction is scored against: the assignment with the smallest mean squared error.
/// @param reconstructions (n, C, H, W)   @param originals (n, C, H, W)
/// @return the number of the original for each reconstruction; each original once.
/// @throws Error(kInternal) if the shapes differ.
/// @throws Error(kData) if the n * n errors need more memory than is allowed.
[[nodiscard]] std::vector<std::int64_t> match(const Tensor& reconstructions, const Tensor& originals);

}  // namespace pellucid::metrics
