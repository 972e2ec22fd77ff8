#include "pellucid/inversion/imprint.h"

#include "pellucid/core/error.h"
#include "pellucid/inversion/candidate.h"
#include "pellucid/inversion/labels.h"

#include <algorithm>

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;
using nets::Architecture;

constexpr double kAdded = 1e-3;     // to a pixel, at most about so much
constexpr double kAlike = 1e-4;     // relative difference of rows that are one row
constexpr double kRounding = 1e-6;  // of a bias's gradient: a difference below that is none
constexpr double kOutside = 0.05;   // that a pixel may be outside of [0, 1], by rounding

// The layer after the normalisation, if any.
std::size_t first_layer(const Architecture& architecture) {
  const auto& layers = architecture.layers;
  return !layers.empty() && std::holds_alternative<nets::Normalise>(layers.front().op) ? 1 : 0;
}

Tensor exact(const nets::TensorMap& map, const std::string& name) { return map.at(name).to(torch::kFloat64); }

// Which of the batch's labels each image has, by what the network takes it for: the surest first. Where the labels
// cannot be counted, its class alone.
std::vector<std::int64_t> labels_of(const sharing::Observation& observation, const Attack& attack,
                                    const Tensor& images) {
  Tensor p = nets::logits(observation.network, images).to(torch::kFloat64).softmax(1);
  Tensor left = torch::zeros({p.size(1)}, torch::kInt64);
  try {
    for (const auto label : infer_labels(observation, attack.labels)) left[label] += 1;
  } catch (const Error&) {
    left.fill_(images.size(0));
  }
  std::vector<std::int64_t> labels(static_cast<std::size_t>(images.size(0)));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const Tensor open = torch::where(left > 0, p, torch::full({}, -1, torch::kFloat64));
    const auto best = open.argmax().item<std::int64_t>(), image = best / p.size(1), label = best % p.size(1);
    labels[static_cast<std::size_t>(image)] = label;
    left[label] -= 1;
    p[image] = -2;
  }
  return labels;
}

}  // namespace

nets::Network imprinted(const nets::Network& network, const std::vector<double>& edges) {
  const auto& spec = network.architecture.spec;
  const std::int64_t channels = spec.input[0], side = spec.input[1], bins = static_cast<std::int64_t>(edges.size());
  if (side != spec.input[2])
    throw Error(ErrorKind::kUsage, "imprint: got images of {}, expected square ones", fmt::join(spec.input, "x"));
  if (network.state.contains("imprint.bins.weight"))
    throw Error(ErrorKind::kUsage, "imprint: got a network with such a layer, expected one without");
  if (edges.size() < 2 || !std::ranges::is_sorted(edges, std::less_equal<>()))
    throw Error(ErrorKind::kUsage, "imprint: got {} edges, expected two or more that ascend", edges.size());

  nets::Network planted = network;
  auto& layers = planted.architecture.layers;
  const auto at = first_layer(network.architecture);
  const int before = static_cast<int>(at) - 1, from = static_cast<int>(at);
  const std::vector<nets::Layer> added = {
      {nets::Conv{.in = channels, .out = bins, .kernel = side}, "imprint.bins", {before}},
      {nets::Relu{}, "", {from}},
      {nets::Conv{.in = bins, .out = 1, .kernel = 1, .bias = false}, "imprint.sum", {from + 1}},
      {nets::Conv{.in = 1, .out = channels, .kernel = side, .padding = side - 1, .bias = false},
       "imprint.back",
       {from + 2}},
      {nets::Add{}, "", {before, from + 3}}};
  for (std::size_t i = at; i < layers.size(); ++i) {
    for (int& input : layers[i].inputs) input += static_cast<int>(added.size());  // what took the image takes the sum
  }
  layers.insert(layers.begin() + static_cast<std::ptrdiff_t>(at), added.begin(), added.end());
  planted.architecture.spec.net += "+imprint";

  // The mean pixel by what the layer takes: a deviation times it plus a mean, for each channel.
  Tensor row =
      torch::full({1, channels, side, side}, 1.0 / static_cast<double>(channels * side * side), torch::kFloat64);
  double offset = 0;
  for (std::size_t c = 0; at == 1 && c < spec.mean.size(); ++c) {
    row.select(1, static_cast<std::int64_t>(c)) *= spec.deviation[c];
    offset += spec.mean[c] / static_cast<double>(channels);
  }
  const auto put = [&](const char* name, const Tensor& value) { planted.state[name] = value.to(torch::kFloat32); };
  put("imprint.bins.weight", row.expand({bins, channels, side, side}).clone());
  put("imprint.bins.bias", offset - torch::tensor(edges, torch::kFloat64));
  put("imprint.sum.weight", torch::full({1, bins, 1, 1}, 1.0 / static_cast<double>(bins)));
  put("imprint.back.weight", torch::full({channels, 1, side, side}, kAdded));
  return planted;
}

bool rows_are_alike(const Tensor& weight) {
  const Tensor rows = weight.to(torch::kFloat64).flatten(1);
  return rows.size(0) > 1 && (rows - rows[0]).norm(2, 1).max().item<double>() < kAlike * rows[0].norm().item<double>();
}

std::optional<std::string> imprint_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  const auto& [spec, layers] = observation.network.architecture;
  const auto none = fmt::format(
      "imprint: the first layer of {} does not sort images into bins; use ig, or `pellucid imprint` to plant one",
      spec.net);
  const auto at = first_layer(observation.network.architecture);
  if (at >= layers.size()) return none;
  const auto* conv = std::get_if<nets::Conv>(&layers[at].op);
  if (conv == nullptr || !conv->bias || conv->out < 2 || conv->kernel != spec.input[1] || conv->padding != 0)
    return none;
  if (!rows_are_alike(observation.network.state.at(layers[at].name + ".weight"))) return none;
  return std::nullopt;
}

std::vector<Trial> imprint(const sharing::Observation& observation, const Attack& attack, std::int64_t /*first*/,
                           std::int64_t count, const torch::Device& /*device*/) {
  const auto& network = observation.network;
  const auto& update = observation.update;
  const auto& spec = network.architecture.spec;
  const auto& name = network.architecture.layers[first_layer(network.architecture)].name;
  const auto sorted = exact(network.state, name + ".bias").sort(/*dim=*/0, /*descending=*/true);
  const Tensor &bias = std::get<0>(sorted), &order = std::get<1>(sorted);
  const auto bins = bias.size(0);
  const Tensor row = exact(network.state, name + ".weight")[0].flatten();
  const auto ordered = [&](const char* part) {
    return exact(update.gradient, name + part).index_select(0, order).reshape({bins, -1});
  };
  // Those of the unit above, which fewer images reach; none for the last.
  const auto less_next = [](const Tensor& t) {
    return torch::cat({t.slice(0, 0, -1) - t.slice(0, 1), t.slice(0, -1)});
  };
  const Tensor at_bias = ordered(".bias"), by_bias = less_next(at_bias).flatten();
  const Tensor inputs = less_next(ordered(".weight")) / by_bias.unsqueeze(1);
  const Tensor pixels =
      Units(spec, torch::kFloat64).to_pixels(inputs.view({bins, spec.input[0], spec.input[1], spec.input[2]}));

  const Tensor response = torch::mv(inputs, row), none = torch::full({1}, -1e300, torch::kFloat64);
  const Tensor slack = kRounding * (1 + response.abs());
  const Tensor in_bin =
      (response + bias > -slack).logical_and(response + torch::cat({bias.slice(0, 1), none}) <= slack);
  const Tensor in_range = (pixels.flatten(1).amin(1) > -kOutside).logical_and(pixels.flatten(1).amax(1) < 1 + kOutside);
  const Tensor seen = by_bias.abs() > kRounding * at_bias.flatten().abs();
  const Tensor strength = by_bias.abs() * seen.logical_and(in_bin).logical_and(in_range);
  const auto found = std::min(torch::count_nonzero(strength).item<std::int64_t>(), update.protocol.batch_size);

  Trial trial;
  trial.images = torch::full({update.protocol.batch_size, spec.input[0], spec.input[1], spec.input[2]}, 0.5);
  const Tensor which = std::get<1>(strength.topk(found));
  trial.images.slice(0, 0, found) = pixels.index_select(0, which).to(torch::kFloat32);
  trial.method = fmt::format("closed form, float64; {} of {} bins hold an image", found, bins);
  trial.labels = labels_of(observation, attack, trial.images.clamp(0, 1));
  return std::vector<Trial>(static_cast<std::size_t>(count), trial);
}

}  // namespace pellucid::inversion
