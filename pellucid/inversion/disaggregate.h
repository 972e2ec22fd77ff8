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
/// So do all where none can be isolated.
/// @pre `disaggregate_lacks` names nothing.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] std::vector<Trial> disaggregate(const sharing::Observation& observation, const Attack& attack,
                                              std::int64_t first, std::int64_t count, const torch::Device& device);

/// What the loss's derivatives by the logits were, which an update says of no single image of a batch.
struct AtLogits {
  Tensor residuals;  ///< (n, classes) float64: p - onehot over the batch, as the client's arithmetic rounded it
  Tensor labels;     ///< (n) int64
};

/// Those that become these derivatives by a layer's output, by least squares over what is not 0. The label is the class
/// of the negative one, or the predicted class where rounding left none (p = 1).
/// @param layer whose output is the derivatives'. Nothing stands beside it: each later layer takes from later ones.
/// @param inputs (n, in), residuals (n, out) float64.
[[nodiscard]] AtLogits at_logits(const nets::Network& network, std::size_t layer, const Tensor& inputs,
                                 const Tensor& residuals);

}  // namespace pellucid::inversion
