// Batch normalisation, y = gamma x^ + beta with x^ = r (x - mean) and r = 1 / sqrt(variance + epsilon).
//
// In evaluation mode mean and r are constants. In training mode they are those of each trial's batch, so both sweeps
// along (dx, dy', v) also move them: with <.> the mean over the batch and all positions and q = <x^ dx>, dr = -r^2 q.
#include "pellucid/inversion/engine/steps.h"

#include <algorithm>
#include <cmath>

namespace pellucid::inversion::steps {
namespace {

class BatchNorm : public Step {
 public:
  BatchNorm(Plan& plan, Input in, Value& out, const nets::BatchNorm& norm, const Parameter& weight,
            const Parameter& bias, const Tensor& mean, const Tensor& variance)
      : Step(plan, {in}, out), epsilon_(norm.epsilon), weights_{weight.weight, bias.weight} {
    auto stored = [&](const Tensor& tensor) {
      const Tensor values = tensor.detach().to(torch::kFloat32).contiguous();
      float* copy = plan.arena.take<float>(channels());
      std::copy_n(values.data_ptr<float>(), channels(), copy);
      return copy;
    };
    gamma_ = stored(weight.value);
    beta_ = stored(bias.value);
    observed_[0] = stored(weight.observed);
    observed_[1] = stored(bias.observed);
    for (auto* arrays : {&mean_, &r_, &gradient_[0], &gradient_[1], &v_[0], &v_[1], &scale_}) {
      *arrays = plan.arena.take<float>(plan.trials * channels());
    }
    for (auto& sums : sums_) sums = plan.arena.take<double>(channels());
    for (auto& row : row_) row = plan.arena.take<float>(channels());
    if (plan.training) {
      for (auto* arrays : {&mean_adjoint_, &mean_product_, &mean_tangent_, &q_})
        *arrays = plan.arena.take<double>(plan.trials * channels());
    }
    const float *m = stored(mean), *variances = stored(variance);
    for (std::int64_t t = 0; t < plan.trials; ++t) {
      for (std::int64_t c = 0; c < channels(); ++c) normalise_by(t, c, m[c], variances[c]);
    }
  }

  void forward() override {
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      const float* x = of(t, input().primal);
      if (plan_.training) take_statistics(t, x);
      kernels::scale_shift(of(t, out_.primal), x, of_channel(t, mean_), of_channel(t, scale_), beta_, rows(),
                           channels());
    }
  }

  void backward() override {
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      const float *x = of(t, input().primal), *adjoint = of(t, out_.adjoint);
      float *gamma = of_channel(t, gradient_[0]), *beta = of_channel(t, gradient_[1]);
      sum(0, adjoint);
      sum_product(1, adjoint, plan_.training ? mean_of(0) : zero(), x, of_channel(t, mean_));
      for (std::int64_t c = 0; c < channels(); ++c) {
        const double product = r_[at(t, c)] * sums_[1][c];  // the sum of adjoint x^
        gamma[c] = static_cast<float>(product);
        beta[c] = static_cast<float>(sums_[0][c]);
        if (plan_.training) {
          mean_adjoint_[at(t, c)] = sums_[0][c] / static_cast<double>(rows());
          mean_product_[at(t, c)] = product / static_cast<double>(rows());
        }
      }
      for (int part = 0; part < 2; ++part) {
        plan_.add_sums(t, weights_[part],
                       kernels::compare(of_channel(t, gradient_[part]), observed_[part], channels()));
      }
      if (!input().constant) pass_back(t, x, adjoint);
    }
  }

  void combine() override {
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      for (int part = 0; part < 2; ++part) {
        kernels::combine(of_channel(t, v_[part]), weights_[part] * plan_.alpha[t], observed_[part],
                         weights_[part] * plan_.beta[t], of_channel(t, gradient_[part]), channels());
      }
    }
  }

  void tangent() override {
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      const float *x = of(t, input().primal), *dx = of(t, input().tangent);
      if (plan_.training) {
        sum(0, dx);
        sum_product(1, dx, mean_of(0), x, of_channel(t, mean_));
      }
      for (std::int64_t c = 0; c < channels(); ++c) {
        const std::int64_t i = at(t, c);
        double of_x = v_[0][i] * r_[i], constant = v_[1][i];
        if (plan_.training) {
          mean_tangent_[i] = sums_[0][c] / static_cast<double>(rows());
          q_[i] = r_[i] * sums_[1][c] / static_cast<double>(rows());
          of_x -= static_cast<double>(scale_[i]) * r_[i] * q_[i];
          constant -= scale_[i] * mean_tangent_[i];
        }
        row_[0][c] = static_cast<float>(of_x);
        row_[1][c] = static_cast<float>(constant);
      }
      kernels::scale_shift_two(of(t, out_.tangent), of_channel(t, scale_), dx, row_[0], x, of_channel(t, mean_),
                               row_[1], rows(), channels(), false);
    }
  }

  void tangent_backward() override {
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      const float *x = of(t, input().primal), *dx = of(t, input().tangent);
      const float *adjoint = of(t, out_.adjoint), *moved = of(t, out_.tangent_adjoint);
      float* result = of(t, input().tangent_adjoint);
      if (plan_.training) {
        sum(0, moved);
        sum_product(1, moved, mean_of(0), x, of_channel(t, mean_));
        for (std::int64_t c = 0; c < channels(); ++c) {
          row_[0][c] = static_cast<float>(mean_adjoint_[at(t, c)]);
          row_[1][c] = static_cast<float>(mean_tangent_[at(t, c)]);
        }
        sum_product(2, adjoint, row_[0], dx, row_[1]);
      }
      for (std::int64_t c = 0; c < channels(); ++c) {
        const std::int64_t i = at(t, c);
        const double r = r_[i], scale = scale_[i], n = static_cast<double>(rows());
        double moved_scale = v_[0][i] * r, of_x = 0, of_dx = 0, constant = 0;
        if (plan_.training) {
          const double m1 = mean_adjoint_[i], m2 = mean_product_[i], q = q_[i];
          moved_scale -= scale * r * q;
          const double moved_product = r * sums_[1][c] / n + r * sums_[2][c] / n - r * q * m2;
          of_dx = -scale * m2 * r;
          of_x = r * (-moved_scale * m2 + scale * m2 * r * q - scale * moved_product);
          constant = -moved_scale * m1 - scale * sums_[0][c] / n + scale * m2 * r * mean_tangent_[i];
        }
        row_[0][c] = static_cast<float>(moved_scale);
        row_[1][c] = static_cast<float>(constant);
        row_[2][c] = static_cast<float>(of_dx);
        row_[3][c] = static_cast<float>(of_x);
      }
      kernels::scale_shift_two(result, of_channel(t, scale_), moved, row_[0], adjoint, zero(), row_[1], rows(),
                               channels(), in_[0].add);
      if (plan_.training)
        kernels::scale_shift_two(result, row_[2], dx, row_[3], x, of_channel(t, mean_), zero(), rows(), channels(),
                                 true);
    }
  }

 private:
  [[nodiscard]] std::int64_t channels() const { return out_.channels; }
  [[nodiscard]] std::int64_t rows() const { return plan_.batch * out_.pixels(); }
  [[nodiscard]] std::int64_t at(std::int64_t trial, std::int64_t channel) const { return trial * channels() + channel; }
  [[nodiscard]] float* of(std::int64_t trial, float* array) const { return array + trial * plan_.batch * out_.size(); }
  [[nodiscard]] float* of_channel(std::int64_t trial, float* array) const { return array + trial * channels(); }
  [[nodiscard]] const float* zero() {
    std::fill_n(row_[4], channels(), 0.f);
    return row_[4];
  }
  // The mean of what `sum` summed up: what is nearly constant is multiplied about its mean, or float32 would cancel.
  [[nodiscard]] const float* mean_of(int slot) {
    for (std::int64_t c = 0; c < channels(); ++c)
      row_[5][c] = static_cast<float>(sums_[slot][c] / static_cast<double>(rows()));
    return row_[5];
  }
  void sum(int slot, const float* x) {
    std::fill_n(sums_[slot], channels(), 0.0);
    kernels::sum_rows(sums_[slot], x, rows(), channels());
  }
  void sum_product(int slot, const float* x, const float* x_centre, const float* z, const float* z_centre) {
    std::fill_n(sums_[slot], channels(), 0.0);
    kernels::sum_product_rows(sums_[slot], x, x_centre, z, z_centre, rows(), channels());
  }
  void normalise_by(std::int64_t t, std::int64_t c, double mean, double variance) {
    const std::int64_t i = at(t, c);
    const double r = 1 / std::sqrt(variance + epsilon_);
    mean_[i] = static_cast<float>(mean);
    r_[i] = static_cast<float>(r);
    scale_[i] = static_cast<float>(gamma_[c] * r);
  }
  void take_statistics(std::int64_t t, const float* x) {
    sum(0, x);
    for (std::int64_t c = 0; c < channels(); ++c)
      mean_[at(t, c)] = static_cast<float>(sums_[0][c] / static_cast<double>(rows()));
    sum_product(1, x, of_channel(t, mean_), x, of_channel(t, mean_));
    for (std::int64_t c = 0; c < channels(); ++c) {
      normalise_by(t, c, sums_[0][c] / static_cast<double>(rows()),
                   std::max(0.0, sums_[1][c] / static_cast<double>(rows())));
    }
  }
  void pass_back(std::int64_t t, const float* x, const float* adjoint) {
    for (std::int64_t c = 0; c < channels(); ++c) {
      const std::int64_t i = at(t, c);
      const double of_x = plan_.training ? -static_cast<double>(scale_[i]) * mean_product_[i] * r_[i] : 0;
      row_[0][c] = static_cast<float>(of_x);
      row_[1][c] = static_cast<float>(plan_.training ? -scale_[i] * mean_adjoint_[i] : 0);
    }
    float* result = of(t, input().adjoint);
    kernels::scale_shift_two(result, of_channel(t, scale_), adjoint, row_[0], x, of_channel(t, mean_), row_[1], rows(),
                             channels(), in_[0].add);
  }

  double epsilon_;
  float weights_[2];
  float *gamma_, *beta_, *observed_[2];
  float *mean_, *r_, *scale_;                                 // trials x channels; scale = gamma r
  float *gradient_[2], *v_[2];                                // trials x channels, of gamma and of beta
  double *mean_adjoint_ = nullptr, *mean_product_ = nullptr;  // training: <y'> and <y' x^>
  double *mean_tangent_ = nullptr, *q_ = nullptr;             // training: <dx> and <x^ dx>
  double* sums_[3];
  float* row_[6];
};

}  // namespace

std::unique_ptr<Step> batch_norm(Plan& plan, Input in, Value& out, const nets::BatchNorm& norm, const Parameter& weight,
                                 const Parameter& bias, const Tensor& mean, const Tensor& variance) {
  return std::make_unique<BatchNorm>(plan, in, out, norm, weight, bias, mean, variance);
}

}  // namespace pellucid::inversion::steps
