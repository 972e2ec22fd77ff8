#include "pellucid/inversion/inspect.h"

#include "pellucid/core/error.h"
#include "pellucid/inversion/imprint.h"
#include "pellucid/inversion/isolate.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/threat_model.h"

namespace pellucid::inversion {
namespace {

using core::Error;
using core::Json;
using sharing::Observation;

constexpr std::int64_t kLargest = 4096;  // of a layer's smaller side, whose singular values take longer than a second
constexpr double kMostlyZero = 0.5;      // of a weight's values

// What it throws where something does not apply; empty where nothing.
template <typename Call>
std::string refusal(const Call& call) {
  try {
    call();
    return "";
  } catch (const Error& error) {
    if (error.kind() != core::ErrorKind::kUsage && error.kind() != core::ErrorKind::kModel) throw;
    return error.what();
  }
}

InspectedLayer look_at(const Observation& observation, const std::string& name, const nets::Linear& linear) {
  const auto& [network, update, unused_labels, unused_id, unused_rounds] = observation;
  InspectedLayer layer{.name = name, .bound = std::min(linear.out, linear.in), .images = 0, .gap = 0};
  const auto batch = update.protocol.batch_size * std::max<std::int64_t>(update.protocol.local.epochs, 1);
  if (layer.bound > kLargest || batch >= layer.bound) return layer;
  const auto seen = visible({.weight = network.state.at(name + ".weight"),
                             .bias = network.state.at(name + ".bias"),
                             .weight_gradient = update.gradient.at(name + ".weight"),
                             .bias_gradient = update.gradient.at(name + ".bias"),
                             .batch = batch});
  layer.images = seen.images;
  layer.gap = seen.gap;
  return layer;
}

InspectedLabels read_by(const LabelStrategy& strategy, const Observation& observation) {
  InspectedLabels read{.strategy = strategy.name, .lacks = strategy.lacks(observation).value_or(""), .labels = {}};
  if (read.lacks.empty()) read.lacks = refusal([&] { read.labels = strategy.read(observation); });
  return read;
}

std::vector<Diagnosis> look_at(const nets::Network& network) {
  std::vector<Diagnosis> found;
  for (const auto& layer : network.architecture.layers) {
    if (layer.name.empty()) continue;
    const auto weight = network.state.find(layer.name + ".weight");
    if (weight == network.state.end() || weight->second.dim() < 2) continue;
    const Tensor& rows = weight->second;
    const double zeros = rows.eq(0).to(torch::kFloat64).mean().item<double>();
    if (rows.size(0) > 2 && rows_are_alike(rows)) {
      found.push_back(
          {"equal-rows",
           fmt::format("all {} rows of {} are alike: a layer planted to sort images into bins looks so, and "
                       "leaks them one by one",
                       rows.size(0), layer.name)});
    } else if (zeros > kMostlyZero) {
      found.push_back(
          {"zero-weights", fmt::format("{:.0f} % of the weights of {} are exactly 0, {}", 100 * zeros, layer.name,
                                       zeros < 1 ? "as where single units are left to carry one image's gradient"
                                                 : "so that nothing before it has a gradient")});
    }
  }
  return found;
}

}  // namespace

Inspection inspect(const Observation& given) {
  const auto observation = sharing::as_gradient(given);
  const auto& network = observation.network;
  Inspection found{.norm = sharing::gradient_norm(observation.update),
                   .parameters = {},
                   .layers = {},
                   .labels = {},
                   .attacks = {},
                   .update = diagnose(observation, Functional::kLoss),
                   .network = look_at(network)};
  for (const auto& name : nets::parameter_names(network.architecture)) {
    const Tensor values = observation.update.gradient.at(name).to(torch::kFloat64);
    found.parameters.push_back({.name = name,
                                .values = values.numel(),
                                .norm = values.norm().item<double>(),
                                .zeros = values.eq(0).to(torch::kFloat64).mean().item<double>()});
  }
  for (const auto& layer : network.architecture.layers) {
    if (const auto* linear = std::get_if<nets::Linear>(&layer.op))
      found.layers.push_back(look_at(observation, layer.name, *linear));
  }
  for (const auto& strategy : label_strategies()) found.labels.push_back(read_by(strategy, observation));
  for (const auto& preset : presets()) {
    InspectedAttack attack{.preset = preset.name,
                           .lacks = refusal([&] { check_applies(observation, preset.attack); }),
                           .threat_model = {}};
    const auto* least = attack.lacks.empty() ? threat_model(observation, preset.attack) : nullptr;
    if (least != nullptr) attack.threat_model = least->name;
    found.attacks.push_back(std::move(attack));
  }
  return found;
}

Json to_json(const Inspection& found) {
  const auto text = [](const std::string& lacks) { return lacks.empty() ? Json() : Json(lacks); };
  Json parameters = Json::array(), layers = Json::array(), labels = Json::array(), attacks = Json::array();
  for (const auto& p : found.parameters)
    parameters.push_back({{"name", p.name}, {"values", p.values}, {"norm", p.norm}, {"zeros", p.zeros}});
  for (const auto& l : found.layers) {
    layers.push_back({{"name", l.name},
                      {"bound", l.bound},
                      {"images_above_rounding", l.gap > 0 ? Json(l.images) : Json()},
                      {"gap", l.gap > 0 ? Json(l.gap) : Json()}});
  }
  for (const auto& l : found.labels) {
    labels.push_back(
        {{"strategy", l.strategy}, {"labels", l.lacks.empty() ? Json(l.labels) : Json()}, {"reason", text(l.lacks)}});
  }
  for (const auto& a : found.attacks) {
    attacks.push_back({{"preset", a.preset},
                       {"applies", a.lacks.empty()},
                       {"reason", text(a.lacks)},
                       {"threat_model", text(a.threat_model)}});
  }
  return {
      {"norm", found.norm}, {"parameters", parameters},        {"linear_layers", layers},          {"labels", labels},
      {"attacks", attacks}, {"update", to_json(found.update)}, {"network", to_json(found.network)}};
}

}  // namespace pellucid::inversion
