// Checks what an attack returns instead of trusting it.
#pragma once

#include "pellucid/evasion/ball.h"
#include "pellucid/evasion/objective.h"

namespace pellucid::evasion {

/// Points as they were judged, one row an image.
struct Judged {
  Tensor x;       ///< (B, C, H, W): the points, taken into the ball and to [0, 1]; the image where they were not finite
  Tensor broken;  ///< (B) bool: the model errs at x
  Tensor x_8bit;  ///< (B, C, H, W): x rounded to multiples of 1/255 that lie in the ball, as an image file holds it
  Tensor broken_8bit;  ///< (B) bool: the model errs there too
  Tensor corrected;    ///< (B) bool: the attack left the ball or [0, 1], or returned what is not a number
  Tensor distance;     ///< (B): of x from the image, in the ball's norm
};

/// Takes the points of an attack into the ball and to [0, 1], asks the model again, and says where it errs.
///
/// Rounding to 8 bits takes the nearest level that keeps a pixel in an L-infinity ball; in an L2 ball, images that the
/// nearest levels would take out are rounded towards their image. Images are assumed to be of 8 bits themselves: where
/// not even that keeps a point in the ball, x_8bit is the image.
/// @param points, images (B, C, H, W), the images in [0, 1].   @param labels (B) int64.
[[nodiscard]] Judged judge(const Model& model, const Tensor& points, const Tensor& images, const Tensor& labels,
                           const Ball& ball);

}  // namespace pellucid::evasion
