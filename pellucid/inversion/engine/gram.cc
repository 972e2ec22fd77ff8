#include "pellucid/inversion/engine/gram.h"

#include "pellucid/inversion/engine/onednn.h"

#include <algorithm>

namespace pellucid::inversion::steps {

std::int64_t Geometry::taps() const {
  const auto inside = [&](std::int64_t size, std::int64_t out) {  // along one side
    std::int64_t count = 0;
    for (std::int64_t p = 0; p < out; ++p) {
      for (std::int64_t offset = 0; offset < kernel; ++offset) {
        const std::int64_t at = p * stride + offset - padding;
        count += at >= 0 && at < size;
      }
    }
    return count;
  };
  return inside(height, out_height) * inside(width, out_width);
}

Gram::Gram(Plan& plan, const Geometry& geometry, std::int64_t in_channels, std::int64_t out_channels)
    : geometry_(geometry),
      batch_(plan.batch),
      in_channels_(in_channels),
      out_channels_(out_channels),
      rows_(plan.batch * geometry.pixels()),
      out_rows_(plan.batch * geometry.out_pixels()),
      inputs_(plan.arena.take<float>(rows_ * rows_)),
      adjoints_(plan.arena.take<float>(out_rows_ * out_rows_)) {
  for (std::int64_t t = 0; t < plan.trials; ++t) {
    windows_.push_back(plan.arena.take<float>(out_rows_ * out_rows_));
    spread_.push_back(plan.arena.take<float>(rows_ * rows_));
  }
  for (std::int64_t offset = 0; offset < geometry.kernel * geometry.kernel; ++offset) {
    for (std::int64_t p = 0; p < geometry.out_pixels(); ++p) {
      const auto row = p / geometry.out_width * geometry.stride + offset / geometry.kernel - geometry.padding;
      const auto column = p % geometry.out_width * geometry.stride + offset % geometry.kernel - geometry.padding;
      const bool inside = row >= 0 && row < geometry.height && column >= 0 && column < geometry.width;
      taps_.push_back(inside ? static_cast<std::int32_t>(row * geometry.width + column) : -1);
    }
  }
}

double Gram::take(std::int64_t trial, const float* x, const float* adjoint) {
  multiply(false, true, rows_, rows_, in_channels_, 1, x, x, 0, inputs_);
  multiply(false, true, out_rows_, out_rows_, out_channels_, 1, adjoint, adjoint, 0, adjoints_);
  float *windows = windows_[trial], *spread = spread_[trial];
  std::fill_n(windows, out_rows_ * out_rows_, 0.f);
  std::fill_n(spread, rows_ * rows_, 0.f);
  const std::int64_t pixels = geometry_.pixels(), out_pixels = geometry_.out_pixels();
  for (std::int64_t i = 0; i < batch_; ++i) {
    for (std::int64_t p = 0; p < out_pixels; ++p) {
      const std::int64_t out_row = (i * out_pixels + p) * out_rows_;
      for (const std::int32_t* taps = taps_.data(); taps != taps_.data() + taps_.size(); taps += out_pixels) {
        if (taps[p] < 0) continue;
        const std::int64_t row = (i * pixels + taps[p]) * rows_;
        for (std::int64_t j = 0; j < batch_; ++j) {
          const float *from = inputs_ + row + j * pixels, *of = adjoints_ + out_row + j * out_pixels;
          float *window = windows + out_row + j * out_pixels, *to = spread + row + j * pixels;
          for (std::int64_t q = 0; q < out_pixels; ++q) {
            if (taps[q] < 0) continue;
            window[q] += from[taps[q]];
            to[taps[q]] += of[q];
          }
        }
      }
    }
  }
  return kernels::inner(windows, adjoints_, out_rows_ * out_rows_);
}

void Gram::apply(std::int64_t trial, float factor, const float* adjoint, float* y) {
  multiply(false, false, out_rows_, out_channels_, out_rows_, factor, windows_[trial], adjoint, 1, y);
}

void Gram::apply_back(std::int64_t trial, float factor, const float* x, float* y) {
  multiply(false, false, rows_, in_channels_, rows_, factor, spread_[trial], x, 1, y);
}

bool gram_pays(const Geometry& g, std::int64_t batch, std::int64_t in_channels, std::int64_t out_channels) {
  // In multiply-accumulates, and estimates of what costs as much.
  constexpr std::int64_t kSmallProduct = 2, kScattered = 60, kWeightTraffic = 30;
  const std::int64_t rows = batch * g.pixels(), out_rows = batch * g.out_pixels(), offsets = g.kernel * g.kernel;
  const std::int64_t gram = kSmallProduct * 2 * (rows * rows * in_channels + out_rows * out_rows * out_channels) +
                            kScattered * offsets * out_rows * out_rows;
  const std::int64_t weights = offsets * in_channels * out_channels;
  return gram < out_rows * weights + kWeightTraffic * weights;
}

}  // namespace pellucid::inversion::steps
