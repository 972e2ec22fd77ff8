#include "pellucid/training/gradient.h"

#include "pellucid/core/error.h"
#include "pellucid/core/tensor.h"
#include "pellucid/nets/autoencoder.h"
#include "pellucid/training/losses.h"
#include "pellucid/training/per_example.h"

#include <algorithm>

namespace pellucid::training {
namespace {

constexpr double kNear = 1e-3;  // deviation of the start noise of TRADES and MART

const char* const kNormParts[] = {".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked"};

// The network as the passes of a step use it: laid out for batches, in the precision asked for.
nets::Network laid_out(const nets::Network& network, const TrainingOptions& options) {
  return {.architecture = network.architecture,
          .state = nets::for_batches(network.architecture, network.state, options.precision == Precision::kMixed)};
}

// The loss of a batch at some weights.
struct Loss {
  Tensor mean;  // this process's share of it
  std::int64_t correct = 0;
  nets::TensorMap running, clean_running;
};

// Images of one kind in a batch: the rows here, and which part of the batch's images of this kind they are.
struct Rows {
  Tensor here;  // (B) bool
  nets::Part part;
  std::int64_t whole;
};
Rows rows(const Tensor& in_batch, const Batch& batch) {
  const auto begin = batch.part.begin, end = begin + batch.images.size(0);
  const auto count = [&](std::int64_t from, std::int64_t to) {
    return in_batch.slice(0, from, to).sum().item<std::int64_t>();
  };
  const auto whole = count(0, in_batch.size(0));
  return {.here = in_batch.slice(0, begin, end),
          .part = {.begin = count(0, begin), .batch = batch.part.batch > 0 ? whole : 0, .sum = batch.part.sum},
          .whole = whole};
}

// The attacked ones of the images here, (B) bool.
Tensor attacked_here(const Batch& batch, const TrainingOptions& options) {
  if (is_private(options)) return attacked_privately(batch.ids, options);
  return rows(attacked(batch.size(), options.adversarial_share), batch).here;
}

// Computes the loss of a batch, of private training the sum over its examples: one function for each method.
struct Losses {
  const nets::Architecture& architecture;
  const nets::TensorMap& state;
  const nets::TensorMap& clean_norms;
  const Batch& batch;
  const Tensor& points;
  const TrainingOptions& options;
  Loss loss = {};
  std::vector<std::vector<nets::Passed>> passes = {};  // of private training

  Tensor forward(const nets::TensorMap& weights, const Tensor& images, const char* dropout, const nets::Part& part,
                 nets::TensorMap& running) {
    const core::Stream stream(options.seed, dropout, batch.step);
    auto output = nets::evaluate(architecture, weights, images, nets::Mode::kTraining, stream, part,
                                 is_private(options) ? &passes.emplace_back() : nullptr);
    for (auto& [name, tensor] : output.running) running[name] = tensor.detach();
    return output.logits.to(torch::kFloat32);
  }
  void add(const Tensor& per_image, const Tensor& logits, const Tensor& labels, double share) {
    const Tensor mean = per_image.sum() * share;
    loss.mean = loss.mean.defined() ? loss.mean + mean : mean;
    loss.correct += (logits.argmax(1) == labels).sum().item<std::int64_t>();
  }

  void private_cross_entropy() {
    const Tensor logits = forward(state, points, "dropout", batch.part, loss.running);
    Tensor losses = at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::None);
    if (options.method == Method::kAdversarial)
      losses =
          torch::where(attacked_here(batch, options).to(losses.device()), losses * options.adversarial_weight, losses);
    add(losses, logits, batch.labels, 1);
  }
  void cross_entropy() {
    if (is_private(options)) return private_cross_entropy();
    const Tensor in_batch = attacked(batch.size(), attacks(options.method) ? options.adversarial_share : 0);
    const Rows moved = rows(in_batch, batch), still = rows(in_batch.logical_not(), batch);
    const double total =
        options.adversarial_weight * static_cast<double>(moved.whole) + static_cast<double>(still.whole);
    auto losses = [&](const Tensor& logits, const Tensor& labels) {
      return at::cross_entropy_loss(logits, labels, {}, at::Reduction::None);
    };
    if (clean_norms.empty()) {
      const Tensor logits = forward(state, points, "dropout", batch.part, loss.running);
      const Tensor weights = torch::where(moved.here, options.adversarial_weight, 1.0).to(logits.options());
      add(losses(logits, batch.labels) * weights, logits, batch.labels, 1 / total);
      return;
    }
    auto half = [&](const Rows& kind, const nets::TensorMap& weights, const char* dropout, double weight,
                    nets::TensorMap& running) {
      if (kind.whole == 0) return;  // a small last batch: batch norm has no statistics of nothing
      const Tensor labels = batch.labels.index({kind.here});
      const Tensor logits = forward(weights, points.index({kind.here}), dropout, kind.part, running);
      add(losses(logits, labels), logits, labels, weight / total);
    };
    nets::TensorMap clean = state;
    for (const auto& [name, tensor] : clean_norms) clean[name] = tensor;
    half(moved, state, "dropout", options.adversarial_weight, loss.running);
    half(still, clean, "dropout clean", 1, loss.clean_running);
  }
  void two_passes(Tensor (*per_image)(const Tensor&, const Tensor&, const Tensor&, double)) {
    const Tensor clean = forward(state, batch.images, "dropout clean", batch.part, loss.running);
    nets::TensorMap after = state;
    for (const auto& [name, tensor] : loss.running) after[name] = tensor;
    const Tensor moved = forward(after, points, "dropout", batch.part, loss.running);
    add(per_image(clean, moved, batch.labels, options.beta), moved, batch.labels,
        is_private(options) ? 1 : 1 / static_cast<double>(batch.size()));
  }
  void reconstruction() {
    const Tensor outputs = forward(state, batch.images, "dropout", batch.part, loss.running);
    const double share = is_private(options) ? 1 : 1 / static_cast<double>(batch.size());
    loss.mean = nets::reconstruction_errors(outputs, batch.images).sum() * share;
  }
  Loss operator()() {
    switch (options.method) {
      case Method::kStandard:
      case Method::kAdversarial:
      case Method::kFree: cross_entropy(); break;
      case Method::kTrades: two_passes(trades); break;
      case Method::kMart: two_passes(mart); break;
      case Method::kAutoencoder: reconstruction(); break;
    }
    return std::move(loss);
  }
};

// v of adversarial weight perturbation.
std::vector<Tensor> weight_perturbation(const std::vector<Tensor>& weights, const std::vector<Tensor>& gradients,
                                        double size) {
  constexpr double kTiny = 1e-20;
  std::vector<Tensor> moved;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Tensor& weight = weights[i];
    if (weight.dim() <= 1) {
      moved.push_back(weight);
    } else {
      moved.push_back(weight + gradients[i] * (size * weight.norm() / (gradients[i].norm() + kTiny)));
    }
  }
  return moved;
}

// The images of a batch's part from place i on, so many.
Batch part_of(const Batch& batch, std::int64_t i, std::int64_t n) {
  Batch part = batch;
  part.images = batch.images.narrow(0, i, n);
  part.labels = batch.labels.narrow(0, i, n);
  part.ids = batch.ids.narrow(0, i, n);
  part.part = {.begin = batch.part.begin + i, .batch = batch.size(), .sum = {}};
  return part;
}

Gradient private_gradient(const Model& model, const Batch& batch, const Tensor& points, const TrainingOptions& options,
                          const core::Processes& processes) {
  constexpr std::int64_t kAtOnce = 256;  // examples: what a pass keeps of each is large
  const nets::Network passed = laid_out(model.network, options);
  const Parameters trained = parameters(model);
  std::vector<Tensor> sums;
  for (const auto& tensor : trained.tensors) sums.push_back(torch::zeros_like(tensor));
  double loss = 0;
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < batch.images.size(0); i += kAtOnce) {
    Batch part = part_of(batch, i, std::min(kAtOnce, batch.images.size(0) - i));
    part.images = part.images.detach().requires_grad_(true);  // so that there is a graph: the weights ask for nothing
    const Tensor at = points.narrow(0, i, part.images.size(0)).detach().requires_grad_(true);
    Losses losses{passed.architecture, passed.state, model.clean_norms, part, at, options};
    const Loss of_part = losses();
    const ClippedSum clipped = clipped_sum(passed.architecture, losses.passes, of_part.mean, options.clip_norm);
    for (std::size_t t = 0; t < sums.size(); ++t) sums[t] += clipped.parameters[t];
    loss += of_part.mean.item<double>();
    correct += of_part.correct;
  }
  Gradient result{.parameters = processes.sum(std::move(sums)), .images = {}, .running = {}, .clean_running = {}};
  const double deviation = options.noise_multiplier * options.clip_norm;
  for (std::size_t t = 0; t < result.parameters.size(); ++t) {
    Tensor& tensor = result.parameters[t];
    if (deviation > 0) {
      const core::Stream stream(options.seed, "private noise " + trained.names[t], batch.step);
      tensor = tensor + (deviation * core::normal(stream, tensor.sizes())).to(tensor.options());
    }
    tensor = tensor / static_cast<double>(options.batch_size);
  }
  const Tensor counts = processes.sum(torch::tensor({loss, static_cast<double>(correct)}, torch::kFloat64));
  result.loss = counts[0].item<double>() / static_cast<double>(std::max<std::int64_t>(batch.size(), 1));
  result.correct = static_cast<std::int64_t>(counts[1].item<double>());
  return result;
}

}  // namespace

Model initial_model(const nets::Architecture& architecture, const TrainingOptions& options) {
  Model model{.network = {.architecture = architecture, .state = nets::initialise(architecture, options.seed)}};
  if (!options.dual_norm) return model;
  for (const auto& layer : architecture.layers) {
    if (!std::holds_alternative<nets::BatchNorm>(layer.op)) continue;
    for (const char* part : kNormParts)
      model.clean_norms[layer.name + part] = model.network.state.at(layer.name + part).clone();
  }
  if (model.clean_norms.empty()) {
    throw core::Error(core::ErrorKind::kUsage, "dual_norm: {} has no batch norm", architecture.spec.net);
  }
  return model;
}

nets::Network clean_network(const Model& model) {
  nets::Network network = model.network;
  for (const auto& [name, tensor] : model.clean_norms) network.state[name] = tensor;
  return network;
}

Parameters parameters(const Model& model) {
  Parameters list{.names = nets::parameter_names(model.network.architecture), .tensors = {}};
  for (const auto& name : list.names) list.tensors.push_back(model.network.state.at(name));
  for (const auto& [name, tensor] : model.clean_norms) {
    if (!name.ends_with(".weight") && !name.ends_with(".bias")) continue;
    list.names.push_back("clean/" + name);
    list.tensors.push_back(tensor);
  }
  return list;
}

Tensor attacked(std::int64_t n, double share) {
  const Tensor reached = torch::floor(torch::arange(n + 1, torch::kFloat64) * share + 1e-9);
  return reached.slice(0, 1).gt(reached.slice(0, 0, n));
}

Tensor attacked_privately(const Tensor& ids, const TrainingOptions& options) {
  std::vector<std::uint8_t> chosen;
  for (std::int64_t i = 0; i < ids.size(0); ++i) {
    core::Stream stream(options.seed, "private attacked", ids[i].item<std::int64_t>());
    chosen.push_back(stream.uniform() < options.adversarial_share ? 1 : 0);
  }
  return torch::tensor(chosen, torch::kUInt8).to(torch::kBool);
}

Tensor inner_attack(const nets::Network& network, const Batch& batch, const TrainingOptions& options) {
  if (!attacks(options.method)) return batch.images;
  const Tensor here = attacked_here(batch, options);
  const bool all = here.all().item<bool>();
  if (!here.any().item<bool>()) return batch.images;
  const Tensor images = all ? batch.images : batch.images.index({here});
  const Tensor labels = all ? batch.labels : batch.labels.index({here});
  const Tensor ids = all ? batch.ids : batch.ids.index({here});

  evasion::PgdOptions attack = options.attack;
  const double growth = options.epsilon_warmup > 0 ? std::min(1.0, batch.epoch / options.epsilon_warmup) : 1;
  attack.epsilon.value *= growth;
  if (attack.step) attack.step->value *= growth;
  Tensor noise;
  const auto shape = images.sizes().slice(1);
  if (attack.random_start && options.attack_start == AttackStart::kBall) {
    noise = evasion::start_noise(options.seed, "training start", ids, shape);
  } else if (attack.random_start) {
    noise = evasion::normal_noise(options.seed, "training start", ids, shape) *
            (attack.epsilon.value > 0 ? kNear / attack.epsilon.value : 0);
  }
  if (noise.defined()) noise = noise.to(images.options());

  const evasion::Model model = evasion::model_of(laid_out(network, options), options.attack_mode);
  evasion::Objective objective = evasion::cross_entropy(labels);
  if (options.method == Method::kTrades) {
    const torch::NoGradGuard no_gradient;
    objective = [clean = model(images)](const Tensor& logits) { return divergence(clean, logits); };
  }
  const Tensor points = evasion::pgd(model, images, objective, attack, noise);
  return all ? points : batch.images.index_put({here}, points);
}

Gradient gradient(const Model& model, const Batch& batch, const Tensor& points, const TrainingOptions& options,
                  const core::Processes& processes) {
  if (is_private(options)) return private_gradient(model, batch, points, options, processes);
  const Parameters trained = parameters(model);
  const Tensor leaf_points = options.method == Method::kFree ? points.detach().requires_grad_(true) : points;
  Loss loss;
  auto at = [&](const std::vector<Tensor>& values) {
    nets::Network network = model.network;
    nets::TensorMap clean_norms = model.clean_norms;
    std::vector<Tensor> leaves;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto& name = trained.names[i];
      Tensor leaf = values[i].detach().requires_grad_(true);
      (name.starts_with("clean/") ? clean_norms.at(name.substr(6)) : network.state.at(name)) = leaf;
      leaves.push_back(leaf);
    }
    if (options.method == Method::kFree) leaves.push_back(leaf_points);
    const nets::Network passed = laid_out(network, options);
    loss = Losses{passed.architecture, passed.state, clean_norms, batch, leaf_points, options}();
    auto gradients = torch::autograd::grad({loss.mean}, leaves, {}, /*retain_graph=*/false, /*create_graph=*/false,
                                           /*allow_unused=*/true);
    for (std::size_t i = 0; i < gradients.size(); ++i) {  // batch norms whose images the batch lacks
      if (!gradients[i].defined()) gradients[i] = torch::zeros_like(leaves[i]);
    }
    return processes.sum(std::move(gradients));
  };
  auto gradients = at(trained.tensors);
  if (options.awp > 0 && batch.epoch >= options.awp_warmup)
    gradients = at(weight_perturbation(trained.tensors, gradients, options.awp));

  Gradient result;
  result.parameters = std::move(gradients);
  if (options.method == Method::kFree) {
    result.images = result.parameters.back();
    result.parameters.pop_back();
  }
  const Tensor sums =
      processes.sum(torch::tensor({loss.mean.item<double>(), static_cast<double>(loss.correct)}, torch::kFloat64));
  result.loss = sums[0].item<double>();
  result.correct = static_cast<std::int64_t>(sums[1].item<double>());
  result.running = std::move(loss.running);
  result.clean_running = std::move(loss.clean_running);
  return result;
}

}  // namespace pellucid::training
