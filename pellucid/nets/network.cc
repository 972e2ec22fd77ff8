#include "pellucid/nets/network.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/tensor.h"
#include "pellucid/nets/architecture_json.h"
#include "pellucid/nets/safetensors.h"

#include <cmath>
#include <numeric>

namespace pellucid::nets {
namespace {

// Evaluates one layer after the other; one overload for each kind of layer.
struct Evaluation {
  const TensorMap& state;
  Mode mode;
  std::optional<core::Stream> dropout;
  const Part& part;
  TensorMap running = {};
  TensorMap* statistics = nullptr;        // of the batch, where they are asked for
  std::vector<Passed>* passed = nullptr;  // where it is asked for

  // The layer at hand.
  const Layer* layer = nullptr;
  std::vector<Tensor> in = {};

  [[nodiscard]] const Tensor& get(const char* entry) const {
    const auto found = state.find(layer->name + entry);
    if (found == state.end()) {
      throw core::Error(core::ErrorKind::kInternal, "the state lacks {}{}", layer->name, entry);
    }
    return found->second;
  }

  Tensor operator()(const Normalise& normalise) const {
    auto per_channel = [&](const std::vector<double>& values) {
      return torch::tensor(values, torch::kFloat64).to(in[0].options()).view({1, -1, 1, 1});
    };
    return (in[0] - per_channel(normalise.mean)) / per_channel(normalise.deviation);
  }
  Tensor operator()(const Conv& conv) const {
    const Tensor& weight = get(".weight");
    return torch::conv2d(in[0].to(weight.scalar_type()), weight, conv.bias ? get(".bias") : Tensor(), conv.stride,
                         conv.padding);
  }
  Tensor operator()(const Linear&) const {
    const Tensor& weight = get(".weight");
    return torch::linear(in[0].to(weight.scalar_type()), weight, get(".bias"));
  }
  // Batch norm over the parts of a batch that lie with several processes, each of which holds some of its images.
  Tensor normalised_together(const BatchNorm& norm) {
    const Tensor x = in[0].to(get(".weight").scalar_type());
    auto column = [](const Tensor& channels) { return channels.view({1, -1, 1, 1}); };
    const auto count = static_cast<double>(part.batch * x.size(2) * x.size(3));
    const Tensor mean = part.sum(x.sum({0, 2, 3})) / count;
    const Tensor centred = x - column(mean);
    const Tensor variance = part.sum(centred.square().sum({0, 2, 3})) / count;
    const Tensor scale = get(".weight") * (variance + norm.epsilon).rsqrt();
    auto move = [&](const char* name, const Tensor& value) {
      running[layer->name + name] = get(name) * (1 - norm.momentum) + value.detach() * norm.momentum;
    };
    move(".running_mean", mean);
    move(".running_var", variance * (count / (count - 1)));
    running[layer->name + ".num_batches_tracked"] = get(".num_batches_tracked") + 1;
    return (centred * column(scale) + column(get(".bias"))).to(in[0].scalar_type());
  }
  Tensor operator()(const BatchNorm& norm) {
    const bool training = mode == Mode::kTraining;
    if (training && (part.sum ? part.batch : in[0].size(0)) * c10::multiply_integers(in[0].sizes().slice(2)) == 1) {
      throw core::Error(
          core::ErrorKind::kUsage,
          "{}: batch norm in training mode: got one value a channel, a batch of one image at 1 x 1, expected two or "
          "more: one has no variance",
          layer->name);
    }
    if (statistics != nullptr) {
      const Tensor values = in[0].transpose(0, 1).flatten(1);
      (*statistics)[layer->name + ".running_mean"] = values.mean(1);
      (*statistics)[layer->name + ".running_var"] = values.var(1, /*unbiased=*/values.size(1) > 1);
    }
    if (training && part.sum) return normalised_together(norm);
    Tensor mean = get(".running_mean"), variance = get(".running_var");
    if (training) {
      mean = running[layer->name + ".running_mean"] = mean.clone();
      variance = running[layer->name + ".running_var"] = variance.clone();
      running[layer->name + ".num_batches_tracked"] = get(".num_batches_tracked") + 1;
    }
    return torch::batch_norm(in[0], get(".weight"), get(".bias"), mean, variance, training, norm.momentum, norm.epsilon,
                             /*cudnn_enabled=*/true);
  }
  Tensor operator()(const GroupNorm& norm) const {
    return torch::group_norm(in[0].to(get(".weight").scalar_type()), norm.groups, get(".weight"), get(".bias"),
                             norm.epsilon);
  }
  Tensor operator()(const Relu&) const { return torch::relu(in[0]); }
  Tensor operator()(const LeakyRelu& relu) const { return torch::leaky_relu(in[0], relu.slope); }
  Tensor operator()(const Sigmoid&) const { return torch::sigmoid(in[0]); }
  Tensor operator()(const Tanh&) const { return torch::tanh(in[0]); }
  Tensor operator()(const Gelu&) const { return torch::gelu(in[0]); }
  Tensor operator()(const MaxPool& pool) const { return torch::max_pool2d(in[0], pool.size); }
  Tensor operator()(const AveragePool& pool) const { return torch::avg_pool2d(in[0], pool.size); }
  Tensor operator()(const GlobalAveragePool&) const { return in[0].mean({2, 3}, /*keepdim=*/true); }
  Tensor operator()(const Flatten&) const { return in[0].flatten(1); }
  Tensor operator()(const Dropout& drop) {
    if (mode == Mode::kEvaluation || !dropout) return in[0];
    auto whole = in[0].sizes().vec();
    if (part.batch > 0) whole[0] = part.batch;
    Tensor keep = torch::empty(whole, torch::kFloat32);
    for (auto *value = keep.data_ptr<float>(), *end = value + keep.numel(); value != end; ++value) {
      *value = dropout->uniform() < drop.probability ? 0.f : static_cast<float>(1 / (1 - drop.probability));
    }
    return in[0] * keep.narrow(0, part.begin, in[0].size(0)).to(in[0].options());
  }
  Tensor operator()(const Add&) const { return in[0] + in[1]; }
};

// For each layer, the last layer that takes its output: past it, the memory is given back.
std::vector<std::size_t> last_uses(const Architecture& architecture) {
  std::vector<std::size_t> last(architecture.layers.size());
  std::iota(last.begin(), last.end(), 0);
  for (std::size_t i = 0; i < last.size(); ++i) {
    for (int source : architecture.layers[i].inputs) {
      if (source != kNetworkInput) last[source] = i;
    }
  }
  return last;
}

struct Fans {
  double in, out;
};

Fans fans(const std::vector<std::int64_t>& shape) {
  double positions = 1;
  for (std::size_t i = 2; i < shape.size(); ++i) positions *= static_cast<double>(shape[i]);
  return {static_cast<double>(shape[1]) * positions, static_cast<double>(shape[0]) * positions};
}

Tensor initial_weight(Init init, const std::vector<std::int64_t>& shape, core::Stream stream) {
  const Fans fan = fans(shape);
  switch (init) {
    case Init::kPyTorch:
    case Init::kZeroBias: return core::uniform(stream, shape, -1 / std::sqrt(fan.in), 1 / std::sqrt(fan.in));
    case Init::kHeFanIn: return core::normal(stream, shape) * std::sqrt(2 / fan.in);
    case Init::kHeFanOut: return core::normal(stream, shape) * std::sqrt(2 / fan.out);
    case Init::kUniformHalf: return core::uniform(stream, shape, -0.5, 0.5);
    case Init::kZero: break;
  }
  return torch::zeros(shape);
}

Tensor initial_bias(Init init, std::int64_t size, double fan_in, core::Stream stream) {
  if (init == Init::kPyTorch) return core::uniform(stream, {size}, -1 / std::sqrt(fan_in), 1 / std::sqrt(fan_in));
  if (init == Init::kUniformHalf) return core::uniform(stream, {size}, -0.5, 0.5);
  return torch::zeros({size});
}

}  // namespace

std::string to_string(Mode mode) { return mode == Mode::kTraining ? "training" : "evaluation"; }

core::Field mode_field(std::string name, Mode& value, std::string help) {
  return core::field(std::move(name), value, std::move(help),
                     {{"evaluation", Mode::kEvaluation}, {"training", Mode::kTraining}});
}

namespace {

// What the last layer gives.
Tensor run(Evaluation& evaluation, const Architecture& architecture, const Tensor& images) {
  const auto& expected = architecture.spec.input;
  if (images.dim() != 4 || images.sizes().slice(1) != at::IntArrayRef(expected)) {
    throw core::Error(core::ErrorKind::kUsage, "{}: images: got shape [{}], expected [B, {}]", architecture.spec.net,
                      fmt::join(images.sizes(), ", "), fmt::join(expected, ", "));
  }
  const auto last = last_uses(architecture);
  std::vector<Tensor> outputs(architecture.layers.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    evaluation.layer = &architecture.layers[i];
    evaluation.in.clear();
    for (int source : evaluation.layer->inputs)
      evaluation.in.push_back(source == kNetworkInput ? images : outputs[source]);
    outputs[i] = std::visit(evaluation, evaluation.layer->op);
    if (evaluation.passed != nullptr && evaluation.state.contains(evaluation.layer->name + ".weight"))
      evaluation.passed->push_back({.layer = i, .input = evaluation.in[0], .output = outputs[i]});
    for (int source : evaluation.layer->inputs) {
      if (source != kNetworkInput && last[source] == i) outputs[source].reset();
    }
  }
  return outputs.back();
}

}  // namespace

Output evaluate(const Architecture& architecture, const TensorMap& state, const Tensor& images, Mode mode,
                std::optional<core::Stream> dropout, const Part& part, std::vector<Passed>* passed) {
  Evaluation evaluation{.state = state, .mode = mode, .dropout = dropout, .part = part, .passed = passed};
  const Tensor logits = run(evaluation, architecture, images);
  return {.logits = logits, .features = evaluation.in[0], .running = std::move(evaluation.running)};
}

TensorMap batch_statistics(const Architecture& architecture, const TensorMap& state, const Tensor& images, Mode mode) {
  TensorMap statistics;
  const Part whole;
  Evaluation evaluation{.state = state, .mode = mode, .dropout = {}, .part = whole, .statistics = &statistics};
  run(evaluation, architecture, images);
  return statistics;
}

Tensor logits(const Network& network, const Tensor& images) {
  return evaluate(network.architecture, network.state, images).logits;
}

torch::Device device_of(const Network& network) { return network.state.begin()->second.device(); }

Network on(Network network, const torch::Device& device) {
  for (auto& [name, tensor] : network.state) tensor = tensor.to(device);
  return network;
}

TensorMap initialise(const Architecture& architecture, std::uint64_t seed) {
  TensorMap state;
  auto stream = [&](const std::string& name) { return core::Stream(seed, "initialise " + name); };
  auto weigh = [&](const std::string& name, Init init, const std::vector<std::int64_t>& shape, bool bias) {
    state[name + ".weight"] = initial_weight(init, shape, stream(name + ".weight"));
    if (bias) state[name + ".bias"] = initial_bias(init, shape[0], fans(shape).in, stream(name + ".bias"));
  };
  for (const auto& layer : architecture.layers) {
    if (const auto* conv = std::get_if<Conv>(&layer.op)) {
      weigh(layer.name, conv->init, {conv->out, conv->in, conv->kernel, conv->kernel}, conv->bias);
    } else if (const auto* linear = std::get_if<Linear>(&layer.op)) {
      weigh(layer.name, linear->init, {linear->out, linear->in}, true);
    } else if (const auto* norm = std::get_if<BatchNorm>(&layer.op)) {
      state[layer.name + ".weight"] = torch::ones({norm->channels});
      state[layer.name + ".bias"] = torch::zeros({norm->channels});
      state[layer.name + ".running_mean"] = torch::zeros({norm->channels});
      state[layer.name + ".running_var"] = torch::ones({norm->channels});
      state[layer.name + ".num_batches_tracked"] = torch::zeros({}, torch::kInt64);
    } else if (const auto* group = std::get_if<GroupNorm>(&layer.op)) {
      state[layer.name + ".weight"] = torch::ones({group->channels});
      state[layer.name + ".bias"] = torch::zeros({group->channels});
    }
  }
  return state;
}

TensorMap converted(const TensorMap& state, torch::ScalarType type) {
  TensorMap copy;
  for (const auto& [name, tensor] : state) {
    copy[name] =
        tensor.is_floating_point() ? tensor.detach().to(type, /*non_blocking=*/false, /*copy=*/true) : tensor.clone();
  }
  return copy;
}

TensorMap for_batches(const Architecture& architecture, const TensorMap& state, bool brain_floats) {
  TensorMap copy = state;
  for (const auto& layer : architecture.layers) {
    const bool convolution = std::holds_alternative<Conv>(layer.op);
    if (!convolution && !std::holds_alternative<Linear>(layer.op)) continue;
    for (const char* part : {".weight", ".bias"}) {
      const auto found = copy.find(layer.name + part);
      if (found == copy.end()) continue;
      if (brain_floats) found->second = found->second.to(torch::kBFloat16);
      if (found->second.dim() == 4) found->second = found->second.contiguous(torch::MemoryFormat::ChannelsLast);
    }
  }
  return copy;
}

Leaves with_gradients(const Network& network) {
  Leaves leaves{.state = network.state, .parameters = {}};
  for (const auto& name : parameter_names(network.architecture)) {
    Tensor& parameter = leaves.state.at(name);
    parameter = parameter.detach().clone().requires_grad_(true);
    leaves.parameters.push_back(parameter);
  }
  return leaves;
}

std::string fingerprint(const Network& network) {
  const auto& architecture = network.architecture;
  std::map<std::string, std::string> what = {{"spec", to_json(architecture.spec).dump()}};
  if (!is_of_the_zoo(architecture)) what["architecture"] = to_json(architecture).dump();
  return core::sha256(write_safetensors({.tensors = network.state, .metadata = std::move(what)}));
}

}  // namespace pellucid::nets
