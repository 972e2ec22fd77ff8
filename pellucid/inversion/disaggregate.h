// The solver that takes a batch apart: a hidden layer's gradient into its images' parts, and each image from its part.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// Why `disaggregate` does not apply: no linear layer stands before a ReLU, or the batch is as large as the layer.
[[nodiscard]] std::optional<std::string> disaggregate_lacks(const sharing::Observation& observation,
                                                            const Attack& attack);

/// Isolates what the first linear layer before a ReLU took of each image (`isolate`), and what its loss's derivative
/// by the logits is, whose least is its label's. Where nothing but the normalisation stands before the layer, that is
/// the image, exactly. Else one descent, which matches the isolated images' features too (`invert`, layer_inputs.h).
///
/// The first images are the isolated ones. The others come from the descent alone (grey where there is none), with the
/// derivatives by the logits, and so the labels, that the last bias's gradient leaves over, as if they had the same p.
/// So do all where none can be isolated.
/// @pre `disaggregate_lacks` names nothing.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] std::vector<Trial> disaggregate(const sharing::Observation& observation, const Attack& attack,
                                              std::int64_t first, std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
