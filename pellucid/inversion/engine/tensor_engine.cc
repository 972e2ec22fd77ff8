#include "pellucid/inversion/engine/tensor_engine.h"

#include "pellucid/core/error.h"
#include "pellucid/core/recording.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/engine/tensor/steps.h"

#include <algorithm>
#include <map>
#include <set>

namespace pellucid::inversion {

using core::Error;
using core::ErrorKind;
using tensor_steps::forget;
using tensor_steps::Head;
using tensor_steps::Parameter;
using tensor_steps::Plan;
using tensor_steps::Step;
using tensor_steps::Value;

namespace {

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
      if (std::holds_alternative<nets::Dropout>(layer_->op)) {  // the attacker does not know what was dropped
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

  void operator()(const nets::Normalise& op) { make(tensor_steps::normalise, op); }
  void operator()(const nets::Conv& op) {
    const steps::Geometry geometry{in().height, in().width, out_->height, out_->width,
                                   op.kernel,   op.stride,  op.padding};
    make(tensor_steps::convolution, geometry, parameter(".weight"), op.bias ? parameter(".bias") : Parameter{});
  }
  void operator()(const nets::Linear&) {
    const auto& features = problem_.features;
    if (!features.layer.empty() && layer_->name == features.layer) {
      steps_.push_back(tensor_steps::features(plan_, in(), features.targets, features.weights, features_loss_));
    }
    make(tensor_steps::convolution, steps::Geometry{}, parameter(".weight"), parameter(".bias"));
  }
  void operator()(const nets::BatchNorm& op) {
    make(tensor_steps::batch_norm, op.epsilon, parameter(".weight"), parameter(".bias"), state(".running_mean"),
         state(".running_var"));
  }
  void operator()(const nets::GroupNorm&) {}  // `lacks` refuses it
  void operator()(const nets::Relu&) { make(tensor_steps::relu); }
  void operator()(const nets::LeakyRelu& op) { make(tensor_steps::leaky_relu, op.slope); }
  void operator()(const nets::Sigmoid&) { make(tensor_steps::sigmoid); }
  void operator()(const nets::Tanh&) { make(tensor_steps::tanh); }
  void operator()(const nets::Gelu&) { make(tensor_steps::gelu); }
  void operator()(const nets::MaxPool& op) { make(tensor_steps::max_pool, op.size); }
  void operator()(const nets::AveragePool& op) { make(tensor_steps::average_pool, op.size, op.size); }
  void operator()(const nets::GlobalAveragePool&) { make(tensor_steps::average_pool, in().height, in().width); }
  void operator()(const nets::Flatten&) { make(tensor_steps::flatten); }
  void operator()(const nets::Add&) { steps_.push_back(tensor_steps::add(plan_, in(0), in(1), *out_)); }
  void operator()(const nets::Dropout&) {}

 private:
  template <typename Factory, typename... Args>
  void make(Factory step, Args&&... args) {
    steps_.push_back(step(plan_, in(), *out_, std::forward<Args>(args)...));
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
    if (std::holds_alternative<nets::GroupNorm>(layer.op)) return fmt::format("a group norm, {}", layer.name);
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
  if (!in_engines(problem.objective))
    throw Error(ErrorKind::kUsage, "the tensor engine: objective: got {}, expected cosine, angular or l2",
                to_string(problem.objective));
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

Evaluated TensorEngine::evaluate(const Tensor& images, const Tensor& labels) {
  const torch::NoGradGuard no_graph;
  State& s = *state_;
  if (labels.defined()) s.head->set_labels(labels);
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
  const Tensor by_labels = s.head->tangent(labels.defined());
  for (auto step = s.steps.rbegin(); step != s.steps.rend(); ++step) (*step)->tangent_backward();
  return {.losses = losses,
          .gradient = s.values.front()->tangent_adjoint.permute({0, 3, 1, 2}).contiguous(),
          .by_labels = by_labels};
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
