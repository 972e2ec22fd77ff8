#include "pellucid/metrics/image.h"

#include "pellucid/core/error.h"
#include "pellucid/metrics/shape.h"

#include <algorithm>
#include <cmath>

namespace pellucid::metrics {
namespace {

constexpr std::int64_t kWindow = 11;

void check_images(const Tensor& reconstruction, const Tensor& original) {
  check_same_shape(reconstruction, original);
  if (original.dim() != 3) {
    throw core::Error(core::ErrorKind::kInternal, "image: got shape {}, expected (C,H,W)", shape_text(original));
  }
}

Tensor doubles(const Tensor& image) { return image.detach().to(torch::kFloat64); }

Tensor visible(const Tensor& image) { return doubles(image).clamp(0, 1); }

// The Gaussian-weighted mean of each channel's 11x11 windows: (C,H,W) to (C,H-10,W-10).
Tensor window_means(const Tensor& image) {
  const Tensor offsets = torch::arange(kWindow, image.options()) - kWindow / 2;
  Tensor weights = torch::exp(-offsets * offsets / (2 * 1.5 * 1.5));
  weights /= weights.sum();
  const Tensor channels = image.unsqueeze(1);
  return torch::conv2d(torch::conv2d(channels, weights.view({1, 1, kWindow, 1})), weights.view({1, 1, 1, kWindow}))
      .squeeze(1);
}

}  // namespace

double mse(const Tensor& reconstruction, const Tensor& original) {
  check_images(reconstruction, original);
  return (doubles(reconstruction) - doubles(original)).square().mean().item<double>();
}

double psnr(const Tensor& reconstruction, const Tensor& original) {
  return std::min(10 * std::log10(1 / mse(visible(reconstruction), visible(original))), kMaxPsnr);
}

bool ssim_applies(const Tensor& image) {
  return image.dim() == 3 && image.size(1) >= kWindow && image.size(2) >= kWindow;
}

double ssim(const Tensor& reconstruction, const Tensor& original) {
  check_images(reconstruction, original);
  if (!ssim_applies(original)) {
    throw core::Error(core::ErrorKind::kUsage, "ssim: image size: got {}x{}, expected at least {}x{}", original.size(1),
                      original.size(2), kWindow, kWindow);
  }
  const Tensor x = visible(reconstruction), y = visible(original);
  const Tensor mean_x = window_means(x), mean_y = window_means(y);
  const Tensor variances = window_means(x * x + y * y) - mean_x * mean_x - mean_y * mean_y;
  const Tensor covariance = window_means(x * y) - mean_x * mean_y;
  constexpr double kC1 = 0.01 * 0.01, kC2 = 0.03 * 0.03;
  const Tensor similarity = (2 * mean_x * mean_y + kC1) * (2 * covariance + kC2) /
                            ((mean_x * mean_x + mean_y * mean_y + kC1) * (variances + kC2));
  return similarity.mean().item<double>();
}

}  // namespace pellucid::metrics
