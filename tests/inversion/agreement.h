// An engine and double backward in float64 at the same trials, for the tests of the engine.
#pragma once

#include "pellucid/core/tensor.h"
#include "pellucid/inversion/engine/engine.h"
#include "pellucid/inversion/engine/tensor_engine.h"
#include "pellucid/nets/zoo.h"

#include "tests/inversion/observed.h"

namespace pellucid::inversion::agreement {

inline std::vector<std::int64_t> batch_shape(const nets::Spec& spec, std::int64_t count) {
  return {count, spec.input[0], spec.input[1], spec.input[2]};
}

// Layers one after the other, with names of their own.
inline nets::Architecture layers(std::vector<std::int64_t> input, std::vector<nets::Op> ops) {
  nets::Architecture architecture{.spec = {.net = "test", .input = std::move(input), .classes = 5}, .layers = {}};
  for (auto& op : ops) {
    const int index = static_cast<int>(architecture.layers.size());
    architecture.layers.push_back({std::move(op), fmt::format("layer{}", index), {index - 1}});
  }
  return architecture;
}

// Sums, branches and two last layers: values that several layers take.
inline nets::Architecture sums_of_what_is_taken_twice() {
  nets::Architecture net =
      layers({1, 6, 6}, {nets::Conv{1, 4, 3, 1, 1}, nets::BatchNorm{4}, nets::Relu{}, nets::Conv{4, 4, 3, 1, 1}});
  net.layers.push_back({nets::Add{}, "", {3, 2}});  // takes the ReLU a second time
  net.layers.push_back({nets::Add{}, "", {4, 0}});  // and the first convolution too
  net.layers.push_back({nets::Conv{4, 3, 1, 2, 0, false}, "short", {5}});
  net.layers.push_back({nets::Conv{4, 3, 3, 2, 1}, "long", {5}});
  net.layers.push_back({nets::Add{}, "", {6, 7}});
  net.layers.push_back({nets::Flatten{}, "", {8}});
  net.layers.push_back({nets::Linear{27, 5}, "one", {9}});
  net.layers.push_back({nets::Linear{27, 5}, "two", {9}});
  net.layers.push_back({nets::Add{}, "", {10, 11}});
  return net;
}

// A layer between convolutions, on images of 3 x 8 x 8 and 6 channels.
inline nets::Architecture among_others(const nets::Op& op) {
  nets::Architecture architecture =
      layers({3, 8, 8}, {nets::Normalise{{.4, .5, .6}, {.2, .3, .25}}, nets::Conv{3, 6, 3, 1, 1}, op, nets::Tanh{},
                         nets::Conv{6, 6, 2, 1, 1}, nets::Sigmoid{}, nets::Flatten{}});
  const auto shape = nets::output_shapes(architecture).back();
  architecture.layers.push_back({nets::Linear{shape[0], 5}, "last", {6}});
  return architecture;
}

// A network whose every tensor is far from 0 and 1, running statistics too.
inline nets::Network network(const nets::Architecture& architecture, std::uint64_t seed) {
  nets::Network net{.architecture = architecture, .state = nets::initialise(architecture, seed)};
  for (const auto& entry : nets::entries(architecture)) {
    const core::Stream stream(seed, "test " + entry.name);
    Tensor& value = net.state[entry.name];
    const bool norm = entry.shape.size() == 1;
    if (entry.kind == nets::Entry::Kind::kStatistic)
      value = core::uniform(stream, entry.shape, 0.5, 1.5) - (entry.name.ends_with("mean") ? 1 : 0);
    if (entry.kind == nets::Entry::Kind::kParameter && norm)
      value = value + core::uniform(stream, entry.shape, -0.2, 0.3);
    // The layers that are born as zero would hide everything before them.
    if (entry.kind == nets::Entry::Kind::kParameter && !norm && value.abs().max().item<float>() == 0)
      value = core::normal(stream, entry.shape) * 0.1;
  }
  return net;
}

struct Case {
  nets::Network net;
  std::int64_t batch = 1, trials = 1;
  Functional functional = Functional::kLoss;
  Objective objective = Objective::kCosine;
  nets::Mode mode = nets::Mode::kEvaluation;
  std::vector<double> weights = {};
  double features = 0;
  std::vector<double> known = {};  // for each image of the batch the weight of its features, which are made up here
};

struct Agreement {
  double loss;         // error over 1 + the loss: the terms of both distances are of size 1
  double gradient;     // relative error
  double reference;    // that of double backward in float32
  double cosine;       // of the two gradients; all are the worst trial's
  double distance;     // the matching loss, the smallest trial's
  std::int64_t flips;  // trials in which a ReLU or a maximum differs between float32 and float64: not compared

  // 1e-5; where the gradients differ little, v is a small difference of theirs, and no float32 has so many digits left.
  [[nodiscard]] double tolerance(double factor = 3) const { return std::max(1e-5, factor * reference); }
};

inline Problem problem_of(const Case& c) {
  const auto& spec = c.net.architecture.spec;
  const Tensor truth = core::uniform(core::Stream(1, "truth"), batch_shape(spec, c.batch));
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < c.batch; ++i) labels.push_back((3 * i + 1) % spec.classes);
  sharing::Observation observation{
      .network = c.net,
      .update = sharing::compute_update(c.net, truth, torch::tensor(labels), {.mode = c.mode}),
      .labels = labels};
  Attack options;
  options.functional = c.functional;
  options.objective = c.objective;
  options.features = c.features;
  Problem problem = make_problem(observation, options, labels);
  if (!c.weights.empty()) {
    for (std::size_t i = 0; i < problem.weights.size(); ++i) problem.weights[i] = c.weights[i % c.weights.size()];
  }
  if (!c.known.empty()) {
    const auto& all = c.net.architecture.layers;
    const auto linear = std::find_if(all.begin(), all.end(), [](const nets::Layer& layer) {
      return std::holds_alternative<nets::Linear>(layer.op);
    });
    const auto count = static_cast<std::int64_t>(c.known.size());
    problem.features = {
        .layer = linear->name,
        .targets = core::uniform(core::Stream(3, "features"), {count, std::get<nets::Linear>(linear->op).in})
                       .to(torch::kFloat64),
        .weights = torch::tensor(c.known, torch::kFloat64)};
  }
  return problem;
}

inline Tensor trial_images(const Case& c) {
  return core::uniform(core::Stream(2, "trial"), batch_shape(c.net.architecture.spec, c.trials * c.batch));
}

// Whether any ReLU or maximum of the engine's last forward sweep is on another side than in float64, for one trial's
// images.
template <typename AnyEngine>
bool flips(const AnyEngine& engine, const Case& c, const Tensor& images, std::int64_t trial) {
  const nets::TensorMap state = nets::converted(c.net.state, torch::kFloat64);
  const auto& layers = c.net.architecture.layers;
  nets::Architecture part = c.net.architecture;
  const auto exact = [&](std::size_t layer) {
    part.layers.assign(layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(layer) + 1);
    return nets::evaluate(part, state, images.to(torch::kFloat64), c.mode).logits.detach();
  };
  const auto rounded = [&](std::size_t layer, const Tensor& like) {
    return engine.output(layer).narrow(0, trial * c.batch, c.batch).reshape(like.sizes());
  };
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const bool kink =
        std::holds_alternative<nets::Relu>(layers[i].op) || std::holds_alternative<nets::LeakyRelu>(layers[i].op);
    if (kink) {
      const Tensor expected = exact(i);
      if (!torch::equal(rounded(i, expected) > 0, expected > 0)) return true;
    }
    if (const auto* pool = std::get_if<nets::MaxPool>(&layers[i].op);
        pool != nullptr && layers[i].inputs.front() != nets::kNetworkInput) {
      const auto before = static_cast<std::size_t>(layers[i].inputs.front());
      const auto chosen = [&](const Tensor& x) { return std::get<1>(torch::max_pool2d_with_indices(x, pool->size)); };
      const Tensor expected = exact(before);
      if (!torch::equal(chosen(rounded(before, expected).to(torch::kFloat64)), chosen(expected))) return true;
    }
  }
  return false;
}

// @param device of the tensor engine alone.
template <typename AnyEngine = Engine, typename... Device>
Agreement compare(const Case& c, Precision precision = Precision::kFloat32, const Device&... device) {
  const Problem problem = problem_of(c);
  const Tensor images = trial_images(c);
  AnyEngine engine(problem, c.trials, precision, device...);
  std::vector<double> losses(c.trials);
  const Tensor gradients =
      engine.evaluate(precision == Precision::kFloat64 ? images.to(torch::kFloat64) : images, losses);
  const DoubleBackward reference(problem, Precision::kFloat64);
  Agreement worst{.loss = 0, .gradient = 0, .reference = 0, .cosine = 1, .distance = INFINITY, .flips = 0};
  for (std::int64_t t = 0; t < c.trials; ++t) {
    const Tensor trial = images.slice(0, t * c.batch, (t + 1) * c.batch);
    const Matched expected = reference(trial.to(torch::kFloat64));
    const Tensor got = gradients.slice(0, t * c.batch, (t + 1) * c.batch).to(torch::kFloat64);
    const double loss = std::abs(losses[t] - expected.matching_loss) / (1 + expected.matching_loss);
    const double gradient = ((got - expected.gradient).norm() / expected.gradient.norm()).item<double>();
    worst.distance = std::min(worst.distance, expected.matching_loss);
    worst.cosine = std::min(worst.cosine,
                            ((got * expected.gradient).sum() / (got.norm() * expected.gradient.norm())).item<double>());
    if (flips(engine, c, trial, t)) {
      ++worst.flips;
      continue;
    }
    const Matched rounded = DoubleBackward(problem, Precision::kFloat32)(trial);
    const double reference_error =
        ((rounded.gradient.to(torch::kFloat64) - expected.gradient).norm() / expected.gradient.norm()).item<double>();
    worst.reference = std::max(worst.reference, reference_error);
    worst.loss = std::max(worst.loss, loss);
    worst.gradient = std::max(worst.gradient, gradient);
  }
  return worst;
}

}  // namespace pellucid::inversion::agreement
