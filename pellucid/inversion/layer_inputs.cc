#include "pellucid/inversion/layer_inputs.h"

#include "pellucid/core/stop.h"
#include "pellucid/inversion/candidate.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/optimise.h"
#include "pellucid/inversion/problem.h"

#include <algorithm>

namespace pellucid::inversion {
namespace {

using nets::Architecture;

constexpr double kNegative = 0.5;    // of the largest derivative by a logit: the label's is below minus this
constexpr int kRounds = 100;         // in which inputs and network come to agree
constexpr double kPart = 0.3;        // of the way to the network's derivatives, in a round
constexpr double kSingular = 1e-12;  // of the largest singular value: none
constexpr double kNothing = 1e-150;  // for the scale of an image that rounding took
constexpr double kUnmixed = 0.1;     // share of other images in an input that is isolated, at the most

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

// The derivatives by the layer's output that the network gives inputs with these labels.
Tensor derivatives_of(const sharing::Observation& observation, std::size_t layer, const Tensor& inputs,
                      const Tensor& labels) {
  const Tensor z = outputs_of(observation.network, layer, inputs).detach().requires_grad_(true);
  const Tensor loss =
      at::cross_entropy_loss(logits_behind(observation.network, layer, z), labels, {}, at::Reduction::Sum);
  return torch::autograd::grad({loss / static_cast<double>(observation.update.protocol.batch_size)}, {z})[0];
}

// The nearest inputs that the layer can take.
Tensor clamped(const Architecture& architecture, std::size_t layer, const Tensor& inputs) {
  if (takes_pixels(architecture, layer)) {
    const auto& input = architecture.spec.input;
    const Units units(architecture.spec, torch::kFloat64);
    return units.from_pixels(units.to_pixels(inputs.view({-1, input[0], input[1], input[2]})).clamp(0, 1)).flatten(1);
  }
  const auto least = least_input(architecture, layer);
  return least ? inputs.clamp_min(*least) : inputs;
}

Tensor unit_rows(const Tensor& rows) { return rows / rows.norm(2, 1, true).clamp_min(1e-300); }

}  // namespace

LinearLayer linear_layer(const sharing::Observation& observation, std::size_t layer) {
  const auto& [network, update, unused_labels, unused_id, unused_rounds] = observation;
  const auto& name = network.architecture.layers[layer].name;
  return {.weight = network.state.at(name + ".weight"),
          .bias = network.state.at(name + ".bias"),
          .weight_gradient = update.gradient.at(name + ".weight"),
          .bias_gradient = update.gradient.at(name + ".bias"),
          .batch = update.protocol.batch_size,
          .least = least_input(network.architecture, layer)};
}

bool takes_pixels(const Architecture& architecture, std::size_t layer) {
  return std::all_of(architecture.layers.begin(), architecture.layers.begin() + static_cast<std::ptrdiff_t>(layer),
                     [](const nets::Layer& l) {
                       return std::holds_alternative<nets::Normalise>(l.op) ||
                              std::holds_alternative<nets::Flatten>(l.op);
                     });
}

bool stands_alone(const Architecture& architecture, std::size_t layer) {
  return std::all_of(architecture.layers.begin() + static_cast<std::ptrdiff_t>(layer) + 1, architecture.layers.end(),
                     [&](const nets::Layer& l) { return std::ranges::min(l.inputs) >= static_cast<int>(layer); });
}

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

Tensor left_at_logits(const sharing::Observation& observation, const Tensor& others, const Tensor& labels) {
  const Tensor rest = residual_at_logits(observation).to(torch::kFloat64) - others;
  const double each = 1 / static_cast<double>(observation.update.protocol.batch_size);
  const Tensor ones = torch::one_hot(labels, rest.size(0)).to(torch::kFloat64);
  return (rest + each * ones.sum(0)) / static_cast<double>(std::max<std::int64_t>(labels.size(0), 1)) - each * ones;
}

AtLogits at_logits_of_batch(const sharing::Observation& observation, std::size_t layer, const Tensor& inputs,
                            const Tensor& residuals) {
  const AtLogits own = at_logits(observation.network, layer, inputs, residuals);
  const auto batch = observation.update.protocol.batch_size;
  const Tensor others = own.residuals.sum(0);
  Tensor rest = residual_at_logits(observation).to(torch::kFloat64) - others;
  Tensor labels = torch::zeros({batch - inputs.size(0)}, torch::kInt64);
  for (std::int64_t i = 0; i < labels.size(0); ++i) {
    labels[i] = rest.argmin();
    rest[labels[i]] += 1 / static_cast<double>(batch);
  }
  return {.residuals = torch::cat({own.residuals, left_at_logits(observation, others, labels)}),
          .labels = torch::cat({own.labels, labels})};
}

Agreed agree(const sharing::Observation& observation, std::size_t layer, Tensor derivatives, const Tensor& labels,
             bool by_inputs) {
  const auto& architecture = observation.network.architecture;
  const auto part = linear_layer(observation, layer);
  const Tensor gradient =
      torch::cat({part.weight_gradient, part.bias_gradient.unsqueeze(1)}, 1).to(torch::kCPU, torch::kFloat64);
  const auto n = derivatives.size(0);
  const Tensor one = torch::ones({n, 1}, torch::kFloat64), identity = torch::eye(n, torch::kFloat64);
  Agreed best;
  for (int round = 0; round < kRounds; ++round) {
    core::throw_if_stopped();
    derivatives = unit_rows(derivatives);
    const Tensor dual = torch::linalg_pinv(derivatives.t(), kSingular);
    const Tensor rows = torch::mm(dual, gradient), last = rows.slice(1, -1);
    const Tensor scale = torch::where(last == 0, torch::full({}, kNothing, torch::kFloat64), last);
    const Tensor inputs = rows.slice(1, 0, -1) / scale, residuals = derivatives * scale;
    const Tensor possible = clamped(architecture, layer, inputs);
    const Tensor there = derivatives_of(observation, layer, possible, labels);
    const Tensor mixed = (torch::mm(dual / scale, there.t()) - identity).norm(2, 1);
    if (best.inputs.defined()) {
      const Tensor better = mixed < best.mixed, row = better.unsqueeze(1);
      best = {.inputs = torch::where(row, inputs, best.inputs),
              .residuals = torch::where(row, residuals, best.residuals),
              .mixed = torch::where(better, mixed, best.mixed)};
    } else {
      best = {.inputs = inputs, .residuals = residuals, .mixed = mixed};
    }
    const Tensor from =
        by_inputs ? torch::mm(gradient, torch::linalg_pinv(torch::cat({possible, one}, 1), kSingular)).t() : residuals;
    derivatives = (1 - kPart) * unit_rows(from) + kPart * unit_rows(there);
  }
  return best;
}

Tensor unmixed(const Agreed& agreed) { return agreed.mixed < kUnmixed; }

std::vector<Trial> invert(const sharing::Observation& observation, const Attack& attack, const LayerInputs& read,
                          const std::string& how, std::int64_t first, std::int64_t count, const torch::Device& device) {
  const auto& architecture = observation.network.architecture;
  std::vector<Trial> trials;
  if (takes_pixels(architecture, read.layer)) {
    const auto& input = architecture.spec.input;
    const Tensor images =
        Units(architecture.spec, torch::kFloat64).to_pixels(read.inputs.view({-1, input[0], input[1], input[2]}));
    Trial trial;
    trial.images = torch::where(read.known.view({-1, 1, 1, 1}), images, torch::full({}, 0.5, torch::kFloat64));
    trial.method = "closed form, float64; " + how;
    trials.assign(static_cast<std::size_t>(count), trial);
  } else {
    Problem problem = whole_problem(observation, attack, read.labels);
    problem.functional = Functional::kResidual;
    problem.residual = read.residuals * problem.scale;
    const Tensor which = read.known.nonzero().flatten();
    problem.features = {.layer = architecture.layers[read.layer].name,
                        .targets = read.inputs * read.known.unsqueeze(1),
                        .weights = torch::zeros({read.inputs.size(0)}, torch::kFloat64)};
    problem.features.weights.index_put_(
        {which}, features_weights(read.inputs.index_select(0, which), attack.features / problem.share));
    trials = descend_on(problem, observation.id, attack, first, count, device);
    for (auto& trial : trials) trial.method += "; " + how;
  }
  const auto* isolated = read.isolated.data_ptr<bool>();
  for (auto& trial : trials) {
    trial.labels = read.labels;
    trial.isolated.assign(isolated, isolated + read.isolated.numel());
  }
  return trials;
}

}  // namespace pellucid::inversion
