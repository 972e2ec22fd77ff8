#include "pellucid/inversion/engine/tensor_engine.h"

#include "pellucid/core/error.h"
#include "pellucid/core/recording.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/engine/gram.h"

#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <set>

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;
using steps::Geometry;
using torch::indexing::None;
using torch::indexing::Slice;

// What flows between the layers: (images, H, W, C), all trials' images one after the other; flat features have one
// position.
struct Value {
  std::int64_t height = 1, width = 1, channels = 1;
  // Flat features come from so many positions, one after the other, where PyTorch has channel after channel.
  std::int64_t pixels = 1;
  bool constant = false;  // does not depend on the parameters: it has no tangent, and nobody asks for its adjoint
  // Of the sweeps at hand. An undefined tangent or tangent adjoint is zero.
  Tensor primal = {}, adjoint = {}, tangent = {}, tangent_adjoint = {};

  [[nodiscard]] std::vector<std::int64_t> shape(std::int64_t images) const { return {images, height, width, channels}; }
};

// Flat features' values, the last dimension, from PyTorch's order into a flattened value's.
Tensor as_flattened(const Tensor& features, std::int64_t pixels) {
  if (pixels == 1) return features;
  auto shape = features.sizes().vec();
  return features.reshape({-1, shape.back() / pixels, pixels}).transpose(1, 2).reshape(shape);
}

struct Parameter {
  Tensor value, observed;
  double weight = 1;
};

// The same bytes, sixteen of them an element where the last dimension allows it: copies of windows are then several
// times faster.
Tensor in_sixteen_bytes(const Tensor& value) {
  const bool divides = value.size(-1) * value.element_size() % 16 == 0;
  return divides ? value.view(torch::kComplexDouble) : value;
}

Tensor square_sum(const Tensor& a) { return a.square().flatten(1).sum(1, false, torch::kFloat64); }
Tensor product_sum(const Tensor& a, const Tensor& b) { return (a * b).flatten(1).sum(1, false, torch::kFloat64); }

// What all steps share.
class Plan {
 public:
  std::int64_t trials, batch;
  bool training;  // batch norm takes the batch's statistics
  bool l2;        // the objective: then v = 2 (g - g*)
  torch::TensorOptions like;
  torch::ScalarType low;  // of the products' factors in all but the forward sweep
  Tensor alpha, beta;     // v = alpha g* + beta g of each trial, (trials, 1, 1)

  Plan(const Problem& problem, std::int64_t trials_of, Precision precision, const torch::Device& device)
      : trials(trials_of),
        batch(problem.protocol.batch_size),
        training(problem.protocol.mode == nets::Mode::kTraining),
        l2(problem.objective == Objective::kL2),
        like(torch::TensorOptions(device).dtype(precision == Precision::kFloat64 ? torch::kFloat64 : torch::kFloat32)),
        low(precision == Precision::kMixed ? torch::kBFloat16 : type()),
        alpha(torch::full({trials, 1, 1}, -2, like)),
        beta(torch::full({trials, 1, 1}, 2, like)) {}

  // What the distance is made of: (trials) float64, for l2 the difference, else the other two.
  struct Sums {
    Tensor inner, square, difference;
  };

  [[nodiscard]] std::int64_t images() const { return trials * batch; }
  [[nodiscard]] torch::ScalarType type() const { return like.dtype().toScalarType(); }
  [[nodiscard]] Tensor constant(const Tensor& tensor) const { return tensor.detach().to(like).contiguous(); }
  [[nodiscard]] Tensor lowered(const Tensor& tensor) const { return tensor.to(low); }
  // Products whose factors are of the low type and whose sums and results are not.
  [[nodiscard]] Tensor product(const Tensor& a, const Tensor& b) const {
    if (low == type()) return torch::matmul(a, b);
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 8)
    if (like.device().is_cuda()) return a.dim() == 2 ? at::mm(a, b, type()) : at::bmm(a, b, type());
#endif
    return torch::matmul(a.to(type()), b.to(type()));
  }
  // (images, H, W, C) as (trials, positions in all images of a trial, C).
  [[nodiscard]] Tensor rows(const Tensor& value) const { return value.reshape({trials, -1, value.size(-1)}); }

  // Adds a parameter's part of the distance.
  void add(double weight, const Sums& sums) {
    weights_.push_back(weight);
    parts_.push_back(l2 ? std::vector<Tensor>{sums.difference} : std::vector<Tensor>{sums.inner, sums.square});
  }

  // Biases and batch norms: their gradients lie side by side, (trials, all of them), and are compared at once.
  // @return the parameter's number, by which its gradient is given and its part of v asked for.
  std::size_t small_parameter(const Tensor& observed, double weight) {
    begins_.push_back(begins_.empty() ? 0 : begins_.back() + observed_small_.back().numel());
    observed_small_.push_back(constant(observed).flatten());
    small_weights_.push_back(torch::full({observed.numel()}, weight, like));
    small_.emplace_back();
    return small_.size() - 1;
  }
  void set_small(std::size_t number, const Tensor& gradient) { small_[number] = gradient; }
  [[nodiscard]] Tensor small_v(std::size_t number) const {
    return small_v_.narrow(1, begins_[number], observed_small_[number].numel()).unsqueeze(1);
  }

  // Once every step is made.
  void finish() {
    if (small_.empty()) return;
    all_observed_ = torch::cat(observed_small_);
    all_weights_ = torch::cat(small_weights_);
  }

  // After the backward sweep: the distance, and what v is made of. @param observed_square |g*|^2 with the weights.
  Tensor distance(double observed_square) {
    if (!small_.empty()) {
      all_small_ = torch::cat(small_, 1);
      const auto sum = [](const Tensor& values) { return values.sum(1, false, torch::kFloat64); };
      if (l2) all_small_ = all_small_ - all_observed_;
      const Tensor weighted = all_small_ * all_weights_;
      add(1, l2 ? Sums{.inner = {}, .square = {}, .difference = sum(weighted * all_small_)}
                : Sums{.inner = sum(weighted * all_observed_), .square = sum(weighted * all_small_), .difference = {}});
    }
    const auto total = [&](std::size_t i) {
      std::vector<Tensor> each;
      for (std::size_t p = 0; p < parts_.size(); ++p)
        each.push_back(weights_[p] == 1 ? parts_[p][i] : parts_[p][i] * weights_[p]);
      return torch::stack(each).sum(0);
    };
    Tensor loss;
    if (l2) {
      loss = total(0);
    } else {
      const Tensor inner = total(0), square = total(1), norms = square.sqrt() * std::sqrt(observed_square);
      loss = 1 - inner / norms;
      alpha = (-norms.reciprocal()).to(type()).view({-1, 1, 1});
      beta = (inner / (norms * square)).to(type()).view({-1, 1, 1});
    }
    if (!small_.empty()) {
      small_v_ = all_weights_ *
                 (l2 ? 2 * all_small_ : torch::addcmul(all_small_ * beta.squeeze(2), all_observed_, alpha.squeeze(2)));
    }
    weights_.clear();
    parts_.clear();
    return loss;
  }

 private:
  std::vector<double> weights_;
  std::vector<std::vector<Tensor>> parts_;
  std::vector<Tensor> small_, observed_small_, small_weights_;
  std::vector<std::int64_t> begins_;
  Tensor all_observed_, all_weights_, all_small_, small_v_;
};

void forget(std::initializer_list<Tensor*> tensors) {
  for (Tensor* tensor : tensors) tensor->reset();
}

void collect(Tensor& sum, const Tensor& part) { sum = sum.defined() ? sum + part : part; }

// One for each layer that computes something, with the four sweeps of steps.h.
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

  // Of an output that nothing takes.
  void need_adjoint() {
    if (!out_.adjoint.defined()) out_.adjoint = torch::zeros_like(out_.primal);
  }

 protected:
  [[nodiscard]] Value& input(std::size_t i = 0) { return *in_[i]; }

  Plan& plan_;
  std::vector<Value*> in_;
  Value& out_;
};

// A convolution, or a linear layer as one with a single position. Values under its windows are laid out as the rows of
// a matrix.
class Weighted : public Step {
 public:
  Weighted(Plan& plan, Value& in, Value& out, const Geometry& geometry, const Parameter& weight, const Parameter& bias)
      : Step(plan, {&in}, out),
        geometry_(geometry),
        weight_of_(weight.weight),
        gram_(steps::gram_pays(geometry, plan.batch, in.channels, out.channels)),
        forward_(ahead(weight.value)),
        tangent_(plan.lowered(forward_)),
        back_(plan.lowered(behind(weight.value))),
        observed_square_(weight.observed.to(torch::kFloat64).square().sum().item<double>()) {
    const Tensor observed = ahead(weight.observed);
    if (gram_) {
      observed_ahead_ = plan.lowered(observed);
      observed_behind_ = plan.lowered(behind(weight.observed));
      index_windows();
    } else {
      observed_ = observed.t().contiguous();
    }
    if (bias.value.defined()) {
      bias_ = plan.constant(bias.value);
      bias_number_ = plan.small_parameter(bias.observed, bias.weight);
    }
  }

  void forward() override {
    const Tensor windows = columns(input().primal, plan_.type(), framed_exact_);
    const Tensor y = bias_.defined() ? torch::addmm(bias_, windows, forward_) : torch::mm(windows, forward_);
    out_.primal = y.view(out_.shape(plan_.images()));
    windows_ = plan_.lowered(windows);
  }

  void backward() override {
    const Tensor d = plan_.rows(out_.adjoint);
    back_windows_ = back_columns(out_.adjoint);
    if (bias_.defined()) plan_.set_small(bias_number_, d.sum(1));
    plan_.add(weight_of_, gram_ ? compare_by_gram(d) : compare(plan_.lowered(d)));
    if (!input().constant) collect(input().adjoint, plan_.product(back_windows_, back_).view(input().primal.sizes()));
    if (gram_) forget({&windows_, &back_windows_});
  }

  void tangent() override {
    Tensor y;
    if (gram_) {
      y = plan_.product(scaled(window_products_), plan_.lowered(plan_.rows(out_.adjoint)))
              .addcmul_(by_observed_, weighted(plan_.alpha));
    } else {
      v_ = plan_.l2 ? gradient_ * (2 * weight_of_)
                    : torch::addcmul(gradient_ * weighted(plan_.beta), observed_, weighted(plan_.alpha));
      v_ = plan_.lowered(v_);
      y = plan_.product(plan_.rows(windows_), v_.transpose(1, 2));
      forget({&gradient_, &windows_});
    }
    if (bias_.defined()) y.add_(plan_.small_v(bias_number_));
    if (input().tangent.defined())
      y.view({-1, out_.channels}).add_(plan_.product(columns(input().tangent, plan_.low, framed_), tangent_));
    out_.tangent = y.view(out_.shape(plan_.images()));
  }

  void tangent_backward() override {
    Tensor x;
    if (gram_) {
      x = plan_.product(scaled(spread_), plan_.lowered(plan_.rows(input().primal)))
              .addcmul_(back_by_observed_, weighted(plan_.alpha));
    } else {
      const std::int64_t offsets = geometry_.kernel * geometry_.kernel;
      const Tensor turned = v_.view({plan_.trials, out_.channels, offsets, input().channels}).flip(2).transpose(1, 2);
      x = plan_.product(plan_.rows(back_windows_), turned.reshape({plan_.trials, -1, input().channels}));
      forget({&v_, &back_windows_});
    }
    if (out_.tangent_adjoint.defined())
      x.view({-1, input().channels}).add_(plan_.product(back_columns(out_.tangent_adjoint), back_));
    collect(input().tangent_adjoint, x.view(input().primal.sizes()));
  }

 private:
  // The gradient of the weight, formed: (trials, out, k k in).
  Plan::Sums compare(const Tensor& d) {
    gradient_ = plan_.product(d.transpose(1, 2), plan_.rows(windows_));
    if (!plan_.l2)
      return {.inner = product_sum(gradient_, observed_), .square = square_sum(gradient_), .difference = {}};
    gradient_ = gradient_ - observed_;
    return {.inner = {}, .square = {}, .difference = square_sum(gradient_)};
  }
  // The same without it: see gram.h.
  Plan::Sums compare_by_gram(const Tensor& d) {
    const Tensor low = plan_.lowered(d), x = plan_.lowered(plan_.rows(input().primal));
    by_observed_ = plan_.product(windows_, observed_ahead_).view(d.sizes());
    back_by_observed_ = plan_.product(back_windows_, observed_behind_).view(x.sizes());
    const Tensor products = plan_.product(low, low.transpose(1, 2));
    window_products_ = over_windows(plan_.product(x, x.transpose(1, 2)), inputs_, geometry_.out_pixels());
    spread_ = over_windows(products, outputs_, geometry_.pixels());
    const Tensor inner = product_sum(d, by_observed_), square = product_sum(window_products_, products);
    if (!plan_.l2) return {.inner = inner, .square = square, .difference = {}};
    return {.inner = {}, .square = {}, .difference = (square - 2 * inner + observed_square_).clamp_min(0)};
  }

  [[nodiscard]] Tensor weighted(const Tensor& factor) const { return weight_of_ == 1 ? factor : factor * weight_of_; }
  [[nodiscard]] Tensor scaled(const Tensor& gram) const { return plan_.lowered(gram * weighted(plan_.beta)); }

  // A weight as what rows of windows are multiplied with, (k k in, out).
  [[nodiscard]] Tensor ahead(const Tensor& weight) const {
    return plan_.constant(as_convolution(weight).permute({2, 3, 1, 0})).flatten(0, 2);
  }
  // As what rows of windows of adjoints are, (k k out, in): turned by half a circle.
  [[nodiscard]] Tensor behind(const Tensor& weight) const {
    return plan_.constant(as_convolution(weight).flip({2, 3}).permute({2, 3, 0, 1})).flatten(0, 2);
  }
  [[nodiscard]] Tensor as_convolution(const Tensor& weight) const {
    return weight.dim() == 4 ? weight
                             : as_flattened(weight, in_[0]->pixels).view({weight.size(0), weight.size(1), 1, 1});
  }

  // The windows of a value as rows, (images * positions, k k C). @param framed keeps it with its border of zeros.
  [[nodiscard]] Tensor columns(const Tensor& value, torch::ScalarType type, Tensor& framed) const {
    const auto& g = geometry_;
    if (g.kernel == 1 && g.padding == 0) {
      const Slice every(0, None, g.stride);
      return value.index({Slice(), every, every}).to(type).reshape({-1, value.size(3)});
    }
    if (!framed.defined())
      framed = torch::zeros({plan_.images(), g.height + 2 * g.padding, g.width + 2 * g.padding, value.size(3)},
                            plan_.like.dtype(type));
    framed.narrow(1, g.padding, g.height).narrow(2, g.padding, g.width).copy_(value);
    return windows_of(framed, g.out_height, g.out_width, g.stride);
  }
  // For each position of the input, the adjoints of the windows it stands in, (images * positions, k k out).
  [[nodiscard]] Tensor back_columns(const Tensor& adjoint) {
    const auto& g = geometry_;
    if (g.kernel == 1 && g.padding == 0 && g.stride == 1) return plan_.lowered(adjoint).reshape({-1, out_.channels});
    if (!back_framed_.defined()) {
      back_framed_ = torch::zeros({plan_.images(), g.height + g.kernel - 1, g.width + g.kernel - 1, out_.channels},
                                  plan_.like.dtype(plan_.low));
    }
    const std::int64_t begin = g.kernel - 1 - g.padding;
    const auto along = [&](std::int64_t count) { return Slice(begin, begin + (count - 1) * g.stride + 1, g.stride); };
    back_framed_.index({Slice(), along(g.out_height), along(g.out_width)}).copy_(adjoint);
    return windows_of(back_framed_, g.height, g.width, 1);
  }
  [[nodiscard]] Tensor windows_of(const Tensor& framed, std::int64_t height, std::int64_t width,
                                  std::int64_t stride) const {
    const Tensor wide = in_sixteen_bytes(framed);
    const std::int64_t n = wide.size(0), k = geometry_.kernel, c = wide.size(3), row = wide.stride(1),
                       column = wide.stride(2);
    const Tensor windows =
        wide.as_strided({n, height, width, k, k, c}, {wide.stride(0), stride * row, stride * column, row, column, 1})
            .contiguous();
    return windows.view({n * height * width, k * k * c}).view(framed.scalar_type());
  }

  // Which pair of the input's positions stands under each offset of a pair of windows, and the other way round.
  void index_windows() {
    const auto& g = geometry_;
    if (g.kernel == 1 && g.stride == 1 && g.padding == 0) return;
    const std::int64_t offsets = g.kernel * g.kernel;
    std::vector<std::int64_t> input_of(offsets * g.out_pixels(), -1), output_of(offsets * g.pixels(), -1);
    for (std::int64_t o = 0; o < offsets; ++o) {
      for (std::int64_t p = 0; p < g.out_pixels(); ++p) {
        const auto row = p / g.out_width * g.stride + o / g.kernel - g.padding,
                   column = p % g.out_width * g.stride + o % g.kernel - g.padding;
        if (row < 0 || row >= g.height || column < 0 || column >= g.width) continue;
        input_of[o * g.out_pixels() + p] = row * g.width + column;
        output_of[o * g.pixels() + row * g.width + column] = p;
      }
    }
    inputs_ = pairs(input_of, g.out_pixels(), g.pixels());
    outputs_ = pairs(output_of, g.pixels(), g.out_pixels());
  }
  // (offsets * size * size) indices into the other side's pairs, past the last of them where there is none.
  [[nodiscard]] Tensor pairs(const std::vector<std::int64_t>& other, std::int64_t count,
                             std::int64_t other_count) const {
    const std::int64_t offsets = geometry_.kernel * geometry_.kernel, size = plan_.batch * count,
                       other_size = plan_.batch * other_count;
    std::vector<std::int64_t> index(offsets * size * size, other_size * other_size);
    for (std::int64_t o = 0; o < offsets; ++o) {
      for (std::int64_t p = 0; p < size; ++p) {
        for (std::int64_t q = 0; q < size; ++q) {
          const std::int64_t i = other[o * count + p % count], j = other[o * count + q % count];
          if (i >= 0 && j >= 0)
            index[(o * size + p) * size + q] = (p / count * other_count + i) * other_size + q / count * other_count + j;
        }
      }
    }
    return torch::tensor(index, torch::kInt64).to(plan_.like.device());
  }
  // One side's Gram matrices summed over the windows: (trials, size, size) of the other.
  [[nodiscard]] Tensor over_windows(const Tensor& gram, const Tensor& index, std::int64_t positions) const {
    if (!index.defined()) return gram;
    const std::int64_t size = plan_.batch * positions, offsets = geometry_.kernel * geometry_.kernel;
    return at::constant_pad_nd(gram.flatten(1), {0, 1})
        .index_select(1, index)
        .view({plan_.trials, offsets, size * size})
        .sum(1)
        .view({plan_.trials, size, size});
  }

  Geometry geometry_;
  double weight_of_;
  bool gram_;
  Tensor forward_, tangent_, back_;
  double observed_square_;
  Tensor observed_, observed_ahead_, observed_behind_, inputs_, outputs_;
  Tensor bias_;
  std::size_t bias_number_ = 0;
  Tensor framed_, framed_exact_, back_framed_;
  // Of the evaluation at hand.
  Tensor windows_, back_windows_, gradient_, v_;
  Tensor by_observed_, back_by_observed_, window_products_, spread_;
};

// The input of the first linear layer where it is matched too: |h - h*|^2 joins the loss, and its gradient the last
// sweep.
class Features : public Step {
 public:
  Features(Plan& plan, Value& in, const Tensor& target, double weight, Tensor& loss)
      : Step(plan, {&in}, in),
        target_(plan.constant(as_flattened(target.view({1, -1}), in.pixels))),
        weight_(weight),
        loss_(loss) {}

  void forward() override { loss_ = square_sum(difference()) * weight_; }
  void backward() override {}
  void tangent() override {}
  void tangent_backward() override {
    collect(input().tangent_adjoint, (difference() * (2 * weight_)).view(input().primal.sizes()));
  }

 private:
  [[nodiscard]] Tensor difference() { return input().primal.flatten(1) - target_; }

  Tensor target_;
  double weight_;
  Tensor& loss_;
};

// y = gamma x^ + beta with x^ = r (x - mean). In training mode mean and r are those of each trial's batch and move too:
// with <.> the mean over the batch and all positions and q = <x^ dx>, x^ moves by r (dx - <dx>) - r q x^.
class BatchNorm : public Step {
 public:
  BatchNorm(Plan& plan, Value& in, Value& out, double epsilon, const Parameter& weight, const Parameter& bias,
            const Tensor& mean, const Tensor& variance)
      : Step(plan, {&in}, out), epsilon_(epsilon), gamma_(of_channels(weight.value)), beta_(of_channels(bias.value)) {
    const Tensor r = (variance.to(torch::kFloat64) + epsilon).rsqrt();
    r_ = of_channels(r);
    shift_ = of_channels(-mean.to(torch::kFloat64) * r);
    scale_ = gamma_ * r_;
    gamma_number_ = plan.small_parameter(as_flattened(weight.observed, in.pixels), weight.weight);
    beta_number_ = plan.small_parameter(as_flattened(bias.observed, in.pixels), bias.weight);
  }

  void forward() override {
    const Tensor x = plan_.rows(input().primal);
    if (plan_.training) {
      const Tensor centred = x - mean(x);
      r_ = (mean(centred.square()) + epsilon_).rsqrt();
      scale_ = gamma_ * r_;
      normal_ = centred * r_;
    } else {
      normal_ = torch::addcmul(shift_, x, r_);
    }
    put(out_.primal, torch::addcmul(beta_, normal_, gamma_));
  }

  void backward() override {
    const Tensor d = plan_.rows(out_.adjoint);
    const Tensor sum = d.sum(1, true), product = (d * normal_).sum(1, true);
    plan_.set_small(gamma_number_, product.squeeze(1));
    plan_.set_small(beta_number_, sum.squeeze(1));
    if (plan_.training) {
      const auto positions = static_cast<double>(d.size(1));
      product_ = product / positions;
      inner_ = d - sum / positions - normal_ * product_;
    }
    if (!input().constant)
      collect(input().adjoint, (scale_ * (plan_.training ? inner_ : d)).view(input().primal.sizes()));
  }

  void tangent() override {
    const Tensor moved = torch::addcmul(plan_.small_v(beta_number_), normal_, plan_.small_v(gamma_number_));
    const Tensor dx = input().tangent.defined() ? plan_.rows(input().tangent) : Tensor();
    if (!dx.defined()) return put(out_.tangent, moved);
    if (!plan_.training) return put(out_.tangent, torch::addcmul(moved, dx, scale_));
    const Tensor centred = dx - mean(dx);
    q_ = mean(normal_ * centred);
    moved_normal_ = r_ * (centred - normal_ * q_);
    put(out_.tangent, moved + gamma_ * moved_normal_);
  }

  void tangent_backward() override {
    const Tensor d = out_.tangent_adjoint.defined() ? plan_.rows(out_.tangent_adjoint) : Tensor();
    const Tensor v = plan_.small_v(gamma_number_) * r_;
    Tensor x;
    if (!plan_.training) {
      x = plan_.rows(out_.adjoint) * v;
      if (d.defined()) x = torch::addcmul(x, d, scale_);
    } else {  // the derivative of gamma r (d - <d> - x^ <d x^>)
      x = inner_ * (q_.defined() ? v - scale_ * r_ * q_ : v);
      if (q_.defined())
        x = x - scale_ * (moved_normal_ * product_ +
                          normal_ * mean((plan_.rows(out_.adjoint) - mean(plan_.rows(out_.adjoint))) * moved_normal_));
      if (d.defined()) x = x + scale_ * (d - mean(d) - normal_ * mean(d * normal_));
    }
    collect(input().tangent_adjoint, x.view(input().primal.sizes()));
    q_.reset();
  }

 private:
  [[nodiscard]] Tensor of_channels(const Tensor& values) {
    return plan_.constant(as_flattened(values, input().pixels)).view({1, 1, -1});
  }
  [[nodiscard]] static Tensor mean(const Tensor& rows) { return rows.mean(1, true); }
  void put(Tensor& value, const Tensor& rows) { value = rows.view(out_.shape(plan_.images())); }

  double epsilon_;
  Tensor gamma_, beta_, r_, shift_, scale_;
  std::size_t gamma_number_, beta_number_;
  Tensor normal_, inner_, product_, q_, moved_normal_;
};

// A function of each value alone, or of each channel's, that is linear between kinks: ReLU, leaky ReLU, the
// normalisation.
class Linearised : public Step {
 public:
  using Apply = std::function<Tensor(const Tensor& x)>;
  using Along = std::function<Tensor(const Tensor& d, const Value& in, const Value& out)>;
  Linearised(Plan& plan, Value& in, Value& out, Apply apply, Along along)
      : Step(plan, {&in}, out), apply_(std::move(apply)), along_(std::move(along)) {}

  void forward() override { out_.primal = apply_(input().primal); }
  void backward() override {
    if (!input().constant) collect(input().adjoint, along_(out_.adjoint, input(), out_));
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = along_(input().tangent, input(), out_);
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, along_(out_.tangent_adjoint, input(), out_));
  }

 private:
  Apply apply_;
  Along along_;
};

// A smooth function of each value: its second derivative times dx and the adjoint joins the last sweep.
class Smooth : public Step {
 public:
  struct Curve {
    Tensor value, first, second;
  };
  using Apply = std::function<Curve(const Tensor& x)>;
  Smooth(Plan& plan, Value& in, Value& out, Apply apply) : Step(plan, {&in}, out), apply_(std::move(apply)) {}

  void forward() override {
    curve_ = apply_(input().primal);
    out_.primal = curve_.value;
  }
  void backward() override {
    if (!input().constant) collect(input().adjoint, curve_.first * out_.adjoint);
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = curve_.first * input().tangent;
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, curve_.first * out_.tangent_adjoint);
    if (input().tangent.defined()) collect(input().tangent_adjoint, curve_.second * input().tangent * out_.adjoint);
  }

 private:
  Apply apply_;
  Curve curve_;
};

// Windows do not overlap: their stride is their size.
class MaxPool : public Step {
 public:
  MaxPool(Plan& plan, Value& in, Value& out, std::int64_t size) : Step(plan, {&in}, out), size_(size) {}

  void forward() override {
    const auto [largest, index] = torch::max_pool2d_with_indices(input().primal.permute({0, 3, 1, 2}), size_);
    out_.primal = largest.permute({0, 2, 3, 1}).contiguous();
    chosen_ = index.permute({0, 2, 3, 1}).reshape({plan_.images(), -1, out_.channels});
  }
  void backward() override {
    if (!input().constant) collect(input().adjoint, spread(out_.adjoint));
  }
  void tangent() override {
    if (input().tangent.defined())
      out_.tangent = flat(input().tangent).gather(1, chosen_).view(out_.shape(plan_.images()));
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, spread(out_.tangent_adjoint));
  }

 private:
  [[nodiscard]] static Tensor flat(const Tensor& value) { return value.flatten(1, 2); }
  [[nodiscard]] Tensor spread(const Tensor& adjoint) {
    return torch::zeros_like(flat(input().primal)).scatter_(1, chosen_, flat(adjoint)).view(input().primal.sizes());
  }

  std::int64_t size_;
  Tensor chosen_;
};

// The mean over windows of height x width that do not overlap; rows and columns that fill none belong to none.
class AveragePool : public Step {
 public:
  AveragePool(Plan& plan, Value& in, Value& out, std::int64_t height, std::int64_t width)
      : Step(plan, {&in}, out), height_(height), width_(width) {}

  void forward() override { out_.primal = mean(input().primal); }
  void backward() override {
    if (!input().constant) collect(input().adjoint, spread(out_.adjoint));
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = mean(input().tangent);
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined()) collect(input().tangent_adjoint, spread(out_.tangent_adjoint));
  }

 private:
  [[nodiscard]] Tensor mean(const Tensor& value) const {
    return value.narrow(1, 0, out_.height * height_)
        .narrow(2, 0, out_.width * width_)
        .reshape({plan_.images(), out_.height, height_, out_.width, width_, out_.channels})
        .mean({2, 4});
  }
  [[nodiscard]] Tensor spread(const Tensor& adjoint) {
    const Tensor each = (adjoint / static_cast<double>(height_ * width_))
                            .view({plan_.images(), out_.height, 1, out_.width, 1, out_.channels});
    const Tensor filled = each.expand({-1, -1, height_, -1, width_, -1})
                              .reshape({plan_.images(), out_.height * height_, out_.width * width_, out_.channels});
    const auto rest = [](std::int64_t whole, std::int64_t part) { return whole - part; };
    return at::constant_pad_nd(filled,
                               {0, 0, 0, rest(input().width, filled.size(2)), 0, rest(input().height, filled.size(1))});
  }

  std::int64_t height_, width_;
};

class Sum : public Step {
 public:
  Sum(Plan& plan, Value& a, Value& b, Value& out) : Step(plan, {&a, &b}, out) {}

  void forward() override { out_.primal = input(0).primal + input(1).primal; }
  void backward() override {
    for (Value* in : in_) {
      if (!in->constant) collect(in->adjoint, out_.adjoint);
    }
  }
  void tangent() override {
    for (Value* in : in_) {
      if (in->tangent.defined()) collect(out_.tangent, in->tangent);
    }
  }
  void tangent_backward() override {
    if (!out_.tangent_adjoint.defined()) return;
    for (Value* in : in_) collect(in->tangent_adjoint, out_.tangent_adjoint);
  }
};

// The same values as flat features.
class Flatten : public Step {
 public:
  Flatten(Plan& plan, Value& in, Value& out) : Step(plan, {&in}, out) {}

  void forward() override { out_.primal = input().primal.reshape(out_.shape(plan_.images())); }
  void backward() override {
    if (!input().constant) collect(input().adjoint, out_.adjoint.reshape(input().primal.sizes()));
  }
  void tangent() override {
    if (input().tangent.defined()) out_.tangent = input().tangent.reshape(out_.shape(plan_.images()));
  }
  void tangent_backward() override {
    if (out_.tangent_adjoint.defined())
      collect(input().tangent_adjoint, out_.tangent_adjoint.reshape(input().primal.sizes()));
  }
};

// The loss at the logits: what starts the backward sweeps.
class Head {
 public:
  Head(const Plan& plan, const Problem& problem, Value& logits)
      : plan_(plan),
        logits_(logits),
        residual_(problem.functional == Functional::kResidual),
        any_size_(problem.objective == Objective::kCosine),
        scale_(problem.scale),
        labels_(plan.constant(as_flattened(residual_ ? problem.residual : problem.labels, logits.pixels))
                    .repeat({plan.trials, 1})) {
    label_sums_ = labels_.sum(1, true);
  }

  // The derivative of the functional by the logits. The softmax as frameworks compute it: log p = (z - max) - log sum
  // exp.
  void backward() {
    Tensor d = labels_;
    if (!residual_) {
      p_ = logits_.primal.flatten(1).log_softmax(1).exp();
      d = (label_sums_ * p_ - labels_) / static_cast<double>(plan_.batch);
      // The cosine does not care about the gradient's size, so it is given one that neither under- nor overflows.
      if (any_size_)
        sizes_ = d.view({plan_.trials, -1})
                     .abs()
                     .amax(1)
                     .reciprocal()
                     .view({-1, 1, 1})
                     .expand({-1, plan_.batch, 1})
                     .reshape({-1, 1});
      d = any_size_ ? d * sizes_ : d * scale_;
    }
    collect(logits_.adjoint, d.view(logits_.primal.sizes()));
  }

  // How that derivative moves with the logits.
  void tangent() {
    if (residual_ || !logits_.tangent.defined()) return;
    const Tensor dz = logits_.tangent.flatten(1);
    const Tensor moved = label_sums_ * p_ * (dz - (p_ * dz).sum(1, true)) / static_cast<double>(plan_.batch);
    collect(logits_.tangent_adjoint, (any_size_ ? moved * sizes_ : moved * scale_).view(logits_.primal.sizes()));
  }

 private:
  const Plan& plan_;
  Value& logits_;
  bool residual_, any_size_;
  double scale_;
  Tensor labels_, label_sums_;  // the labels, or the residual over the gradient's norm
  Tensor p_, sizes_;
};

// Makes an architecture's values and steps.
class Compiler {
 public:
  Compiler(const Problem& problem, Plan& plan, std::vector<std::unique_ptr<Value>>& values, Tensor& features_loss)
      : problem_(problem), plan_(plan), values_(values), features_loss_(features_loss) {
    const auto names = nets::parameter_names(problem.architecture);
    for (std::size_t i = 0; i < names.size(); ++i)
      parameters_[names[i]] = {problem.state.at(names[i]), problem.observed[i], problem.weights[i]};
    const auto& input = problem.architecture.spec.input;
    values_.push_back(
        std::make_unique<Value>(Value{.height = input[1], .width = input[2], .channels = input[0], .constant = true}));
  }

  std::vector<std::unique_ptr<Step>> steps() {
    const auto& layers = problem_.architecture.layers;
    const auto shapes = nets::output_shapes(problem_.architecture);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      layer_ = &layers[i];
      if (std::holds_alternative<nets::Dropout>(
              layer_->op)) {  // passes all: the attacker does not know what was dropped
        outputs_.push_back(&in());
        continue;
      }
      values_.push_back(std::make_unique<Value>(output(shapes[i])));
      out_ = values_.back().get();
      std::visit(*this, layer_->op);
      outputs_.push_back(out_);
    }
    return std::move(steps_);
  }
  [[nodiscard]] const std::vector<Value*>& outputs() const { return outputs_; }

  void operator()(const nets::Normalise& op) {
    const auto of = [&](const std::vector<double>& values) {
      return plan_.constant(torch::tensor(values, torch::kFloat64));
    };
    make<Linearised>(
        [mean = of(op.mean), deviation = of(op.deviation)](const Tensor& x) { return (x - mean) / deviation; },
        [deviation = of(op.deviation)](const Tensor& d, const Value&, const Value&) { return d / deviation; });
  }
  void operator()(const nets::Conv& op) {
    const Geometry geometry{in().height, in().width, out_->height, out_->width, op.kernel, op.stride, op.padding};
    make<Weighted>(geometry, parameter(".weight"), op.bias ? parameter(".bias") : Parameter{});
  }
  void operator()(const nets::Linear&) {
    if (!problem_.features_of.empty() && layer_->name == problem_.features_of) {
      const double square =
          std::max(problem_.features.square().sum().item<double>(), std::numeric_limits<double>::min());
      steps_.push_back(std::make_unique<Features>(plan_, in(), problem_.features, problem_.features_weight / square,
                                                  features_loss_));
    }
    make<Weighted>(Geometry{}, parameter(".weight"), parameter(".bias"));
  }
  void operator()(const nets::BatchNorm& op) {
    make<BatchNorm>(op.epsilon, parameter(".weight"), parameter(".bias"), state(".running_mean"),
                    state(".running_var"));
  }
  void operator()(const nets::Relu&) {
    make<Linearised>(
        [](const Tensor& x) { return x.relu(); },
        [](const Tensor& d, const Value&, const Value& out) { return at::threshold_backward(d, out.primal, 0); });
  }
  void operator()(const nets::LeakyRelu& op) {
    make<Linearised>([slope = op.slope](const Tensor& x) { return torch::leaky_relu(x, slope); },
                     [slope = op.slope](const Tensor& d, const Value& in, const Value&) {
                       return at::leaky_relu_backward(d, in.primal, slope, false);
                     });
  }
  void operator()(const nets::Sigmoid&) {
    make<Smooth>([](const Tensor& x) -> Smooth::Curve {
      const Tensor s = x.sigmoid(), d = s * (1 - s);
      return {s, d, d * (1 - 2 * s)};
    });
  }
  void operator()(const nets::Tanh&) {
    make<Smooth>([](const Tensor& x) -> Smooth::Curve {
      const Tensor t = x.tanh(), d = 1 - t * t;
      return {t, d, -2 * t * d};
    });
  }
  void operator()(const nets::Gelu&) {  // x Phi(x), with Phi the standard normal's distribution and phi its density
    make<Smooth>([](const Tensor& x) -> Smooth::Curve {
      const Tensor density = (-x * x / 2).exp() * (std::numbers::inv_sqrtpi / std::numbers::sqrt2),
                   distribution = (x * (-1 / std::numbers::sqrt2)).erfc() / 2;
      return {x * distribution, distribution + x * density, density * (2 - x * x)};
    });
  }
  void operator()(const nets::MaxPool& op) { make<MaxPool>(op.size); }
  void operator()(const nets::AveragePool& op) { make<AveragePool>(op.size, op.size); }
  void operator()(const nets::GlobalAveragePool&) { make<AveragePool>(in().height, in().width); }
  void operator()(const nets::Flatten&) { make<Flatten>(); }
  void operator()(const nets::Add&) { steps_.push_back(std::make_unique<Sum>(plan_, in(0), in(1), *out_)); }
  void operator()(const nets::Dropout&) {}

 private:
  template <typename Kind, typename... Args>
  void make(Args&&... args) {
    steps_.push_back(std::make_unique<Kind>(plan_, in(), *out_, std::forward<Args>(args)...));
  }
  [[nodiscard]] Value& in(std::size_t i = 0) { return of(layer_->inputs[i]); }
  [[nodiscard]] Value& of(int layer) { return layer == nets::kNetworkInput ? *values_.front() : *outputs_[layer]; }
  [[nodiscard]] const Parameter& parameter(const char* part) { return parameters_.at(layer_->name + part); }
  [[nodiscard]] const Tensor& state(const char* part) { return problem_.state.at(layer_->name + part); }

  [[nodiscard]] Value output(const std::vector<std::int64_t>& shape) {
    Value value = shape.size() == 3 ? Value{.height = shape[1], .width = shape[2], .channels = shape[0]}
                                    : Value{.channels = shape[0]};
    const Value& first = in();
    if (std::holds_alternative<nets::Flatten>(layer_->op)) {
      value.pixels = first.height * first.width * first.pixels;
    } else if (shape.size() == 1 && !std::holds_alternative<nets::Linear>(layer_->op)) {
      value.pixels = first.pixels;
    }
    const bool has_parameters = !nets::entries({.spec = {}, .layers = {*layer_}}).empty();
    value.constant = !has_parameters && std::all_of(layer_->inputs.begin(), layer_->inputs.end(),
                                                    [&](int source) { return of(source).constant; });
    return value;
  }

  const Problem& problem_;
  Plan& plan_;
  std::vector<std::unique_ptr<Value>>& values_;
  Tensor& features_loss_;
  std::map<std::string, Parameter> parameters_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Value*> outputs_;  // of each layer
  const nets::Layer* layer_ = nullptr;
  Value* out_ = nullptr;
};

}  // namespace

struct TensorEngine::State {
  Plan plan;
  bool tf32;
  double observed_square = 0;  // |g*|^2 with the weights
  Tensor features_loss = {};
  std::vector<std::unique_ptr<Value>> values = {};  // the first is the images
  std::vector<Value*> outputs = {};                 // of each layer
  std::vector<std::unique_ptr<Step>> steps = {};
  std::unique_ptr<Head> head = {};
};

void check_precision(Precision precision, const torch::Device& device) {
  if (precision != Precision::kTf32 || device.is_cuda()) return;
  throw Error(ErrorKind::kUsage, "precision: got tf32 on the {}, expected float32 or a CUDA device", device.str());
}

std::optional<std::string> TensorEngine::lacks(const nets::Architecture& architecture) {
  std::set<std::string> names;
  for (const auto& layer : architecture.layers) {
    if (!layer.name.empty() && !names.insert(layer.name).second)
      return fmt::format("layers that share the parameters {}", layer.name);
    const auto* conv = std::get_if<nets::Conv>(&layer.op);
    if (conv != nullptr && conv->padding >= conv->kernel)
      return fmt::format("a padding as wide as the kernel, {}", layer.name);
  }
  if (architecture.layers.empty() || nets::output_shapes(architecture).back().size() != 1)
    return "an output that is not flat";
  return std::nullopt;
}

TensorEngine::TensorEngine(const Problem& problem, std::int64_t trials, Precision precision,
                           const torch::Device& device) {
  if (const auto reason = lacks(problem.architecture))
    throw Error(ErrorKind::kUsage, "the tensor engine: {} has {}", problem.architecture.spec.net, *reason);
  check_precision(precision, device);
  const torch::NoGradGuard no_graph;
  state_ = std::make_unique<State>(
      State{.plan = Plan(problem, trials, precision, device), .tf32 = precision == Precision::kTf32});
  State& s = *state_;
  for (std::size_t i = 0; i < problem.observed.size(); ++i)
    s.observed_square += problem.weights[i] * problem.observed[i].square().sum().item<double>();
  Compiler compiler(problem, s.plan, s.values, s.features_loss);
  s.steps = compiler.steps();
  s.outputs = compiler.outputs();
  s.plan.finish();
  s.head = std::make_unique<Head>(s.plan, problem, *s.outputs.back());
}

TensorEngine::~TensorEngine() = default;
TensorEngine::TensorEngine(TensorEngine&&) noexcept = default;
TensorEngine& TensorEngine::operator=(TensorEngine&&) noexcept = default;

Evaluated TensorEngine::evaluate(const Tensor& images) {
  const torch::NoGradGuard no_graph;
  State& s = *state_;
  for (auto& value : s.values) forget({&value->primal, &value->adjoint, &value->tangent, &value->tangent_adjoint});
  s.values.front()->primal = images.permute({0, 2, 3, 1}).contiguous();
  {
    const core::Tf32 exactly(s.plan.like.device(), false);
    for (auto& step : s.steps) step->forward();
  }
  const core::Tf32 rounded(s.plan.like.device(), s.tf32);
  s.head->backward();
  for (auto step = s.steps.rbegin(); step != s.steps.rend(); ++step) {
    (*step)->need_adjoint();
    (*step)->backward();
  }
  Tensor losses = s.plan.distance(s.observed_square);
  if (s.features_loss.defined()) losses = losses + s.features_loss;
  for (auto& step : s.steps) step->tangent();
  s.head->tangent();
  for (auto step = s.steps.rbegin(); step != s.steps.rend(); ++step) (*step)->tangent_backward();
  return {.losses = losses, .gradient = s.values.front()->tangent_adjoint.permute({0, 3, 1, 2}).contiguous()};
}

Tensor TensorEngine::evaluate(const Tensor& images, std::span<double> losses) {
  const Evaluated evaluated = evaluate(images.to(state_->plan.like));
  std::ranges::copy(core::to_doubles(evaluated.losses), losses.begin());
  return evaluated.gradient.to(images.options());
}

Tensor TensorEngine::output(std::size_t layer) const {
  const Value& value = *state_->outputs.at(layer);
  const std::int64_t images = state_->plan.images();
  const Tensor primal = value.primal.to(torch::kCPU);
  if (value.height * value.width > 1) return primal.permute({0, 3, 1, 2}).contiguous();
  return primal.view({images, value.pixels, value.channels / value.pixels})
      .transpose(1, 2)
      .reshape({images, value.channels});
}

}  // namespace pellucid::inversion
