// The Gram trick: a layer's weight gradient used without being formed.
#pragma once

#include "pellucid/inversion/engine/steps.h"

namespace pellucid::inversion::steps {

/// Where a layer's weight is applied: `kernel` x `kernel` windows of the input. A linear layer has one of size 1.
struct Geometry {
  std::int64_t height = 1, width = 1, out_height = 1, out_width = 1, kernel = 1, stride = 1, padding = 0;

  [[nodiscard]] std::int64_t pixels() const { return height * width; }
  [[nodiscard]] std::int64_t out_pixels() const { return out_height * out_width; }
  /// Pairs of an output position and a place of its window that is not padding: times both channels, the
  /// multiply-accumulates of one application to one image.
  [[nodiscard]] std::int64_t taps() const;
};

/// The gradient g of a layer's weight is a sum of outer products, g = sum_p d_p a_p^T, over the output positions p of
/// all images of a trial: d_p the adjoint there, a_p the input under the window. With M positions the Gram matrices
/// D_pq = <d_p, d_q> and A_pq = <a_p, a_q> say all that the engine asks of g:
///
///   |g|^2      = <A, D>
///   g a_p      = sum_q A_pq d_q                        (g applied to the input)
///   g^T d, x   = sum over windows of D, times x        (g applied backward to the adjoint)
///
/// A is summed from the input's own Gram matrix over the window's offsets, so that no window is ever copied out. Worth
/// it where M is small beside the number of channels: see `gram_pays`.
class Gram {
 public:
  Gram(Plan& plan, const Geometry& geometry, std::int64_t in_channels, std::int64_t out_channels);

  /// Takes up a trial's input x (rows: positions) and adjoint d. @return |g|^2
  double take(std::int64_t trial, const float* x, const float* adjoint);
  /// Multiply-accumulates of one trial's `take`, `apply` and `apply_back`.
  [[nodiscard]] std::int64_t macs() const {
    return 2 * (rows_ * rows_ * in_channels_ + out_rows_ * out_rows_ * out_channels_);
  }
  /// y += factor * g applied to the input that `take` was given. @param adjoint as there.
  void apply(std::int64_t trial, float factor, const float* adjoint, float* y);
  /// y += factor * g applied backward to the adjoint that `take` was given. @param x as there.
  void apply_back(std::int64_t trial, float factor, const float* x, float* y);

 private:
  Geometry geometry_;
  std::int64_t batch_, in_channels_, out_channels_, rows_, out_rows_;
  std::vector<std::int32_t> taps_;  // offset by offset, output position by output position: the input position, or -1
  std::vector<float*> windows_;     // each trial's A, out_rows x out_rows
  std::vector<float*> spread_;      // each trial's D summed over windows, rows x rows
  float *inputs_, *adjoints_;       // the Gram matrices at hand
};

/// Whether the Gram trick costs less than forming the gradient.
[[nodiscard]] bool gram_pays(const Geometry& geometry, std::int64_t batch, std::int64_t in_channels,
                             std::int64_t out_channels);

}  // namespace pellucid::inversion::steps
