// The steps of the matching engine: one for each layer that computes something, each able to do the four sweeps.
//
// With g = the gradient of the loss by the parameters and v = dD/dg (D: the distance from the observed gradient), the
// gradient of D by the images is the directional derivative of the images' own gradient when the parameters move along
// v:
//
//   forward           x -> y            y = f(x, w)
//   backward          y' -> x', g       x' = J^T y', the gradient g of the layer's parameters, and its sums with g*
//   tangent           dx -> dy          dy = J dx + (df/dw) v
//   tangent_backward  dy' -> dx'        the derivative of `backward`'s x' along (dx, dy', v)
//
// See docs/engine.md. Everything here runs on one thread; memory is fixed once the steps are made.
#pragma once

#include "pellucid/core/torch.h"
#include "pellucid/inversion/engine/kernels.h"
#include "pellucid/nets/network.h"

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

namespace pellucid::inversion {
class Onednn;
}

namespace pellucid::inversion::steps {

/// Memory that is given out once, zeroed, aligned for vector units, and freed together.
class Arena {
 public:
  /// `count` values of type T, all zero.
  template <typename T>
  T* take(std::int64_t count) {
    return static_cast<T*>(take_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }
  void* take_bytes(std::size_t bytes);
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  std::vector<std::unique_ptr<void, Free>> blocks_;
  std::size_t bytes_ = 0;
};

/// What flows between the layers: images x (height x width) x channels, all trials' images one after the other.
/// A flattened value has one pixel; `flattened_pixels` then says how many its channels came from, pixel by pixel, where
/// PyTorch has them channel by channel.
struct Value {
  std::int64_t height = 1, width = 1, channels = 1, flattened_pixels = 1;
  /// Does not depend on the parameters: the images. Its tangent is zero, its adjoint is not asked for.
  bool constant = false;
  float *primal = nullptr, *adjoint = nullptr, *tangent = nullptr, *tangent_adjoint = nullptr;
  /// The same in brain floats, where a convolution of mixed precision asked for them.
  kernels::BFloat *low_primal = nullptr, *low_tangent = nullptr;

  [[nodiscard]] std::int64_t pixels() const { return height * width; }
  [[nodiscard]] std::int64_t size() const { return pixels() * channels; }  ///< of one image
};

/// A step's input. Several steps may take one value: in the backward sweeps the first to come writes, the others add.
struct Input {
  Value* value;
  bool add = false;
};

/// What all steps of an engine share.
struct Plan {
  std::int64_t trials, batch;  ///< independent restarts, and images in each
  bool mixed;                  ///< brain floats everywhere but in the forward sweep
  bool training;               ///< batch norm takes the batch's statistics
  Arena arena;
  std::shared_ptr<Onednn> dnn;
  float* scratch = nullptr;  ///< as large as the largest value

  // For each trial: what `backward` sums up (times the weight of each parameter), and v = alpha g* + beta g.
  std::vector<kernels::Sums> sums;
  std::vector<float> alpha, beta;
  std::vector<double> features;  // the weighted distance of the features, where they are matched

  [[nodiscard]] std::int64_t images() const { return trials * batch; }
  /// Adds a parameter's part to a trial's sums.
  void add_sums(std::int64_t trial, double weight, const kernels::Sums& part) {
    sums[trial].inner += weight * part.inner;
    sums[trial].square += weight * part.square;
    sums[trial].difference += weight * part.difference;
  }
};

class Step {
 public:
  Step(Plan& plan, std::vector<Input> inputs, Value& output) : plan_(plan), in_(std::move(inputs)), out_(output) {}
  virtual ~Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  virtual void forward() = 0;
  virtual void backward() = 0;
  virtual void tangent() = 0;
  virtual void tangent_backward() = 0;
  /// Multiply-accumulates of the step's matrix products in one evaluation of all trials, those with padding left out.
  [[nodiscard]] virtual std::int64_t macs() { return 0; }
  /// Forms v from alpha, beta and the gradients, between `backward` and `tangent`.
  virtual void combine() {}

  [[nodiscard]] std::vector<Input>& inputs() { return in_; }

 protected:
  [[nodiscard]] Value& input(std::size_t i = 0) { return *in_[i].value; }

  Plan& plan_;
  std::vector<Input> in_;
  Value& out_;
};

/// A layer's parameter: its value, the observed gradient over the norm, and its weight in the distance.
struct Parameter {
  Tensor value, observed;
  float weight = 1;
};

/// What a linear layer's input should be, for each image of a batch: h* in PyTorch's order (B, in), and the weight of
/// |h - h*|^2 (B). Undefined: nothing.
struct Targets {
  Tensor values = {}, weights = {};
};

// One function for each kind of step. `in` must be in place, with memory, before; so must `out`.
std::unique_ptr<Step> convolution(Plan& plan, Input in, Value& out, const nets::Conv& conv, const Parameter& weight,
                                  const Parameter& bias);
std::unique_ptr<Step> linear(Plan& plan, Input in, Value& out, const Parameter& weight, const Parameter& bias,
                             const Targets& targets);
std::unique_ptr<Step> batch_norm(Plan& plan, Input in, Value& out, const nets::BatchNorm& norm, const Parameter& weight,
                                 const Parameter& bias, const Tensor& mean, const Tensor& variance);
std::unique_ptr<Step> normalise(Plan& plan, Input in, Value& out, const nets::Normalise& normalise);
/// ReLU and leaky ReLU; `in` and `out` may share their memory.
std::unique_ptr<Step> rectifier(Plan& plan, Input in, Value& out, float slope);
enum class Smooth { kSigmoid, kTanh, kGelu };
std::unique_ptr<Step> smooth(Plan& plan, Input in, Value& out, Smooth function);
std::unique_ptr<Step> max_pool(Plan& plan, Input in, Value& out, std::int64_t size);
/// The mean over windows of height x width.
std::unique_ptr<Step> average_pool(Plan& plan, Input in, Value& out, std::int64_t height, std::int64_t width);
std::unique_ptr<Step> add(Plan& plan, Input a, Input b, Value& out);

}  // namespace pellucid::inversion::steps
