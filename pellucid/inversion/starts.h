// Where a restart begins: one row each.
#pragma once

#include "pellucid/core/random.h"
#include "pellucid/inversion/candidate.h"

#include <string>
#include <vector>

namespace pellucid::inversion {

struct Start {
  std::string name, summary;
  /// Images (shape) in `units`, float32, which depend on the stream alone.
  Tensor (*draw)(const core::Stream& stream, const std::vector<std::int64_t>& shape, const Units& units);
};

/// Every start, the one place that lists them.
[[nodiscard]] const std::vector<Start>& starts();

}  // namespace pellucid::inversion
