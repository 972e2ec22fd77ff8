// An architecture as JSON, so that a weight file says what network it holds.
#pragma once

#include "pellucid/nets/architecture.h"

#include <nlohmann/json.hpp>

namespace pellucid::nets {

/// {"spec": {...}, "layers": [{"op": "conv", "name": "conv1", "inputs": [-1], "in": 1, "out": 32, ...}, ...]}
[[nodiscard]] core::Json to_json(const Architecture& architecture);

/// What `to_json` wrote. It is trusted with nothing: the number of layers, their inputs, sizes and names are checked,
/// and that the shapes fit from the input to the logits.
/// @throws Error(kModel) if something is missing, of the wrong kind, out of range, or does not fit, naming the layer.
[[nodiscard]] Architecture architecture_from_json(const nlohmann::json& json);

/// Whether the layers are those that `build` makes of the spec.
[[nodiscard]] bool is_of_the_zoo(const Architecture& architecture);

}  // namespace pellucid::nets
