// How close a reconstructed image is to the original, pixel by pixel: MSE, PSNR, SSIM.
#pragma once

#include "pellucid/core/torch.h"

namespace pellucid::metrics {

/// The highest PSNR, in dB, and that of identical images. It stands for "no visible difference" (8-bit rounding alone
/// allows 59 dB) and keeps every result a finite number that files can hold and means can include.
inline constexpr double kMaxPsnr = 100;

// Images are (C,H,W) tensors of any floating type and device, with pixels in [0,1] where nothing else is said.
// All arithmetic is float64. A pixel that is not a number makes the result not a number.

/// The mean squared error over all pixels and channels, of the values as they are: out-of-range pixels count in full.
/// @throws Error(kInternal) if the shapes differ, are not (C,H,W) or hold no pixel, naming both.
[[nodiscard]] double mse(const Tensor& reconstruction, const Tensor& original);

/// The peak signal-to-noise ratio in dB, 10 log10(1 / MSE), of the images clamped to [0,1]; at most `kMaxPsnr`.
/// @throws Error(kInternal) as `mse`.
[[nodiscard]] double psnr(const Tensor& reconstruction, const Tensor& original);

/// Whether SSIM is defined for images of this size: its window must fit in.
[[nodiscard]] bool ssim_applies(const Tensor& image);

/// The structural similarity in [-1, 1] of the images clamped to [0,1]; 1 for identical images.
///
/// Gaussian window of 11x11, sigma 1.5; K1 = 0.01, K2 = 0.03, range 1; population covariance; the mean over the pixels
/// whose window lies inside the image and over the channels. The same number as scikit-image's structural_similarity
/// with gaussian_weights, use_sample_covariance=False, data_range=1.
///
/// Source: Wang, Bovik, Sheikh, Simoncelli 2004, "Image quality assessment: from error visibility to structural
/// similarity".
/// @throws Error(kInternal) as `mse`.
/// @throws Error(kUsage) if the images are smaller than the window; see `ssim_applies`.
[[nodiscard]] double ssim(const Tensor& reconstruction, const Tensor& original);

}  // namespace pellucid::metrics
