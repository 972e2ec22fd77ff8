// The solver that takes a batch apart: a hidden layer's gradient into its images' parts, and each image from its part.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/isolate.h"
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
/// the image, exactly. Else one descent as `optimise` does for all images together, by the functional `residual`: each
/// isolated image's features are matched, with the attack's weight `features`, beside the gradient of the whole batch.
///
/// The first images are the isolated ones. The others come from the descent alone (grey where there is none), with the
/// derivatives by the logits, and so the labels, that the last bias's gradient leaves over, as if they had the same p.
/// @pre `disaggregate_lacks` names nothing.
/// @throws Error(kModel) if no image can be isolated, with how many stand above the noise.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] std::vector<Trial> disaggregate(const sharing::Observation& observation, const Attack& attack,
                                              std::int64_t first, std::int64_t count, const torch::Device& device);

/// The derivatives of the loss by the logits that become these derivatives by the layer's output, by least squares over
/// those that are not 0: what the client's arithmetic made of p - onehot. The least of an image is its label's.
/// @param layer whose output is the derivatives'. Nothing stands beside it: each later layer takes from later ones.
/// @param inputs (n, in), residuals (n, out) float64. @return (n, classes) float64.
[[nodiscard]] Tensor residuals_at_logits(const nets::Network& network, std::size_t layer, const Tensor& inputs,
                                         const Tensor& residuals);

}  // namespace pellucid::inversion
