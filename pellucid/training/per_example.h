// The gradients of a batch's examples one by one, clipped and summed, without a backward pass for each.
#pragma once

#include "pellucid/nets/network.h"

#include <vector>

namespace pellucid::training {

/// How the norm of each example's gradient of a layer is found.
enum class NormBy {
  kCheaper,       ///< of the two below, by layer
  kGhost,         ///< from the Gram matrices of what the layer took and of the loss's derivatives by what it gave
  kInstantiated,  ///< from the gradients themselves, an example each
};

struct ClippedSum {
  std::vector<Tensor> parameters;  ///< in the order of `nets::parameter_names`, float32
  Tensor norms;                    ///< (B) of each example's gradient, over all parameters jointly, before clipping
};

/// The sum over the examples of their gradients, each scaled to a norm of at most `clip` over all parameters jointly.
///
/// One backward pass down to the layers' outputs serves all examples: with a the input of a layer and b the loss's
/// derivative by its output, an example's gradient is b a^T, summed over its positions and passes. Its norm is found
/// either from itself or from Gram matrices, sum (A A^T) o (B B^T), and the clipped sum from the same a and b, without
/// a second backward pass.
///
/// Sources: Abadi et al. 2016, arXiv:1607.00133, algorithm 1; ghost norms: Goodfellow 2015, arXiv:1510.01799, for
/// convolutions Rochette et al. 2019, arXiv:1912.06015; the cheaper of the two by layer: Bu et al. 2022,
/// arXiv:2205.10683 (ghost where 2 T^2 is below the number of weights, with T positions); without a second pass: Bu et
/// al. 2023, arXiv:2210.00038. Factors are kept below 1 by as much as rounding of the norms may be off, 1e-5.
///
/// What it does not do: look whether examples see one another in the network. Batch norm in training mode must be
/// refused before.
///
/// @param passes the forward passes of the same examples in the same order, as `nets::evaluate` gives them; an example
///   that went through several is clipped once, as the sum.
/// @param loss the sum over the examples of what each loses.
/// @param clip above 0; infinity leaves the gradients as they are.
[[nodiscard]] ClippedSum clipped_sum(const nets::Architecture& architecture,
                                     const std::vector<std::vector<nets::Passed>>& passes, const Tensor& loss,
                                     double clip, NormBy by = NormBy::kCheaper);

}  // namespace pellucid::training
