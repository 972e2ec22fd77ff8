#include "pellucid/nets/architecture_json.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/nets/zoo.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace pellucid::nets {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::int64_t kMost = 1 << 20;  // of a size in a layer
constexpr std::size_t kMostLayers = 10'000;

// Every kind of layer, as it is called in files.
const std::vector<std::pair<std::string, Op>>& kinds() {
  static const std::vector<std::pair<std::string, Op>> list = {{"normalise", Normalise{}},
                                                               {"conv", Conv{}},
                                                               {"linear", Linear{}},
                                                               {"batch_norm", BatchNorm{}},
                                                               {"relu", Relu{}},
                                                               {"leaky_relu", LeakyRelu{}},
                                                               {"sigmoid", Sigmoid{}},
                                                               {"tanh", Tanh{}},
                                                               {"gelu", Gelu{}},
                                                               {"max_pool", MaxPool{}},
                                                               {"average_pool", AveragePool{}},
                                                               {"global_average_pool", GlobalAveragePool{}},
                                                               {"flatten", Flatten{}},
                                                               {"dropout", Dropout{}},
                                                               {"add", Add{}},
                                                               {"group_norm", GroupNorm{}}};
  return list;
}

core::Field size(const char* name, std::int64_t& value, std::int64_t low = 1) {
  return core::field(name, value, "", low, kMost);
}

core::Field init(Init& value) {
  return core::field("init", value, "",
                     core::Choices<Init>{{"pytorch", Init::kPyTorch},
                                         {"he_fan_in", Init::kHeFanIn},
                                         {"he_fan_out", Init::kHeFanOut},
                                         {"zero", Init::kZero},
                                         {"zero_bias", Init::kZeroBias},
                                         {"uniform_half", Init::kUniformHalf}});
}

// Finite numbers, at most as many as an image can have channels.
core::Field numbers(const char* name, std::vector<double>& value) {
  return {.name = name,
          .help = "",
          .expected = "a list of finite numbers",
          .metavar = "X,...",
          .get = [&value] { return core::Json(value); },
          .set =
              [&value](const core::Json& json) {
                const auto finite = [](const core::Json& x) { return x.is_number() && std::isfinite(x.get<double>()); };
                if (!json.is_array() || json.size() > 1024 || !std::all_of(json.begin(), json.end(), finite))
                  return false;
                value = json.get<std::vector<double>>();
                return true;
              },
          .set_text = [](const std::string&) { return false; }};
}

// The settings of a layer, each of which points into it.
struct FieldsOf {
  core::Fields operator()(Normalise& op) const {
    return {numbers("mean", op.mean), numbers("deviation", op.deviation)};
  }
  core::Fields operator()(Conv& op) const {
    return {size("in", op.in),
            size("out", op.out),
            size("kernel", op.kernel),
            size("stride", op.stride),
            size("padding", op.padding, 0),
            core::field("bias", op.bias, ""),
            init(op.init)};
  }
  core::Fields operator()(Linear& op) const { return {size("in", op.in), size("out", op.out), init(op.init)}; }
  core::Fields operator()(BatchNorm& op) const {
    return {size("channels", op.channels), core::field("momentum", op.momentum, "", 0, 1),
            core::field("epsilon", op.epsilon, "", 0, 1)};
  }
  core::Fields operator()(GroupNorm& op) const {
    return {size("channels", op.channels), size("groups", op.groups), core::field("epsilon", op.epsilon, "", 0, 1)};
  }
  core::Fields operator()(LeakyRelu& op) const { return {core::field("slope", op.slope, "", 0, 1)}; }
  core::Fields operator()(MaxPool& op) const { return {size("size", op.size)}; }
  core::Fields operator()(AveragePool& op) const { return {size("size", op.size)}; }
  core::Fields operator()(Dropout& op) const { return {core::field("probability", op.probability, "", 0, 1)}; }
  template <typename Plain>
  core::Fields operator()(Plain&) const {
    return {};
  }
};

// What a layer needs of its input, or nothing where that is so.
struct Refusal {
  std::vector<std::vector<std::int64_t>> in;  // the shapes of its inputs

  [[nodiscard]] bool picture() const { return in[0].size() == 3; }
  [[nodiscard]] std::string channels(std::int64_t count) const {
    return picture() && in[0][0] == count ? "" : fmt::format("an input of {} channels", count);
  }
  [[nodiscard]] std::string images() const { return picture() ? "" : "an input of images"; }

  std::string operator()(const Normalise& op) const {
    const auto count = static_cast<std::int64_t>(op.mean.size());
    if (op.mean.size() != op.deviation.size() ||
        std::any_of(op.deviation.begin(), op.deviation.end(), [](double d) { return d <= 0; }))
      return "as many deviations above 0 as means";
    return channels(count);
  }
  std::string operator()(const Conv& op) const { return channels(op.in); }
  std::string operator()(const BatchNorm& op) const { return channels(op.channels); }
  std::string operator()(const GroupNorm& op) const {
    return op.channels % op.groups == 0 ? channels(op.channels) : "a number of groups that divides its channels";
  }
  std::string operator()(const Linear& op) const {
    return in[0].size() == 1 && in[0][0] == op.in ? "" : fmt::format("an input of {} features", op.in);
  }
  std::string operator()(const MaxPool&) const { return images(); }
  std::string operator()(const AveragePool&) const { return images(); }
  std::string operator()(const GlobalAveragePool&) const { return images(); }
  std::string operator()(const Flatten&) const { return images(); }
  std::string operator()(const Add&) const { return in[0] == in[1] ? "" : "two inputs of the same shape"; }
  template <typename Plain>
  std::string operator()(const Plain&) const {
    return "";
  }
};

Layer layer_from_json(const nlohmann::json& json, int number) {
  const auto fail = [](const std::string& expected) { return Error(ErrorKind::kModel, "expected {}", expected); };
  if (!json.is_object() || !json.contains("op") || !json["op"].is_string()) throw fail("an object with an op");
  const auto op = json["op"].get<std::string>();
  const auto kind = std::find_if(kinds().begin(), kinds().end(), [&](const auto& k) { return k.first == op; });
  if (kind == kinds().end()) throw fail("a known kind of layer, got " + core::quoted(op));
  Layer layer{.op = kind->second, .name = {}, .inputs = {}};
  if (!json.contains("name") || !json["name"].is_string()) throw fail("a name");
  layer.name = json["name"].get<std::string>();
  const std::size_t takes = std::holds_alternative<Add>(layer.op) ? 2 : 1;
  if (!json.contains("inputs") || !json["inputs"].is_array() || json["inputs"].size() != takes)
    throw fail(fmt::format("{} in inputs", takes == 1 ? "one number" : "two numbers"));
  for (const auto& input : json["inputs"]) {
    if (!input.is_number_integer() || input < kNetworkInput || input >= number)
      throw fail("inputs that are layers before it");
    layer.inputs.push_back(input.get<int>());
  }
  const auto fields = std::visit(FieldsOf{}, layer.op);
  core::Json settings = core::Json(json);
  for (const char* key : {"op", "name", "inputs"}) settings.erase(key);
  for (const auto& field : fields) {
    if (!settings.contains(field.name)) throw fail(field.name);
  }
  core::assign(fields, settings, op);
  return layer;
}

void check_fits(const Architecture& architecture) {
  const auto& spec = architecture.spec;
  const auto sensible = [](std::int64_t n) { return 1 <= n && n <= 65'536; };
  if (spec.input.size() != 3 || !std::all_of(spec.input.begin(), spec.input.end(), sensible) || !sensible(spec.classes))
    throw Error(ErrorKind::kModel, "the spec: expected an input of three sizes and classes, each from 1 to 65536");
  std::vector<std::vector<std::int64_t>> shapes;
  std::set<std::string> names;
  for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
    const Layer& layer = architecture.layers[i];
    const auto fail = [&](const std::string& expected) {
      return Error(ErrorKind::kModel, "layer {}: expected {}", i, expected);
    };
    Refusal refusal;
    for (const int input : layer.inputs)
      refusal.in.push_back(input == kNetworkInput ? architecture.spec.input : shapes[static_cast<std::size_t>(input)]);
    if (const auto expected = std::visit(refusal, layer.op); !expected.empty()) throw fail(expected);
    shapes.push_back(output_shape(layer.op, refusal.in.front()));
    if (!std::all_of(shapes.back().begin(), shapes.back().end(), [](std::int64_t n) { return n >= 1; }))
      throw fail("an input that is not smaller than its windows");
    const bool has_parameters = !entries({.spec = {}, .layers = {layer}}).empty();
    if (has_parameters && (layer.name.empty() || !names.insert(layer.name).second))
      throw fail("a name of its own, for its parameters");
  }
  if (shapes.empty() || shapes.back() != std::vector{architecture.spec.classes}) {
    throw Error(ErrorKind::kModel, "the last layer: expected an output for each of {} classes",
                architecture.spec.classes);
  }
}

}  // namespace

bool is_of_the_zoo(const Architecture& architecture) {
  const auto& known = zoo();
  if (std::ranges::find(known, architecture.spec.net, &ZooEntry::name) == known.end()) return false;
  try {
    return to_json(build(architecture.spec)) == to_json(architecture);
  } catch (const Error&) {  // a spec that the zoo refuses
    return false;
  }
}

core::Json to_json(const Architecture& architecture) {
  core::Json layers = core::Json::array();
  for (const Layer& layer : architecture.layers) {
    core::Json row = {{"op", kinds()[layer.op.index()].first}, {"name", layer.name}, {"inputs", layer.inputs}};
    Op op = layer.op;
    row.update(core::to_json(std::visit(FieldsOf{}, op)));
    layers.push_back(std::move(row));
  }
  return {{"spec", to_json(architecture.spec)}, {"layers", layers}};
}

Architecture architecture_from_json(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("spec") || !json.contains("layers") || !json["layers"].is_array())
    throw Error(ErrorKind::kModel, "expected an object with a spec and layers");
  if (json["layers"].size() > kMostLayers)
    throw Error(ErrorKind::kModel, "got {} layers, expected at most {}", json["layers"].size(), kMostLayers);
  Architecture architecture{.spec = spec_from_json(core::Json(json["spec"])), .layers = {}};
  int number = 0;
  for (const auto& layer : json["layers"]) {
    try {
      architecture.layers.push_back(layer_from_json(layer, number));
    } catch (const Error& error) {  // a usage error of the file's, not of the user's
      throw Error(ErrorKind::kModel, "layer {}: {}", number, core::printable(error.what(), 400));
    }
    ++number;
  }
  check_fits(architecture);
  return architecture;
}

}  // namespace pellucid::nets
