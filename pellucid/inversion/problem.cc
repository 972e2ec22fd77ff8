#include "pellucid/inversion/problem.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/inversion/analytic.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/terms.h"

#include <algorithm>
#include <cmath>

namespace pellucid::inversion {

using core::Error;
using core::ErrorKind;

// New running statistics are old ones that moved by the momentum to the batch's, in each of the client's steps.
nets::TensorMap known_statistics(const sharing::Observation& observation) {
  const auto& [network, update, unused_labels, unused_id, unused_rounds] = observation;
  const auto& local = update.protocol.local;
  const auto steps = std::max<std::int64_t>(sharing::steps(update.protocol), 1);
  nets::TensorMap statistics;
  for (const auto& layer : network.architecture.layers) {
    const auto* norm = std::get_if<nets::BatchNorm>(&layer.op);
    if (norm == nullptr) continue;
    const double stays = std::pow(1 - norm->momentum, local.hidden ? 1 : static_cast<double>(steps));
    for (const char* part : {".running_mean", ".running_var"}) {
      const Tensor before = network.state.at(layer.name + part).to(torch::kFloat64);
      const auto after = update.statistics.find(layer.name + part);
      statistics[layer.name + part] = after == update.statistics.end()
                                          ? before
                                          : (after->second.to(torch::kFloat64) - stays * before) / (1 - stays);
    }
  }
  return statistics;
}

namespace {

// Of n parameters, as Geiping's invertinggradients weighs them.
std::vector<double> weights_of(Layers layers, std::size_t n) {
  std::vector<double> weights(n, 1);
  for (std::size_t i = 0; i < n; ++i) {
    if (layers == Layers::kLinear) weights[i] = static_cast<double>(n - i) / static_cast<double>(n);
    if (layers == Layers::kExponential) weights[i] = std::exp(-static_cast<double>(i));
  }
  return weights;
}

}  // namespace

Tensor features_weights(const Tensor& targets, double weight) {
  const Tensor squares = targets.square().sum(1);
  return (weight / static_cast<double>(targets.size(0)) / squares).masked_fill(squares == 0, 0);
}

std::vector<Problem> rounds(const Problem& problem) {
  std::vector<Problem> all = {problem};
  all.front().further.clear();
  all.insert(all.end(), problem.further.begin(), problem.further.end());
  return all;
}

namespace {

Tensor unknown(const Tensor& low, const Tensor& high) { return low.isneginf().logical_and(high.isposinf()); }

// What is matched in place of the observed gradient. A parameter of which nothing is known is left out. The residual
// functional needs no size: the residual was made smaller with the gradient. The loss stands for it where a value
// of it may be of any size.
void apply_preimage(const sharing::Preimage& preimage, double norm, Problem& problem) {
  bool exact = true;
  const auto names = nets::parameter_names(problem.architecture);
  for (std::size_t i = 0; i < names.size(); ++i) {
    problem.low.push_back(preimage.low.at(names[i]) / norm);
    problem.high.push_back(preimage.high.at(names[i]) / norm);
    const Tensor free = unknown(problem.low[i], problem.high[i]), middle = (problem.low[i] + problem.high[i]) / 2;
    problem.observed[i] = torch::where(middle.isfinite(), middle, problem.observed[i]).masked_fill(free, 0);
    if (free.all().item<bool>()) {
      problem.weights[i] = 0;
    } else if (!torch::equal(problem.low[i], problem.high[i])) {
      exact = false;
    }
  }
  if (!(problem.high.back() - problem.low.back()).isfinite().all().item<bool>()) problem.functional = Functional::kLoss;
  problem.rounded = preimage.rounded && !exact;
  problem.any_size = preimage.any_size && problem.functional == Functional::kLoss;
  if (!exact) return;
  problem.low.clear();
  problem.high.clear();
}

// Of the observation's first round.
Problem problem_of_one(const sharing::Observation& observation, const Attack& attack,
                       const std::vector<std::int64_t>& labels) {
  const double norm = sharing::gradient_norm(observation.update);
  if (!std::isfinite(norm))
    throw Error(ErrorKind::kModel, "the observed gradient: got values that are not finite, nothing can be matched");
  if (norm == 0) throw Error(ErrorKind::kModel, "the observed gradient is zero everywhere: nothing can be matched");
  auto scaled = [&](const Tensor& tensor) { return tensor.to(torch::kFloat64) / norm; };
  const auto& architecture = observation.network.architecture;
  core::require_memory(
      labels.size() * static_cast<std::uint64_t>(architecture.spec.classes) * 2 * sizeof(double),
      fmt::format("the labels of a batch of {} with {} classes", labels.size(), architecture.spec.classes));
  Problem problem{
      .architecture = architecture,
      .state = observation.network.state,
      .protocol = observation.update.protocol,
      .functional = attack.functional,
      .objective = attack.objective,
      .observed = {},
      .weights = {},
      .low = {},
      .high = {},
      .scale = 1 / norm,
      .labels = torch::one_hot(torch::tensor(labels, torch::kInt64), architecture.spec.classes).to(torch::kFloat64),
      .residual = {}};
  for (const auto& name : nets::parameter_names(architecture))
    problem.observed.push_back(scaled(observation.update.gradient.at(name)));
  problem.weights = weights_of(attack.layers, problem.observed.size());
  const bool known = attack.mechanisms == Mechanisms::kKnown && problem.protocol.clients == 1;
  sharing::Preimage preimage;
  if (known) {
    preimage = sharing::preimage(problem.protocol.mechanisms, observation.update.gradient, architecture);
    apply_preimage(preimage, norm, problem);
  }
  if (problem.protocol.local.hidden) {
    throw Error(ErrorKind::kUsage,
                "the steps of local training are not known, nor their learning rate (hide_schedule); use surrogate");
  }
  if (problem.protocol.local.epochs > 0 && (attack.functional == Functional::kResidual || attack.features > 0))
    throw Error(ErrorKind::kUsage,
                "the residual and a layer's input are read off a gradient (got the change of the weights by {} steps); "
                "use unrolled or surrogate",
                sharing::steps(problem.protocol));
  problem.statistics = known_statistics(observation);
  if (problem.functional == Functional::kResidual) {
    if (problem.protocol.batch_size != 1) {
      throw Error(ErrorKind::kUsage, "the residual attack: got a batch of {}, expected one image; use ig",
                  problem.protocol.batch_size);
    }
    const Tensor residual = scaled(residual_at_logits(observation));
    problem.residual = (known ? problem.observed.back() : residual).unsqueeze(0);
  }
  if (attack.features > 0) {
    if (problem.protocol.batch_size != 1) {
      throw Error(
          ErrorKind::kUsage,
          "features: a linear layer's input can be read off a batch of one only (got {}); expected features = 0",
          problem.protocol.batch_size);
    }
    const auto& layers = architecture.layers;
    const auto linear = std::find_if(layers.begin(), layers.end(),
                                     [](const nets::Layer& l) { return std::holds_alternative<nets::Linear>(l.op); });
    if (linear == layers.end())
      throw Error(ErrorKind::kUsage, "features: {} has no linear layer; expected features = 0", architecture.spec.net);
    const Tensor bias = observation.update.gradient.at(linear->name + ".bias");
    if (preimage.sparse && !bias.any().item<bool>()) return problem;  // left out: there is nothing to read it off by
    const auto& mechanisms = problem.protocol.mechanisms;
    const auto [input, noise] = known && !mechanisms.empty()
                                    ? noisy_linear_input(observation.update, linear->name, preimage.sparse)
                                    : LinearInput{linear_input(observation.update, linear->name), 0};
    const Tensor targets = input.unsqueeze(0);
    problem.features = {.layer = linear->name,
                        .targets = targets,
                        .weights = features_weights(targets, attack.features) * std::max(0.0, 1 - noise)};
    if (preimage.sparse) {
      const Tensor shared = observation.update.gradient.at(linear->name + ".weight");
      problem.features.known = (shared != 0).any(0, true).to(torch::kFloat64);
    }
  }
  return problem;
}

// Sets the shares of the rounds, and the features' weights, which are within their round's share.
void share_out(const std::vector<sharing::Observation>& rounds, std::vector<Problem>& problems) {
  double norms = 0, read = 0;
  std::vector<double> derivatives, squares;  // |dL/d(output)|^2 of the layer whose input was read off, and |h*|^2
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    norms += std::pow(problems[i].scale, -2);
    const auto& [layer, targets, unused_weights, unused_known] = problems[i].features;
    if (layer.empty()) {
      derivatives.push_back(0);
      squares.push_back(0);
      continue;
    }
    const Tensor derivative = rounds[i].update.gradient.at(layer + ".bias").to(torch::kFloat64);
    derivatives.push_back(derivative.square().sum().item<double>());
    squares.push_back(targets.square().sum().item<double>());
    read += derivatives.back() * squares.back();
  }
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    problems[i].share = std::pow(problems[i].scale, -2) / norms;
    if (!problems[i].features.layer.empty() && read > 0)
      problems[i].features.weights.mul_(squares[i] * derivatives[i] / read / problems[i].share);
  }
}

Problem problem_of_all(const sharing::Observation& observation, const Attack& attack,
                       const std::vector<std::int64_t>& labels) {
  const auto each = sharing::rounds(observation);
  std::vector<Problem> all;
  for (std::size_t i = 0; i < each.size(); ++i) {
    try {
      all.push_back(problem_of_one(each[i], attack, labels));
    } catch (Error& error) {
      throw error.add_context(fmt::format("round {}", i + 1));
    }
  }
  share_out(each, all);
  Problem problem = std::move(all.front());
  problem.further.assign(std::make_move_iterator(all.begin() + 1), std::make_move_iterator(all.end()));
  return problem;
}

}  // namespace

Problem make_problem(const sharing::Observation& observation, const Attack& attack,
                     const std::vector<std::int64_t>& labels) {
  Problem problem = observation.further.empty() ? problem_of_one(observation, attack, labels)
                                                : problem_of_all(observation, attack, labels);
  problem.autoencoder = autoencoder_of(attack, problem.architecture.spec);
  return problem;
}

Problem whole_problem(const sharing::Observation& observation, const Attack& attack,
                      const std::vector<std::int64_t>& labels) {
  Attack whole = attack;
  whole.features = 0;
  whole.functional = Functional::kLoss;
  return make_problem(observation, whole, labels);
}

Problem on(Problem problem, const torch::Device& device) {
  const auto move = [&](Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(device);
  };
  for (auto& [name, tensor] : problem.state) move(tensor);
  for (auto& [name, tensor] : problem.statistics) move(tensor);
  for (auto* tensors : {&problem.observed, &problem.low, &problem.high}) {
    for (auto& tensor : *tensors) move(tensor);
  }
  if (problem.autoencoder) problem.autoencoder = nets::on(*std::move(problem.autoencoder), device);
  for (auto* tensor : {&problem.labels, &problem.residual, &problem.features.targets, &problem.features.weights,
                       &problem.features.known})
    move(*tensor);
  for (auto& round : problem.further) round = on(std::move(round), device);
  return problem;
}

}  // namespace pellucid::inversion
