#include "pellucid/nets/architecture.h"

#include "pellucid/core/error.h"

#include <functional>
#include <numeric>

namespace pellucid::nets {
namespace {

using Shape = std::vector<std::int64_t>;

std::int64_t product(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

// What a layer makes of its first input's shape.
struct OutputShape {
  const Shape& in;

  Shape operator()(const Conv& conv) const {
    auto side = [&](std::int64_t n) {
      const auto room = n + 2 * conv.padding - conv.kernel;
      return room < 0 ? 0 : room / conv.stride + 1;  // C++ division rounds -1/2 to 0, and 0 + 1 would pass as a size
    };
    return {conv.out, side(in[1]), side(in[2])};
  }
  Shape operator()(const Linear& linear) const { return {linear.out}; }
  Shape operator()(const MaxPool& pool) const { return {in[0], in[1] / pool.size, in[2] / pool.size}; }
  Shape operator()(const AveragePool& pool) const { return {in[0], in[1] / pool.size, in[2] / pool.size}; }
  Shape operator()(const GlobalAveragePool&) const { return {in[0], 1, 1}; }
  Shape operator()(const Flatten&) const { return {product(in)}; }
  template <typename Elementwise>
  Shape operator()(const Elementwise&) const {
    return in;
  }
};

}  // namespace

std::vector<Entry> entries(const Architecture& architecture) {
  std::vector<Entry> list;
  for (const auto& layer : architecture.layers) {
    if (const auto* conv = std::get_if<Conv>(&layer.op)) {
      list.push_back({layer.name + ".weight", {conv->out, conv->in, conv->kernel, conv->kernel}});
      if (conv->bias) list.push_back({layer.name + ".bias", {conv->out}});
    } else if (const auto* linear = std::get_if<Linear>(&layer.op)) {
      list.push_back({layer.name + ".weight", {linear->out, linear->in}});
      list.push_back({layer.name + ".bias", {linear->out}});
    } else if (const auto* norm = std::get_if<BatchNorm>(&layer.op)) {
      list.push_back({layer.name + ".weight", {norm->channels}});
      list.push_back({layer.name + ".bias", {norm->channels}});
      list.push_back({layer.name + ".running_mean", {norm->channels}, Entry::Kind::kStatistic});
      list.push_back({layer.name + ".running_var", {norm->channels}, Entry::Kind::kStatistic});
      list.push_back({layer.name + ".num_batches_tracked", {}, Entry::Kind::kCounter});
    } else if (const auto* group = std::get_if<GroupNorm>(&layer.op)) {
      list.push_back({layer.name + ".weight", {group->channels}});
      list.push_back({layer.name + ".bias", {group->channels}});
    }
  }
  return list;
}

std::vector<std::string> parameter_names(const Architecture& architecture) {
  std::vector<std::string> names;
  for (auto& entry : entries(architecture)) {
    if (entry.kind == Entry::Kind::kParameter) names.push_back(std::move(entry.name));
  }
  return names;
}

std::int64_t count_parameters(const Architecture& architecture) {
  std::int64_t count = 0;
  for (const auto& entry : entries(architecture)) {
    if (entry.kind == Entry::Kind::kParameter) count += product(entry.shape);
  }
  return count;
}

std::int64_t count_macs(const Architecture& architecture) {
  const auto shapes = output_shapes(architecture);
  std::int64_t count = 0;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const auto& op = architecture.layers[i].op;
    if (const auto* conv = std::get_if<Conv>(&op)) count += product(shapes[i]) * conv->in * conv->kernel * conv->kernel;
    if (const auto* linear = std::get_if<Linear>(&op)) count += linear->in * linear->out;
  }
  return count;
}

Shape output_shape(const Op& op, const Shape& in) { return std::visit(OutputShape{in}, op); }

std::vector<Shape> output_shapes(const Architecture& architecture) {
  std::vector<Shape> shapes;
  for (const auto& layer : architecture.layers) {
    const int source = layer.inputs.front();
    const Shape& in = source == kNetworkInput ? architecture.spec.input : shapes[source];
    shapes.push_back(output_shape(layer.op, in));
    if (std::any_of(shapes.back().begin(), shapes.back().end(), [](std::int64_t n) { return n < 1; })) {
      const auto& input = architecture.spec.input;
      throw core::Error(core::ErrorKind::kUsage,
                        "{}: images of {}x{} pixels are too small: nothing is left after layer {}",
                        architecture.spec.net, input[1], input[2], shapes.size());
    }
  }
  return shapes;
}

core::Json to_json(const Spec& spec) {
  return {{"net", spec.net},
          {"input", spec.input},
          {"classes", spec.classes},
          {"mean", spec.mean},
          {"deviation", spec.deviation}};
}

Spec spec_from_json(const core::Json& json) {
  try {
    return {.net = json.at("net").get<std::string>(),
            .input = json.at("input").get<Shape>(),
            .classes = json.at("classes").get<std::int64_t>(),
            .mean = json.at("mean").get<std::vector<double>>(),
            .deviation = json.at("deviation").get<std::vector<double>>()};
  } catch (const core::Json::exception& error) {
    throw core::Error(core::ErrorKind::kModel, "the description of the network: {}", error.what());
  }
}

}  // namespace pellucid::nets
