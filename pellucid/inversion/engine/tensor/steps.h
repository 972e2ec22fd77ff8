// The steps of the tensor engine: those of engine/steps.h, over libtorch's operations and all trials at once.
#pragma once

#include "pellucid/core/torch.h"
#include "pellucid/inversion/engine/gram.h"
#include "pellucid/inversion/problem.h"
#include "pellucid/nets/network.h"

#include <memory>
#include <vector>

namespace pellucid::inversion::tensor_steps {

/// What flows between the layers: (images, H, W, C), all trials' images one after the other; flat features have one
/// position.
struct Value {
  std::int64_t height = 1, width = 1, channels = 1;
  /// Flat features come from so many positions, one after the other, where PyTorch has channel after channel.
  std::int64_t pixels = 1;
  bool constant = false;  ///< does not depend on the parameters: it has no tangent, and nobody asks for its adjoint
  /// Of the sweeps at hand. An undefined tangent or tangent adjoint is zero.
  Tensor primal = {}, adjoint = {}, tangent = {}, tangent_adjoint = {};

  [[nodiscard]] std::vector<std::int64_t> shape(std::int64_t images) const { return {images, height, width, channels}; }
};

/// A layer's parameter: its value, the observed gradient, and its weight in the distance.
struct Parameter {
  Tensor value, observed;
  double weight = 1;
};

/// What all steps of an engine share.
class Plan {
 public:
  std::int64_t trials, batch;
  bool training;  ///< batch norm takes the batch's statistics
  bool l2;        ///< the objective: then v = 2 (g - g*)
  bool angular;   ///< likewise
  torch::TensorOptions like;
  torch::ScalarType low;  ///< of the products' factors in all but the forward sweep
  Tensor alpha, beta;     ///< v = alpha g* + beta g of each trial, (trials, 1, 1)

  Plan(const Problem& problem, std::int64_t trials, Precision precision, const torch::Device& device);

  /// What the distance is made of: (trials) float64, for l2 the difference, else the other two.
  struct Sums {
    Tensor inner, square, difference;
  };

  [[nodiscard]] std::int64_t images() const { return trials * batch; }
  [[nodiscard]] torch::ScalarType type() const { return like.dtype().toScalarType(); }
  [[nodiscard]] Tensor constant(const Tensor& tensor) const { return tensor.detach().to(like).contiguous(); }
  [[nodiscard]] Tensor lowered(const Tensor& tensor) const { return tensor.to(low); }
  /// A matrix product whose factors are of the low type and whose sums and result are not.
  [[nodiscard]] Tensor product(const Tensor& a, const Tensor& b) const;
  /// (images, H, W, C) as (trials, positions in all images of a trial, C).
  [[nodiscard]] Tensor rows(const Tensor& value) const { return value.reshape({trials, -1, value.size(-1)}); }

  /// Adds a parameter's part of the distance.
  void add(double weight, const Sums& sums);

  /// Biases and batch norms: their gradients lie side by side, (trials, all of them), and are compared at once.
  /// @return the parameter's number, by which its gradient is given and its part of v asked for.
  std::size_t small_parameter(const Tensor& observed, double weight);
  void set_small(std::size_t number, const Tensor& gradient) { small_[number] = gradient; }
  /// @return (trials, 1, size)
  [[nodiscard]] Tensor small_v(std::size_t number) const;

  /// To be called once every step is made.
  void finish();

  /// After the backward sweep: the distance, and what v is made of. @param observed_square |g*|^2 with the weights.
  Tensor distance(double observed_square);

 private:
  std::vector<double> weights_;
  std::vector<std::vector<Tensor>> parts_;
  std::vector<Tensor> small_, observed_small_, small_weights_;
  std::vector<std::int64_t> begins_;
  Tensor all_observed_, all_weights_, all_small_, small_v_;
};

/// Flat features' values, the last dimension, from PyTorch's order into a flattened value's.
[[nodiscard]] Tensor as_flattened(const Tensor& features, std::int64_t pixels);

/// Over all but the first dimension, in float64.
[[nodiscard]] Tensor square_sum(const Tensor& a);
[[nodiscard]] Tensor product_sum(const Tensor& a, const Tensor& b);

void forget(std::initializer_list<Tensor*> tensors);

/// Adds to a sum that is zero where it is undefined.
void collect(Tensor& sum, const Tensor& part);

/// One for each layer that computes something, with the four sweeps of engine/steps.h.
class Step {
 public:
  Step(Plan& plan, std::vector<Value*> inputs, Value& output) : plan_(plan), in_(std::move(inputs)), out_(output) {}
  virtual ~Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  virtual void forward() = 0;
  virtual void backward() = 0;
  virtual void tangent() = 0;
  virtual void tangent_backward() = 0;

  /// Of an output that nothing takes.
  void need_adjoint() {
    if (!out_.adjoint.defined()) out_.adjoint = torch::zeros_like(out_.primal);
  }

 protected:
  [[nodiscard]] Value& input(std::size_t i = 0) { return *in_[i]; }

  Plan& plan_;
  std::vector<Value*> in_;
  Value& out_;
};

/// A convolution, or a linear layer as one with a single position. A bias that is undefined is none.
std::unique_ptr<Step> convolution(Plan& plan, Value& in, Value& out, const steps::Geometry& geometry,
                                  const Parameter& weight, const Parameter& bias);
std::unique_ptr<Step> batch_norm(Plan& plan, Value& in, Value& out, double epsilon, const Parameter& weight,
                                 const Parameter& bias, const Tensor& mean, const Tensor& variance);
std::unique_ptr<Step> normalise(Plan& plan, Value& in, Value& out, const nets::Normalise& op);
std::unique_ptr<Step> relu(Plan& plan, Value& in, Value& out);
std::unique_ptr<Step> leaky_relu(Plan& plan, Value& in, Value& out, double slope);
std::unique_ptr<Step> sigmoid(Plan& plan, Value& in, Value& out);
std::unique_ptr<Step> tanh(Plan& plan, Value& in, Value& out);
std::unique_ptr<Step> gelu(Plan& plan, Value& in, Value& out);
/// Windows do not overlap: their stride is their size.
std::unique_ptr<Step> max_pool(Plan& plan, Value& in, Value& out, std::int64_t size);
std::unique_ptr<Step> average_pool(Plan& plan, Value& in, Value& out, std::int64_t height, std::int64_t width);
/// The same values as flat features.
std::unique_ptr<Step> flatten(Plan& plan, Value& in, Value& out);
std::unique_ptr<Step> add(Plan& plan, Value& a, Value& b, Value& out);
/// The input of a linear layer where it is matched too: the sum of weight |h - h*|^2 over a batch's images, whose
/// gradient joins the last sweep.
/// @param targets h* of each image, (B, in) in PyTorch's order. @param weights (B).
/// @param loss out, of each trial in each forward sweep; outlives the step.
std::unique_ptr<Step> features(Plan& plan, Value& in, const Tensor& targets, const Tensor& weights, Tensor& loss);

/// The loss at the logits: what starts the backward sweeps.
class Head {
 public:
  Head(const Plan& plan, const Problem& problem, Value& logits);

  /// @param labels of every trial, (images, classes) in PyTorch's order.
  void set_labels(const Tensor& labels);
  /// The derivative of the functional by the logits.
  void backward();
  /// How that derivative moves with the logits. @return the gradient of the distance by the labels, where asked for.
  Tensor tangent(bool by_labels);

 private:
  const Plan& plan_;
  Value& logits_;
  bool residual_, any_size_;
  double scale_;
  Tensor labels_, label_sums_;  // the labels, or the residual over the gradient's norm
  Tensor p_, sizes_;
};

}  // namespace pellucid::inversion::tensor_steps
