// What a linear layer took of each image of a batch: how it is read, checked against the network, and inverted.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/isolate.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// A layer of the network and its gradient. `least` is what its inputs often take: a ReLU's 0, or black.
/// @pre it is linear.
[[nodiscard]] LinearLayer linear_layer(const sharing::Observation& observation, std::size_t layer);

/// Whether nothing but the normalisation and a flattening stands before the layer.
[[nodiscard]] bool takes_pixels(const nets::Architecture& architecture, std::size_t layer);

/// Whether every later layer takes from the layer or later ones alone.
[[nodiscard]] bool stands_alone(const nets::Architecture& architecture, std::size_t layer);

/// The derivatives of the batch's mean loss by the logits.
struct AtLogits {
  Tensor residuals;  ///< (n, classes) float64: p - onehot over the batch, as the client's arithmetic rounded it
  Tensor labels;     ///< (n) int64
};

/// Those that become these derivatives by a layer's output, by least squares over what is not 0. The label is the class
/// of the negative one, or the predicted class where rounding left none (p = 1).
/// @param layer whose output is the derivatives'. It stands alone.
/// @param inputs (n, in), residuals (n, out) float64.
[[nodiscard]] AtLogits at_logits(const nets::Network& network, std::size_t layer, const Tensor& inputs,
                                 const Tensor& residuals);

/// Those of images of which only the labels (n) are known: what the others' sum (classes) leaves over of the last
/// bias's gradient, as if these images had the same p. @pre the network ends in a linear layer.
/// @return (n, classes) float64
[[nodiscard]] Tensor left_at_logits(const sharing::Observation& observation, const Tensor& others,
                                    const Tensor& labels);

/// Those of a whole batch: `at_logits` of the first images and `left_at_logits` of the others, with labels that fit.
[[nodiscard]] AtLogits at_logits_of_batch(const sharing::Observation& observation, std::size_t layer,
                                          const Tensor& inputs, const Tensor& residuals);

/// Inputs and derivatives that make up the layer's gradient, and how well the network agrees with them.
struct Agreed {
  Tensor inputs;     ///< (n, in) float64
  Tensor residuals;  ///< (n, out) float64: the derivative of the batch's mean loss by the layer's output
  Tensor mixed;      ///< (n) float64: about the norm of the other images' shares in an input; 0: none
};

/// With D (n, out) the derivatives by the layer's output and H the inputs, the gradient [dW | db] is D^T [H | 1]. Each
/// D gives an H by least squares, where the last coordinate sets the scale, and each H a D: the network's own, of the
/// cross-entropy at these labels. In each round D moves a part of the way to the network's at H, as clamped to what the
/// layer can take. Of each input, the round in which it was mixed least is kept.
///
/// Were the network's D the true one, and P D^T the identity, the found inputs would be P D_network^T times the true
/// ones: a row less the identity's is what is mixed into an input. Labels that are wrong are not noticed by it.
///
/// Ours.
/// @param derivatives (n, out) to begin with, at any scale.   @param labels (n) int64.
/// @param by_inputs move from the D that the clamped H gives by least squares, instead of from the last D: right for
///   starts that are nearly inputs.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] Agreed agree(const sharing::Observation& observation, std::size_t layer, Tensor derivatives,
                           const Tensor& labels, bool by_inputs);

/// Which of them count as isolated: (n) bool.
[[nodiscard]] Tensor unmixed(const Agreed& agreed);

/// What was read of a batch at a layer: a row for each image.
struct LayerInputs {
  std::size_t layer;
  Tensor inputs;                     ///< (B, in) float64
  Tensor known;                      ///< (B) bool: whose input is shown, or matched
  Tensor isolated;                   ///< (B) bool: by the attacker's check
  Tensor residuals;                  ///< (B, classes) float64, at the logits
  std::vector<std::int64_t> labels;  ///< of each image
};

/// The images of which these are the inputs: themselves where the layer takes pixels, grey where not known. Else one
/// descent as `optimise` does for all images together, by the functional `residual`: the known inputs are matched, with
/// the attack's weight `features`, beside the gradient of the whole batch.
/// @param how ends the trials' `method`.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] std::vector<Trial> invert(const sharing::Observation& observation, const Attack& attack,
                                        const LayerInputs& read, const std::string& how, std::int64_t first,
                                        std::int64_t count, const torch::Device& device);

}  // namespace pellucid::inversion
