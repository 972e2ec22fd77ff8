// What an attacker may do to an image: move it within a ball, and leave its pixels in [0, 1].
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/core/torch.h"

#include <string_view>

namespace pellucid::evasion {

enum class Norm { kLinf, kL2 };

/// The perturbations of one image that count as small: those whose norm is at most the radius.
struct Ball {
  Norm norm = Norm::kLinf;
  core::Number epsilon{"0.3"};  ///< radius, in pixels' units
};

/// @param where names the ball in messages: "test_attack".
/// @throws Error(kUsage) if an L-infinity ball is wider than the pixels' range, as when 8 was typed for 8/255.
void check(const Ball& ball, const std::string& where);

/// "L-inf" or "L2".
[[nodiscard]] std::string to_string(Norm norm);

/// The field of an options struct that holds a norm: "linf" or "l2".
[[nodiscard]] core::Field norm_field(Norm& value);

constexpr double kTiny = 1e-12;  ///< keeps a divisor from zero

/// A number for each image, (B), in the shape that multiplies images: (B, 1, 1, 1).
[[nodiscard]] Tensor per_image(const Tensor& values);

/// The norm of each image's perturbation, (B). @param delta (B, C, H, W).
[[nodiscard]] Tensor lengths(const Tensor& delta, Norm norm);

/// The direction in which a function with this gradient rises most within the unit ball: its sign for L-infinity,
/// itself over its length for L2 (zero where it is zero). (B, C, H, W) to the same.
[[nodiscard]] Tensor ascent(const Tensor& gradient, Norm norm);

/// Takes points back into the ball around their images, and then their pixels to [0, 1].
///
/// For L-infinity this is the nearest point of both. For L2 it is one after the other, which lies in both, since
/// clipping towards an image in [0, 1] only shortens the perturbation, but is not the nearest. Points of both stay
/// where they are.
///
/// @param points, images (B, C, H, W), the images in [0, 1].
/// @throws Error(kUsage) as `check`.
[[nodiscard]] Tensor project(const Tensor& points, const Tensor& images, const Ball& ball);

/// The points that lie in the ball around their images; for the others, the images.
[[nodiscard]] Tensor inside_or_image(const Tensor& points, const Tensor& images, const Ball& ball);

/// Noise for random starts: uniform in [-1, 1], (n, C, H, W); row i depends on (seed, purpose, ids[i]) alone.
[[nodiscard]] Tensor start_noise(std::uint64_t seed, std::string_view purpose, const Tensor& ids,
                                 at::IntArrayRef image_shape);

/// The same with standard normal numbers.
[[nodiscard]] Tensor normal_noise(std::uint64_t seed, std::string_view purpose, const Tensor& ids,
                                  at::IntArrayRef image_shape);

}  // namespace pellucid::evasion
