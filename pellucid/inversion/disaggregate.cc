#include "pellucid/inversion/disaggregate.h"

#include "pellucid/inversion/candidate.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/optimise.h"
#include "pellucid/inversion/problem.h"

#include <algorithm>

namespace pellucid::inversion {
namespace {

using nets::Architecture;

constexpr double kNegative = 0.5;  // of the largest derivative by a logit: the label's is below minus this

// The first linear layer whose output a ReLU takes.
std::optional<std::size_t> linear_before_relu(const Architecture& architecture) {
  for (const auto& layer : architecture.layers) {
    if (!std::holds_alternative<nets::Relu>(layer.op) || layer.inputs.front() < 0) continue;
    const auto before = static_cast<std::size_t>(layer.inputs.front());
    if (std::holds_alternative<nets::Linear>(architecture.layers[before].op)) return before;
  }
  return std::nullopt;
}

// What follows a layer, as a network that takes its output.
Architecture after(const Architecture& whole, std::size_t layer) {
  const auto& linear = std::get<nets::Linear>(whole.layers[layer].op);
  Architecture tail{.spec = whole.spec, .layers = {{nets::Flatten{}, "", {nets::kNetworkInput}}}};
  tail.spec.input = {linear.out, 1, 1};
  tail.spec.mean = tail.spec.deviation = {};
  for (std::size_t i = layer + 1; i < whole.layers.size(); ++i) {
    tail.layers.push_back(whole.layers[i]);
    for (int& input : tail.layers.back().inputs) input -= static_cast<int>(layer);
  }
  return tail;
}

// Whether the layer takes the image itself.
bool takes_pixels(const Architecture& architecture, std::size_t layer) {
  return std::all_of(architecture.layers.begin(), architecture.layers.begin() + static_cast<std::ptrdiff_t>(layer),
                     [](const nets::Layer& l) {
                       return std::holds_alternative<nets::Normalise>(l.op) ||
                              std::holds_alternative<nets::Flatten>(l.op);
                     });
}

// The least value that the layer's inputs often take: a ReLU's 0, or black, whatever they are pooled or reshaped by.
std::optional<double> least_input(const Architecture& architecture, std::size_t layer) {
  int at = architecture.layers[layer].inputs.front();
  for (; at != nets::kNetworkInput; at = architecture.layers[static_cast<std::size_t>(at)].inputs.front()) {
    const auto& op = architecture.layers[static_cast<std::size_t>(at)].op;
    if (std::holds_alternative<nets::Relu>(op)) return 0;
    if (const auto* normalise = std::get_if<nets::Normalise>(&op)) {
      if (normalise->mean.size() != 1) return std::nullopt;
      return -normalise->mean[0] / normalise->deviation[0];
    }
    const bool keeps_least = std::holds_alternative<nets::Flatten>(op) || std::holds_alternative<nets::MaxPool>(op) ||
                             std::holds_alternative<nets::AveragePool>(op) ||
                             std::holds_alternative<nets::GlobalAveragePool>(op);
    if (!keeps_least) return std::nullopt;
  }
  return 0;
}

Tensor outputs_of(const nets::Network& network, std::size_t layer, const Tensor& inputs) {
  const auto& name = network.architecture.layers[layer].name;
  const auto exact = [&](const char* part) { return network.state.at(name + part).to(torch::kFloat64); };
  return torch::addmm(exact(".bias"), inputs, exact(".weight").t());
}

Tensor logits_behind(const nets::Network& network, std::size_t layer, const Tensor& z) {
  const auto state = nets::converted(network.state, torch::kFloat64);
  return nets::evaluate(after(network.architecture, layer), state, z.view({z.size(0), z.size(1), 1, 1})).logits;
}

// The same of images that were not isolated: what these leave over of the last bias's gradient, as if the images had
// the same probabilities.
AtLogits left(const sharing::Observation& observation, const Tensor& others, std::int64_t images) {
  Tensor rest = residual_at_logits(observation).to(torch::kFloat64) - others;
  const double each = 1 / static_cast<double>(observation.update.protocol.batch_size);
  Tensor labels = torch::zeros({images}, torch::kInt64);
  for (std::int64_t i = 0; i < images; ++i) {
    labels[i] = rest.argmin();
    rest[labels[i]] += each;
  }
  const Tensor mean = rest / static_cast<double>(std::max<std::int64_t>(images, 1));
  return {.residuals = mean - each * torch::one_hot(labels, rest.size(0)), .labels = labels};
}

}  // namespace

AtLogits at_logits(const nets::Network& network, std::size_t layer, const Tensor& inputs, const Tensor& residuals) {
  if (inputs.size(0) == 0) {
    return {.residuals = torch::zeros({0, network.architecture.spec.classes}, torch::kFloat64),
            .labels = torch::zeros({0}, torch::kInt64)};
  }
  const Tensor z = outputs_of(network, layer, inputs).detach().requires_grad_(true);
  const Tensor logits = logits_behind(network, layer, z);
  std::vector<Tensor> rows;
  for (std::int64_t c = 0; c < logits.size(1); ++c)
    rows.push_back(torch::autograd::grad({logits.select(1, c).sum()}, {z}, {}, /*retain_graph=*/true)[0]);
  const Tensor known = residuals != 0;                             // (n, out)
  const Tensor maps = torch::stack(rows, 2) * known.unsqueeze(2);  // (n, out, classes)
  const Tensor found = torch::matmul(torch::linalg_pinv(maps), residuals.unsqueeze(2)).squeeze(2);
  const auto [least, label] = found.min(1);
  const Tensor rounded = -least < kNegative * found.amax(1);
  return {.residuals = found, .labels = torch::where(rounded, logits.argmax(1), label)};
}

std::optional<std::string> disaggregate_lacks(const sharing::Observation& observation, const Attack& /*attack*/) {
  const auto& architecture = observation.network.architecture;
  if (observation.update.protocol.local.epochs > 0)
    return "disaggregate: takes a gradient apart (got the change of the weights by local training); use unrolled";
  const auto layer = linear_before_relu(architecture);
  if (!layer) return fmt::format("disaggregate: {} has no linear layer before a ReLU; use ig", architecture.spec.net);
  if (!std::holds_alternative<nets::Linear>(architecture.layers.back().op))
    return fmt::format("disaggregate: {} does not end in a linear layer; use ig", architecture.spec.net);
  for (std::size_t i = *layer + 1; i < architecture.layers.size(); ++i) {
    for (const int input : architecture.layers[i].inputs) {
      if (input < static_cast<int>(*layer))
        return fmt::format("disaggregate: {} has a layer beside {}; use ig", architecture.spec.net,
                           architecture.layers[*layer].name);
    }
  }
  const auto& linear = std::get<nets::Linear>(architecture.layers[*layer].op);
  const std::int64_t batch = observation.update.protocol.batch_size, bound = std::min(linear.out, linear.in + 1);
  if (batch < bound) return std::nullopt;
  return fmt::format("disaggregate: a batch of {} images, expected fewer than {}, the {} of {}; use ig", batch, bound,
                     bound == linear.out ? "units" : "inputs", architecture.layers[*layer].name);
}

std::vector<Trial> disaggregate(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                                std::int64_t count, const torch::Device& device) {
  const auto& network = observation.network;
  const std::size_t layer = *linear_before_relu(network.architecture);
  const auto& name = network.architecture.layers[layer].name;
  const auto& gradient = observation.update.gradient;
  const std::int64_t batch = observation.update.protocol.batch_size;
  const Isolated found = isolate({.weight = network.state.at(name + ".weight"),
                                  .bias = network.state.at(name + ".bias"),
                                  .weight_gradient = gradient.at(name + ".weight"),
                                  .bias_gradient = gradient.at(name + ".bias"),
                                  .batch = batch,
                                  .least = least_input(network.architecture, layer)},
                                 attack.seed);
  const std::int64_t known = found.inputs.size(0);
  const AtLogits own = at_logits(network, layer, found.inputs, found.residuals);
  const AtLogits rest = left(observation, own.residuals.sum(0), batch - known);
  const Tensor residuals = torch::cat({own.residuals, rest.residuals}), classes = torch::cat({own.labels, rest.labels});
  const std::vector<std::int64_t> labels(classes.data_ptr<std::int64_t>(), classes.data_ptr<std::int64_t>() + batch);

  std::vector<Trial> trials;
  const auto& spec = network.architecture.spec;
  const std::string how = fmt::format("{} of {} images isolated, {} above the rounding", known, batch, found.visible);
  if (takes_pixels(network.architecture, layer)) {
    Trial trial;
    trial.images = torch::full({batch, spec.input[0], spec.input[1], spec.input[2]}, 0.5, torch::kFloat64);
    trial.images.slice(0, 0, known) =
        Units(spec, torch::kFloat64).to_pixels(found.inputs.view({known, spec.input[0], spec.input[1], spec.input[2]}));
    trial.method = "closed form, float64; " + how;
    trials.assign(static_cast<std::size_t>(count), trial);
  } else {
    Problem problem = whole_problem(observation, attack, labels);
    problem.functional = Functional::kResidual;
    problem.residual = residuals * problem.scale;
    const auto padded = [&](const Tensor& values, std::vector<std::int64_t> shape) {
      Tensor all = torch::zeros(shape, torch::kFloat64);
      all.slice(0, 0, known) = values;
      return all;
    };
    problem.features = {.layer = name,
                        .targets = padded(found.inputs, {batch, found.inputs.size(1)}),
                        .weights = padded(features_weights(found.inputs, attack.features), {batch})};
    trials = descend_on(problem, observation.id, attack, first, count, device);
    for (auto& trial : trials) trial.method += "; " + how;
  }
  for (auto& trial : trials) {
    trial.labels = labels;
    trial.isolated.assign(static_cast<std::size_t>(batch), false);
    std::fill_n(trial.isolated.begin(), known, true);
  }
  return trials;
}

}  // namespace pellucid::inversion
