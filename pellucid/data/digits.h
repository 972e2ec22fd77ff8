// The built-in digits: handwriting drawn by the program, so that everything runs without a download.
#pragma once

#include "pellucid/data/dataset.h"

#include <cstdint>

namespace pellucid::data {

/// `count` images of handwritten digits in the form of MNIST: uint8 (count, 1, 28, 28), white on black, fitted into
/// 20 x 20 pixels and centred by their mass.
///
/// An image is a way of writing the digit, a writer's hand (slant, rotation, proportions, pen), an elastic deformation
/// of the pen's path, and the ink. Image i depends on (seed, split, i) alone. Labels are balanced: each ten images from
/// a multiple of ten hold every digit once, in random order.
///
/// The deformation is that of Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks
/// applied to visual document analysis" (smoothed random displacements), applied to the path instead of the pixels.
///
/// @throws Error(kUsage) if `count` is not positive.
[[nodiscard]] Dataset generated_digits(Split split, std::int64_t count, std::uint64_t seed);

}  // namespace pellucid::data
