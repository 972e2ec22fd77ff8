#include "pellucid/inversion/engine/engine.h"

#include "pellucid/core/error.h"
#include "pellucid/inversion/engine/onednn.h"
#include "pellucid/inversion/engine/steps.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;
using steps::Input;
using steps::Plan;
using steps::Step;
using steps::Value;

// The loss at the logits: what starts the backward sweeps.
class Head {
 public:
  Head(Plan& plan, const Problem& problem, Value& logits)
      : plan_(plan),
        logits_(logits),
        residual_functional_(problem.functional == Functional::kResidual),
        any_size_(any_size(problem.objective)),
        loss_scale_(problem.scale),
        p_(plan.arena.take<float>(count())),
        labels_(plan.arena.take<float>(count())),
        scale_(plan.trials) {
    const Tensor fixed = (residual_functional_ ? problem.residual : problem.labels).to(torch::kFloat32).contiguous();
    for (std::int64_t t = 0; t < plan.trials; ++t)
      std::copy_n(fixed.data_ptr<float>(), trial_count(), labels_ + t * trial_count());
  }

  void set_labels(const float* labels) { std::copy_n(labels, count(), labels_); }

  // The derivative of the functional by the logits. The softmax as frameworks compute it: log p = (z - max) - log sum
  // exp.
  void backward() {
    if (residual_functional_) {
      std::copy_n(labels_, count(), logits_.adjoint);
      return;
    }
    const std::int64_t classes = logits_.channels;
    for (std::int64_t n = 0; n < plan_.images(); ++n) {
      const float* z = logits_.primal + n * classes;
      float *p = p_ + n * classes, *adjoint = logits_.adjoint + n * classes;
      const float largest = *std::max_element(z, z + classes);
      float sum = 0, labels = 0;
      for (std::int64_t c = 0; c < classes; ++c) sum += std::exp(z[c] - largest);
      for (std::int64_t c = 0; c < classes; ++c) labels += labels_[n * classes + c];
      for (std::int64_t c = 0; c < classes; ++c) {
        p[c] = std::exp(z[c] - largest - std::log(sum));
        adjoint[c] = (labels * p[c] - labels_[n * classes + c]) / static_cast<float>(plan_.batch);
      }
    }
    // The cosine does not care about the gradient's size, so it is given one that neither under- nor overflows.
    for (std::int64_t t = 0; t < plan_.trials; ++t) {
      float* adjoint = logits_.adjoint + t * trial_count();
      float largest = 0;
      for (std::int64_t i = 0; i < trial_count(); ++i) largest = std::max(largest, std::abs(adjoint[i]));
      scale_[t] = any_size_ ? 1 / static_cast<double>(largest) : loss_scale_;
      for (std::int64_t i = 0; i < trial_count(); ++i) adjoint[i] = static_cast<float>(adjoint[i] * scale_[t]);
    }
  }

  // How that derivative moves with the logits; and, where asked for, the gradient of the distance by the labels.
  void tangent(float* by_labels) {
    if (residual_functional_) {
      std::fill_n(logits_.tangent_adjoint, count(), 0.f);
      return;
    }
    const std::int64_t classes = logits_.channels;
    for (std::int64_t n = 0; n < plan_.images(); ++n) {
      const float *p = p_ + n * classes, *dz = logits_.tangent + n * classes;
      const auto scale = static_cast<float>(scale_[n / plan_.batch] / static_cast<double>(plan_.batch));
      float mean = 0, labels = 0;
      for (std::int64_t c = 0; c < classes; ++c) mean += p[c] * dz[c];
      for (std::int64_t c = 0; c < classes; ++c) labels += labels_[n * classes + c];
      for (std::int64_t c = 0; c < classes; ++c) {
        logits_.tangent_adjoint[n * classes + c] = labels * p[c] * (dz[c] - mean) * scale;
        if (by_labels != nullptr) by_labels[n * classes + c] = -(dz[c] - mean) * scale;
      }
    }
  }

 private:
  [[nodiscard]] std::int64_t trial_count() const { return plan_.batch * logits_.channels; }
  [[nodiscard]] std::int64_t count() const { return plan_.trials * trial_count(); }

  Plan& plan_;
  Value& logits_;
  bool residual_functional_;
  bool any_size_;
  double loss_scale_;
  float *p_, *labels_;  // the labels, or the residual over the gradient's norm
  std::vector<double> scale_;
};

// (images, C, H, W) to (images, H, W, C), and back.
void to_rows(float* rows, const float* planes, const Value& value, std::int64_t images) {
  for (std::int64_t n = 0; n < images; ++n, rows += value.size(), planes += value.size()) {
    for (std::int64_t c = 0; c < value.channels; ++c) {
      for (std::int64_t p = 0; p < value.pixels(); ++p) rows[p * value.channels + c] = planes[c * value.pixels() + p];
    }
  }
}
void to_planes(float* planes, const float* rows, const Value& value, std::int64_t images) {
  for (std::int64_t n = 0; n < images; ++n, rows += value.size(), planes += value.size()) {
    for (std::int64_t c = 0; c < value.channels; ++c) {
      for (std::int64_t p = 0; p < value.pixels(); ++p) planes[c * value.pixels() + p] = rows[p * value.channels + c];
    }
  }
}

// How often each layer's output is taken.
std::vector<int> count_uses(const nets::Architecture& architecture) {
  std::vector<int> uses(architecture.layers.size());
  for (const auto& layer : architecture.layers) {
    for (int source : layer.inputs) {
      if (source != nets::kNetworkInput) ++uses[source];
    }
  }
  return uses;
}

bool is_rectifier(const nets::Op& op) {
  return std::holds_alternative<nets::Relu>(op) || std::holds_alternative<nets::LeakyRelu>(op);
}
bool only_passes(const nets::Op& op) {
  return std::holds_alternative<nets::Flatten>(op) || std::holds_alternative<nets::Dropout>(op);
}
// Whether the sweeps ask for the layer's own output, which a rectifier in its place would change.
bool keeps_output(const nets::Op& op) {
  return std::holds_alternative<nets::Sigmoid>(op) || std::holds_alternative<nets::Tanh>(op) ||
         std::holds_alternative<nets::Gelu>(op) || std::holds_alternative<nets::Normalise>(op) || is_rectifier(op);
}

}  // namespace

struct Engine::State {
  Plan plan;
  Objective objective;
  double observed_square = 0;                  // |g*|^2 with the weights
  std::vector<std::unique_ptr<Value>> values;  // the first is the images
  std::vector<Value*> outputs;                 // of each layer
  std::vector<std::unique_ptr<Step>> steps;
  std::unique_ptr<Head> head;
  Tensor gradient, label_gradient;

  Value& images() { return *values.front(); }
};

namespace {

// Makes an architecture's values and steps.
class Compiler {
 public:
  Compiler(const Problem& problem, Plan& plan, std::vector<std::unique_ptr<Value>>& values)
      : problem_(problem), layers_(problem.architecture.layers), plan_(plan), values_(values) {
    const auto names = nets::parameter_names(problem.architecture);
    for (std::size_t i = 0; i < names.size(); ++i) {
      parameters_[names[i]] = {problem.state.at(names[i]), problem.observed[i], static_cast<float>(problem.weights[i])};
    }
    plan_values();
    plan_inputs();
  }

  std::vector<std::unique_ptr<Step>> steps() {
    std::vector<std::unique_ptr<Step>> steps;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (only_passes(layers_[i].op)) continue;
      layer_ = i;
      steps.push_back(std::visit(*this, layers_[i].op));
    }
    return steps;
  }

  [[nodiscard]] const std::vector<Value*>& outputs() const { return outputs_; }

  std::unique_ptr<Step> operator()(const nets::Normalise& op) { return steps::normalise(plan_, in(), out(), op); }
  std::unique_ptr<Step> operator()(const nets::Conv& op) {
    return steps::convolution(plan_, in(), out(), op, parameter(".weight"),
                              op.bias ? parameter(".bias") : steps::Parameter{});
  }
  std::unique_ptr<Step> operator()(const nets::Linear&) {
    const auto& features = problem_.features;
    const bool here = !features.layer.empty() && layers_[layer_].name == features.layer;
    return steps::linear(plan_, in(), out(), parameter(".weight"), parameter(".bias"),
                         here ? steps::Targets{features.targets, features.weights} : steps::Targets{});
  }
  std::unique_ptr<Step> operator()(const nets::BatchNorm& op) {
    return steps::batch_norm(plan_, in(), out(), op, parameter(".weight"), parameter(".bias"), state(".running_mean"),
                             state(".running_var"));
  }
  std::unique_ptr<Step> operator()(const nets::GroupNorm&) { return nullptr; }  // `lacks` refuses it
  std::unique_ptr<Step> operator()(const nets::Relu&) { return steps::rectifier(plan_, in(), out(), 0); }
  std::unique_ptr<Step> operator()(const nets::LeakyRelu& op) {
    return steps::rectifier(plan_, in(), out(), static_cast<float>(op.slope));
  }
  std::unique_ptr<Step> operator()(const nets::Sigmoid&) {
    return steps::smooth(plan_, in(), out(), steps::Smooth::kSigmoid);
  }
  std::unique_ptr<Step> operator()(const nets::Tanh&) {
    return steps::smooth(plan_, in(), out(), steps::Smooth::kTanh);
  }
  std::unique_ptr<Step> operator()(const nets::Gelu&) {
    return steps::smooth(plan_, in(), out(), steps::Smooth::kGelu);
  }
  std::unique_ptr<Step> operator()(const nets::MaxPool& op) { return steps::max_pool(plan_, in(), out(), op.size); }
  std::unique_ptr<Step> operator()(const nets::AveragePool& op) {
    return steps::average_pool(plan_, in(), out(), op.size, op.size);
  }
  std::unique_ptr<Step> operator()(const nets::GlobalAveragePool&) {
    const Value& x = *in().value;
    return steps::average_pool(plan_, in(), out(), x.height, x.width);
  }
  std::unique_ptr<Step> operator()(const nets::Add&) { return steps::add(plan_, in(0), in(1), out()); }
  std::unique_ptr<Step> operator()(const nets::Flatten&) { return nullptr; }
  std::unique_ptr<Step> operator()(const nets::Dropout&) { return nullptr; }

 private:
  [[nodiscard]] Value* value_of(int layer) {
    return layer == nets::kNetworkInput ? values_.front().get() : outputs_[layer];
  }
  [[nodiscard]] Input in(std::size_t i = 0) { return inputs_[layer_][i]; }
  [[nodiscard]] Value& out() { return *outputs_[layer_]; }
  [[nodiscard]] const steps::Parameter& parameter(const char* part) {
    return parameters_.at(layers_[layer_].name + part);
  }
  [[nodiscard]] const Tensor& state(const char* part) { return problem_.state.at(layers_[layer_].name + part); }

  void give_memory(Value& value) {
    for (float** array : {&value.primal, &value.adjoint, &value.tangent, &value.tangent_adjoint}) {
      *array = plan_.arena.take<float>(plan_.images() * value.size());
    }
  }

  // A rectifier may work in place where nothing else asks for what it takes.
  [[nodiscard]] bool in_place(std::size_t layer, const std::vector<int>& uses) const {
    const int source = layers_[layer].inputs.front();
    return is_rectifier(layers_[layer].op) && source != nets::kNetworkInput && uses[source] == 1 &&
           !keeps_output(layers_[source].op) && !only_passes(layers_[source].op);
  }

  void plan_values() {
    const auto shapes = nets::output_shapes(problem_.architecture);
    const auto uses = count_uses(problem_.architecture);
    const auto& input = problem_.architecture.spec.input;
    values_.push_back(
        std::make_unique<Value>(Value{.height = input[1], .width = input[2], .channels = input[0], .constant = true}));
    give_memory(*values_.back());
    std::int64_t largest = values_.back()->size();
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto& layer = layers_[i];
      const Value& first = *value_of(layer.inputs.front());
      if (in_place(i, uses) || std::holds_alternative<nets::Dropout>(layer.op)) {
        outputs_.push_back(value_of(layer.inputs.front()));
        continue;
      }
      const auto& shape = shapes[i];
      Value value = shape.size() == 3 ? Value{.height = shape[1], .width = shape[2], .channels = shape[0]}
                                      : Value{.channels = shape[0]};
      if (std::holds_alternative<nets::Flatten>(layer.op)) {
        const std::int64_t pixels = first.pixels() * first.flattened_pixels, channels = value.channels;
        value = first;  // the same memory
        value.height = value.width = 1;
        value.channels = channels;
        value.flattened_pixels = pixels;
      } else {
        const bool has_parameters = !nets::entries({.spec = {}, .layers = {layer}}).empty();
        value.constant = !has_parameters && std::all_of(layer.inputs.begin(), layer.inputs.end(),
                                                        [&](int source) { return value_of(source)->constant; });
        const bool elementwise = shape.size() == 1 && !std::holds_alternative<nets::Linear>(layer.op);
        if (elementwise) value.flattened_pixels = first.flattened_pixels;
        give_memory(value);
      }
      largest = std::max(largest, value.size());
      values_.push_back(std::make_unique<Value>(value));
      outputs_.push_back(values_.back().get());
    }
    plan_.scratch = plan_.arena.take<float>(plan_.images() * largest);
  }

  // In the backward sweeps the last layer to take a value comes first, and writes; those before it add.
  void plan_inputs() {
    std::set<const float*> written;  // by memory: a flattened value shares that of its input
    inputs_.resize(layers_.size());
    for (std::size_t i = layers_.size(); i-- > 0;) {
      if (only_passes(layers_[i].op)) continue;
      for (int source : layers_[i].inputs) {
        Value* value = value_of(source);
        const bool same = value->adjoint == outputs_[i]->adjoint;  // in place: rewrites what is there
        inputs_[i].push_back({value, !same && !written.insert(value->adjoint).second});
      }
    }
  }

  const Problem& problem_;
  const std::vector<nets::Layer>& layers_;
  Plan& plan_;
  std::vector<std::unique_ptr<Value>>& values_;
  std::map<std::string, steps::Parameter> parameters_;
  std::vector<Value*> outputs_;             // of each layer
  std::vector<std::vector<Input>> inputs_;  // of each layer
  std::size_t layer_ = 0;
};

}  // namespace

std::optional<std::string> Engine::lacks(const nets::Architecture& architecture) {
  std::set<std::string> names;
  const auto shapes = nets::output_shapes(architecture);
  for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
    const auto& layer = architecture.layers[i];
    if (!layer.name.empty() && !names.insert(layer.name).second)
      return fmt::format("layers that share the parameters {}", layer.name);
    if (std::holds_alternative<nets::Normalise>(layer.op) && layer.inputs.front() != nets::kNetworkInput) {
      return "a normalisation that is not the first layer";
    }
    if (std::holds_alternative<nets::GroupNorm>(layer.op)) return fmt::format("a group norm, {}", layer.name);
    if (std::holds_alternative<nets::BatchNorm>(layer.op) && shapes[i].size() == 1)
      return fmt::format("a batch norm of flat features, {}", layer.name);
  }
  if (architecture.layers.empty() || shapes.back().size() != 1) return "an output that is not flat";
  return std::nullopt;
}

Engine::Engine(const Problem& problem, std::int64_t trials, Precision precision) : state_(std::make_unique<State>()) {
  if (const auto reason = lacks(problem.architecture))
    throw Error(ErrorKind::kUsage, "the matching engine: {} has {}", problem.architecture.spec.net, *reason);
  if (!in_engines(problem.objective))
    throw Error(ErrorKind::kUsage, "the matching engine: objective: got {}, expected cosine, angular or l2",
                to_string(problem.objective));
  if (precision == Precision::kFloat64)
    throw Error(ErrorKind::kUsage, "the matching engine: precision: got float64, expected float32 or mixed");
  if (precision == Precision::kMixed && !has_brain_floats()) {
    throw Error(ErrorKind::kUsage,
                "precision: got mixed, but this processor has no brain floats (AVX-512); expected float32");
  }
  State& s = *state_;
  s.plan.trials = trials;
  s.plan.batch = problem.protocol.batch_size;
  s.plan.mixed = precision == Precision::kMixed;
  s.plan.training = problem.protocol.mode == nets::Mode::kTraining;
  s.plan.dnn = std::make_shared<Onednn>();
  s.plan.sums.resize(trials);
  s.plan.alpha.resize(trials);
  s.plan.beta.resize(trials);
  s.plan.features.resize(trials);
  s.objective = problem.objective;
  for (std::size_t i = 0; i < problem.observed.size(); ++i) {
    s.observed_square += problem.weights[i] * problem.observed[i].square().sum().item<double>();
  }
  Compiler compiler(problem, s.plan, s.values);
  s.steps = compiler.steps();
  s.outputs = compiler.outputs();
  s.head = std::make_unique<Head>(s.plan, problem, *s.outputs.back());
  s.plan.dnn->bind_scratchpad([&](std::size_t bytes) { return s.plan.arena.take_bytes(bytes); });
  const auto& input = problem.architecture.spec.input;
  s.gradient = torch::zeros({s.plan.images(), input[0], input[1], input[2]});
  s.label_gradient = torch::zeros({s.plan.images(), problem.architecture.spec.classes});
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

Tensor Engine::evaluate(const Tensor& images, std::span<double> losses) {
  State& s = *state_;
  Plan& plan = s.plan;
  const Tensor planes = images.to(torch::kFloat32).contiguous();
  to_rows(s.images().primal, planes.data_ptr<float>(), s.images(), plan.images());
  for (auto& step : s.steps) step->forward();
  s.head->backward();
  std::fill(plan.sums.begin(), plan.sums.end(), kernels::Sums{});
  std::fill(plan.features.begin(), plan.features.end(), 0);
  for (auto step = s.steps.rbegin(); step != s.steps.rend(); ++step) (*step)->backward();
  for (std::int64_t t = 0; t < plan.trials; ++t) {
    const auto& sums = plan.sums[t];
    if (s.objective == Objective::kL2) {
      losses[t] = sums.difference;
      plan.alpha[t] = -2;
      plan.beta[t] = 2;
    } else {
      const double norms = std::sqrt(sums.square) * std::sqrt(s.observed_square);
      const double cosine = sums.inner / norms, sine = std::sqrt(std::max(1 - cosine * cosine, kLeastSine2));
      const bool angular = s.objective == Objective::kAngular;
      const double slope = angular ? 1 / sine : 1;
      losses[t] = angular ? std::atan2(sine, cosine) : 1 - cosine;
      plan.alpha[t] = static_cast<float>(-slope / norms);
      plan.beta[t] = static_cast<float>(slope * sums.inner / (norms * sums.square));
    }
    losses[t] += plan.features[t];
  }
  for (auto& step : s.steps) step->combine();
  for (auto& step : s.steps) step->tangent();
  s.head->tangent(s.label_gradient.data_ptr<float>());
  for (auto step = s.steps.rbegin(); step != s.steps.rend(); ++step) (*step)->tangent_backward();
  to_planes(s.gradient.data_ptr<float>(), s.images().tangent_adjoint, s.images(), plan.images());
  return s.gradient;
}

Engine::Gradients Engine::evaluate(const Tensor& images, const Tensor& labels, std::span<double> losses) {
  state_->head->set_labels(labels.to(torch::kFloat32).contiguous().data_ptr<float>());
  const Tensor gradient = evaluate(images, losses);
  return {.images = gradient, .labels = state_->label_gradient};
}

Tensor Engine::output(std::size_t layer) const {
  const Value& value = *state_->outputs.at(layer);
  const std::int64_t images = state_->plan.images(), pixels = value.flattened_pixels;
  if (pixels == 1) {
    Tensor planes = torch::empty({images, value.channels, value.height, value.width});
    to_planes(planes.data_ptr<float>(), value.primal, value, images);
    return value.pixels() == 1 ? planes.flatten(1) : planes;
  }
  return torch::from_blob(value.primal, {images, pixels, value.channels / pixels})
      .transpose(1, 2)
      .reshape({images, value.channels});
}

std::int64_t Engine::macs() const {
  std::int64_t count = 0;
  for (const auto& step : state_->steps) count += step->macs();
  return count;
}

std::size_t Engine::memory() const { return state_->plan.arena.bytes(); }

bool has_brain_floats() {
  constexpr auto kNeeded = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kNeeded) == kNeeded;  // one bit for each feature
}

}  // namespace pellucid::inversion
