// Steps without parameters: activations, pooling, sums.
#include "pellucid/inversion/engine/steps.h"

#include <dnnl.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numbers>

namespace pellucid::inversion::steps {
namespace {

// y = x, or y += x.
void put(float* y, const float* x, std::int64_t count, bool add) {
  if (add) {
    kernels::add(y, x, count);
  } else {
    std::memcpy(y, x, count * sizeof(float));
  }
}

class Rectifier : public Step {
 public:
  Rectifier(Plan& plan, Input in, Value& out, float slope) : Step(plan, {in}, out), slope_(slope) {}

  void forward() override { kernels::rectify(out_.primal, input().primal, slope_, count()); }
  void tangent() override { kernels::rectify_like(out_.tangent, input().tangent, out_.primal, slope_, count()); }
  void backward() override { pass_back(input().adjoint, out_.adjoint); }
  void tangent_backward() override { pass_back(input().tangent_adjoint, out_.tangent_adjoint); }

 private:
  [[nodiscard]] std::int64_t count() const { return plan_.images() * out_.size(); }
  void pass_back(float* in, const float* out) {
    if (in_[0].add) {
      kernels::rectify_like(plan_.scratch, out, out_.primal, slope_, count());
      kernels::add(in, plan_.scratch, count());
    } else {
      kernels::rectify_like(in, out, out_.primal, slope_, count());
    }
  }
  float slope_;
};

// A smooth activation's value, first and second derivative.
struct Curve {
  float value, first, second;
};

Curve curve(Smooth function, float x) {
  switch (function) {
    case Smooth::kSigmoid: {
      const float s = 1 / (1 + std::exp(-x)), d = s * (1 - s);
      return {s, d, d * (1 - 2 * s)};
    }
    case Smooth::kTanh: {
      const float t = std::tanh(x), d = 1 - t * t;
      return {t, d, -2 * t * d};
    }
    case Smooth::kGelu: break;
  }
  // x Phi(x), with Phi the standard normal's distribution and phi its density.
  const float density = std::exp(-x * x / 2) * static_cast<float>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  const float distribution = std::erfc(-x / static_cast<float>(std::numbers::sqrt2)) / 2;
  return {x * distribution, distribution + x * density, density * (2 - x * x)};
}

class SmoothStep : public Step {
 public:
  SmoothStep(Plan& plan, Input in, Value& out, Smooth function)
      : Step(plan, {in}, out),
        function_(function),
        first_(plan.arena.take<float>(count())),
        second_(plan.arena.take<float>(count())) {}

  void forward() override {
    for (std::int64_t i = 0; i < count(); ++i) {
      const Curve c = curve(function_, input().primal[i]);
      out_.primal[i] = c.value;
      first_[i] = c.first;
      second_[i] = c.second;
    }
  }
  void backward() override {
    for (std::int64_t i = 0; i < count(); ++i) put_one(input().adjoint[i], first_[i] * out_.adjoint[i]);
  }
  void tangent() override {
    for (std::int64_t i = 0; i < count(); ++i) out_.tangent[i] = first_[i] * input().tangent[i];
  }
  void tangent_backward() override {
    for (std::int64_t i = 0; i < count(); ++i) {
      put_one(input().tangent_adjoint[i],
              first_[i] * out_.tangent_adjoint[i] + second_[i] * input().tangent[i] * out_.adjoint[i]);
    }
  }

 private:
  [[nodiscard]] std::int64_t count() const { return plan_.images() * out_.size(); }
  void put_one(float& y, float x) const { y = in_[0].add ? y + x : x; }
  Smooth function_;
  float *first_, *second_;
};

// Windows do not overlap: their stride is their size. Rows and columns that fill no window belong to none.
class MaxPool : public Step {
 public:
  MaxPool(Plan& plan, Input in, Value& out, std::int64_t size)
      : Step(plan, {in}, out), size_(size), chosen_(plan.arena.take<std::int32_t>(plan.images() * out.size())) {}

  // The first of equal values wins, as in PyTorch.
  void forward() override {
    const Value& x = input();
    for (std::int64_t n = 0; n < plan_.images(); ++n) {
      const float* image = x.primal + n * x.size();
      for (std::int64_t row = 0; row < out_.height; ++row) {
        for (std::int64_t column = 0; column < out_.width; ++column) {
          const std::int64_t at = n * out_.size() + (row * out_.width + column) * out_.channels;
          float* best = out_.primal + at;
          std::int32_t* index = chosen_ + at;
          for (std::int64_t k = 0; k < size_ * size_; ++k) {
            const auto offset = ((row * size_ + k / size_) * x.width + column * size_ + k % size_) * x.channels;
            const float* candidate = image + offset;
            for (std::int64_t c = 0; c < out_.channels; ++c) {
              const bool better = k == 0 || candidate[c] > best[c];
              best[c] = better ? candidate[c] : best[c];
              index[c] = better ? static_cast<std::int32_t>(offset + c) : index[c];
            }
          }
        }
      }
    }
  }
  void tangent() override {
    for (std::int64_t n = 0; n < plan_.images(); ++n) {
      const float* image = input().tangent + n * input().size();
      const std::int64_t begin = n * out_.size();
      for (std::int64_t i = begin; i < begin + out_.size(); ++i) out_.tangent[i] = image[chosen_[i]];
    }
  }
  void backward() override { pass_back(input().adjoint, out_.adjoint); }
  void tangent_backward() override { pass_back(input().tangent_adjoint, out_.tangent_adjoint); }

 private:
  void pass_back(float* in, const float* out) {
    if (!in_[0].add) std::memset(in, 0, plan_.images() * input().size() * sizeof(float));
    for (std::int64_t n = 0; n < plan_.images(); ++n) {
      float* image = in + n * input().size();
      const std::int64_t begin = n * out_.size();
      for (std::int64_t i = begin; i < begin + out_.size(); ++i) image[chosen_[i]] += out[i];
    }
  }
  std::int64_t size_;
  std::int32_t* chosen_;  // within the image, for each output
};

class AveragePool : public Step {
 public:
  AveragePool(Plan& plan, Input in, Value& out, std::int64_t height, std::int64_t width)
      : Step(plan, {in}, out), height_(height), width_(width) {}

  void forward() override { mean(out_.primal, input().primal); }
  void tangent() override { mean(out_.tangent, input().tangent); }
  void backward() override { spread(input().adjoint, out_.adjoint); }
  void tangent_backward() override { spread(input().tangent_adjoint, out_.tangent_adjoint); }

 private:
  // Calls f(input position, output position) for all positions of all windows, positions being rows of channels.
  template <typename F>
  void each(F f) {
    const Value& x = input();
    for (std::int64_t n = 0; n < plan_.images(); ++n) {
      for (std::int64_t row = 0; row < out_.height * height_; ++row) {
        for (std::int64_t column = 0; column < out_.width * width_; ++column) {
          f(((n * x.height + row) * x.width + column) * x.channels,
            ((n * out_.height + row / height_) * out_.width + column / width_) * out_.channels);
        }
      }
    }
  }
  [[nodiscard]] float share() const { return 1 / static_cast<float>(height_ * width_); }
  void mean(float* out, const float* in) {
    std::memset(out, 0, plan_.images() * out_.size() * sizeof(float));
    each([&](std::int64_t from, std::int64_t to) { kernels::add_scaled(out + to, share(), in + from, out_.channels); });
  }
  void spread(float* in, const float* out) {
    if (!in_[0].add) std::memset(in, 0, plan_.images() * input().size() * sizeof(float));
    each([&](std::int64_t to, std::int64_t from) { kernels::add_scaled(in + to, share(), out + from, out_.channels); });
  }
  std::int64_t height_, width_;
};

class Sum : public Step {
 public:
  Sum(Plan& plan, Input a, Input b, Value& out) : Step(plan, {a, b}, out) {}

  void forward() override { sum(out_.primal, input(0).primal, input(1).primal); }
  void tangent() override { sum(out_.tangent, input(0).tangent, input(1).tangent); }
  void backward() override {
    for (auto& in : in_) put(in.value->adjoint, out_.adjoint, count(), in.add);
  }
  void tangent_backward() override {
    for (auto& in : in_) put(in.value->tangent_adjoint, out_.tangent_adjoint, count(), in.add);
  }

 private:
  [[nodiscard]] std::int64_t count() const { return plan_.images() * out_.size(); }
  void sum(float* y, const float* a, const float* b) { kernels::combine(y, 1, a, 1, b, count()); }
};

// (x - mean) / deviation by channel, of the images: nothing flows back to them but the last sweep's result.
class Normalise : public Step {
 public:
  Normalise(Plan& plan, Input in, Value& out, const nets::Normalise& normalise)
      : Step(plan, {in}, out),
        mean_(plan.arena.take<float>(out.channels)),
        scale_(plan.arena.take<float>(out.channels)),
        nothing_(plan.arena.take<float>(out.channels)) {
    for (std::int64_t c = 0; c < out.channels; ++c) {
      mean_[c] = static_cast<float>(normalise.mean[c]);
      scale_[c] = static_cast<float>(1 / normalise.deviation[c]);
    }
  }
  void forward() override { apply(out_.primal, input().primal, mean_); }
  void backward() override {}
  void tangent() override {}
  void tangent_backward() override {
    apply(plan_.scratch, out_.tangent_adjoint, nothing_);
    put(input().tangent_adjoint, plan_.scratch, plan_.images() * out_.size(), in_[0].add);
  }

 private:
  void apply(float* y, const float* x, const float* centre) {
    kernels::scale_shift(y, x, centre, scale_, nothing_, plan_.images() * out_.pixels(), out_.channels);
  }
  float *mean_, *scale_, *nothing_;
};

}  // namespace

void* Arena::take_bytes(std::size_t bytes) {
  constexpr std::size_t kAlignment = 64;
  // oneDNN 2.7's AVX2 kernels for backward convolutions (jit:avx2, jit_1x1:avx2) write past an array in NHWC whose
  // channels are no multiple of eight: up to 272 bytes were seen. One tile is 16 vectors at most, so this is enough for
  // 256 channels of 16 pixels.
  constexpr auto kAvx512 = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
  static const bool has_avx512 = (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kAvx512) == kAvx512;
  const std::size_t spare = has_avx512 ? 0 : 16 * 1024;
  const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + spare + kAlignment - 1) / kAlignment * kAlignment;
  void* block = std::aligned_alloc(kAlignment, rounded);
  if (block == nullptr) throw std::bad_alloc();
  std::memset(block, 0, rounded);
  blocks_.emplace_back(block);
  bytes_ += rounded;
  return block;
}

std::unique_ptr<Step> rectifier(Plan& plan, Input in, Value& out, float slope) {
  return std::make_unique<Rectifier>(plan, in, out, slope);
}
std::unique_ptr<Step> smooth(Plan& plan, Input in, Value& out, Smooth function) {
  return std::make_unique<SmoothStep>(plan, in, out, function);
}
std::unique_ptr<Step> max_pool(Plan& plan, Input in, Value& out, std::int64_t size) {
  return std::make_unique<MaxPool>(plan, in, out, size);
}
std::unique_ptr<Step> average_pool(Plan& plan, Input in, Value& out, std::int64_t height, std::int64_t width) {
  return std::make_unique<AveragePool>(plan, in, out, height, width);
}
std::unique_ptr<Step> add(Plan& plan, Input a, Input b, Value& out) { return std::make_unique<Sum>(plan, a, b, out); }
std::unique_ptr<Step> normalise(Plan& plan, Input in, Value& out, const nets::Normalise& normalise) {
  return std::make_unique<Normalise>(plan, in, out, normalise);
}

}  // namespace pellucid::inversion::steps
