// How close a reconstruction is to the original as a network sees it.
#pragma once

#include "pellucid/core/torch.h"

namespace pellucid::metrics {

/// The feature mean squared error (FMSE): the mean of (a - b)^2 over all values, in float64.
///
/// Two conventions are in use under this one name, and their numbers are not comparable; a result says which it is:
/// - logits: `features_a` and `features_b` are the network's outputs for the two images. The published code of
///   Geiping et al. 2020, "Inverting Gradients" computes this one.
/// - penultimate features: they are the inputs of the network's last linear layer.
///
/// @param features_a of the reconstruction, any shape
/// @param features_b of the original, the same shape
/// @throws Error(kInternal) if the shapes differ or hold no value, naming both.
[[nodiscard]] double fmse(const Tensor& features_a, const Tensor& features_b);

}  // namespace pellucid::metrics
