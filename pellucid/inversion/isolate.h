// A batch's gradient of a linear layer, taken apart into its images'.
#pragma once

#include "pellucid/core/torch.h"

#include <cstdint>
#include <optional>

namespace pellucid::inversion {

/// A linear layer z = W h + b that a ReLU follows, and its gradient over a batch of B images.
struct LinearLayer {
  Tensor weight, bias;                    ///< (out, in), (out)
  Tensor weight_gradient, bias_gradient;  ///< of the same shapes
  std::int64_t batch = 1;
  /// The least value that an input takes, where it takes it often: 0 behind a ReLU. It finds more than none.
  std::optional<double> least = std::nullopt;
};

/// How many images of a batch stand above the rounding of a layer's gradient, which is their number at the most that
/// can be taken apart.
struct Visible {
  std::int64_t images = 0;  ///< at most B
  double gap = 0;           ///< the B-th singular value over the next one, which is the rounding's; 0: there is none
};

/// That of a linear layer, whatever follows it: step 1 of `isolate`.
/// @throws as `isolate`.
[[nodiscard]] Visible visible(const LinearLayer& layer);

/// What was taken apart. An image is isolated or not: nothing in between is given.
struct Isolated {
  Tensor inputs;     ///< (n, in) float64: h of each isolated image, the largest residual first
  Tensor residuals;  ///< (n, out) float64: the derivative of the batch's mean loss by its z; 0 if below the noise
  std::int64_t visible = 0;  ///< images that stand above the noise of the client's arithmetic, at most B
};

/// With D (out, B) the derivatives of the loss by z and H (B, in) the inputs, the gradient [dW | db] is D [H | 1], of
/// rank B. A column of D vanishes where that image's unit is off, and a row of H has zeros of its own: the images' are
/// those vectors of the gradient's column and row spaces that have many zeros. The last coordinate gives their scale.
///
/// 1. Rows and columns are scaled to the same norm. All zeros stay, and rounding, which grows with the terms of a sum,
///    becomes even: an image whose residual is a millionth of the batch's largest is plain to see in those units that
///    are off in the large ones, while the largest rounding error of all would bury it.
/// 2. Vectors with many zeros are searched for by linear programs (the least sum of magnitudes where the sum of two
///    random rows is held at 1) and fitted to their zeros.
/// 3. A vector of the row space is an image's input if the column space has one vector that vanishes where W h + b is
///    negative, and nowhere else. Each search leaves the images found before out, which makes it easier.
/// 4. Without a least input, or where no input is found by it, the search is among columns, from random rows too of
///    which all but one determine a vector. Those with the most zeros are taken for all of D, and the inputs that
///    follow from them are checked in the same way.
/// 5. An image is isolated if its input, as it follows from all columns, agrees with every unit and is nowhere below
///    the least, and rounding has mixed less than some thousandths of other images into it.
///
/// Source: SPEAR, Dimitrov et al. 2024, arXiv:2403.03945 (rank, zeros of D, the check by units); Spielman et al. 2012,
/// arXiv:1206.5882 (the linear programs). Ours: the bias as a column, the scaling, the zeros of H, leaving out, the
/// bound on mixing.
///
/// An image is not isolated where its residual vanishes nowhere (sigmoid, GELU) or in units that are on (dropout behind
/// the layer), where one that is off wherever it is shares its batch, or where it is below the noise. Equal inputs are
/// one image. Nothing is isolated from a batch of as many images as the layer has units or inputs.
///
/// Depends on (layer, seed) alone. @param seed of where the searches begin.
/// @throws Error(kInternal) if shapes do not fit, a number is not finite, or the batch is below 1.
/// @throws Error(kStopped) if a stop was asked for.
[[nodiscard]] Isolated isolate(const LinearLayer& layer, std::uint64_t seed = 0);

}  // namespace pellucid::inversion
