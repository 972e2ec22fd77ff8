// What is kept of a network: looked at before a result of an earlier run is taken up.
#pragma once

#include "pellucid/core/fields.h"

namespace pellucid::gradients {

/// Whether something is a result of `measured`. Keys and kinds are looked at, not values.
[[nodiscard]] bool is_measured(const core::Json& result);

}  // namespace pellucid::gradients
