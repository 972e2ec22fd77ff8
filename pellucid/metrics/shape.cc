#include "pellucid/metrics/shape.h"

#include "pellucid/core/error.h"

#include <fmt/ranges.h>

namespace pellucid::metrics {

std::string shape_text(const Tensor& tensor) { return fmt::format("({})", fmt::join(tensor.sizes(), ",")); }

void check_same_shape(const Tensor& a, const Tensor& b) {
  if (!a.sizes().equals(b.sizes()) || a.numel() == 0) {
    throw core::Error(core::ErrorKind::kInternal,
                      "metric: got shapes {} and {}, expected equal shapes with at least one value", shape_text(a),
                      shape_text(b));
  }
}

}  // namespace pellucid::metrics
