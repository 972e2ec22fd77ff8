#include "pellucid/training/train.h"

#include "pellucid/core/error.h"
#include "pellucid/core/stop.h"
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/training/augment.h"

#include <algorithm>
#include <cmath>

namespace pellucid::training {
namespace {

namespace fs = std::filesystem;

struct StepResult {
  double loss_sum;
  std::int64_t correct;
};

// The images that the network is trained on: the augmented ones, or adversarial examples near them.
Tensor training_images(const nets::Network& network, const Tensor& images, const Tensor& labels, const Tensor& ids,
                       const TrainingOptions& options, double epoch) {
  const Tensor augmented = augment(images, ids, options);
  if (options.method == Method::kStandard) return augmented;
  evasion::PgdOptions attack = options.attack;
  const double growth = options.epsilon_warmup > 0 ? std::min(1.0, epoch / options.epsilon_warmup) : 1;
  attack.epsilon.value *= growth;
  attack.step.value *= growth;
  const Tensor noise = evasion::start_noise(options.seed, "training start", ids, images.sizes().slice(1));
  return evasion::pgd(network, augmented, labels, attack, noise, options.attack_mode);
}

// One step of the optimiser on one batch.
StepResult train_step(TrainingState& state, const Tensor& images, const Tensor& labels, const TrainingOptions& options, double epoch) {
  nets::TensorMap with_gradients = state.network.state;
  std::vector<Tensor> parameters;
  for (const auto& name : nets::parameter_names(state.network.architecture)) {
    Tensor& parameter = with_gradients.at(name);
    parameter = parameter.detach().requires_grad_(true);  // shares its values with the state: the step moves both
    parameters.push_back(parameter);
  }
  const core::Stream dropout(options.seed, "dropout", state.optimiser.steps);
  nets::Output output = nets::evaluate(state.network.architecture, with_gradients, images, nets::Mode::kTraining, dropout);
  const Tensor loss = at::cross_entropy_loss(output.logits, labels);
  const double value = loss.item<double>();
  if (!std::isfinite(value)) {
    throw core::Error(core::ErrorKind::kUsage, "training: the loss is {} after {:.2f} epochs; lower learning_rate (now {})", value, epoch,
                      options.learning_rate);
  }
  step(options, learning_rate(options, epoch), parameters, torch::autograd::grad({loss}, parameters), state.optimiser);
  for (auto& [name, tensor] : output.running) state.network.state[name] = tensor.detach();
  return {.loss_sum = value * static_cast<double>(labels.size(0)),
          .correct = (output.logits.argmax(1) == labels).sum().item<std::int64_t>()};
}

EpochRecord measure(const TrainingState& state, const data::Dataset& train_set, const data::Dataset& test_set,
                    const TrainingOptions& options, const core::Run& run) {
  const auto n = static_cast<double>(train_set.size());
  EpochRecord record{.epoch = state.epoch + 1,
                     .train_loss = state.loss_sum / n,
                     .train_accuracy = static_cast<double>(state.correct) / n,
                     .natural = evasion::natural_accuracy(state.network, test_set, run),
                     .robust = {}};
  if (options.test_attack_images > 0) {
    record.robust =
        evasion::robust_accuracy(state.network, data::first(test_set, options.test_attack_images), options.test_attack, options.seed, run);
  }
  return record;
}

// The files that a training leaves in its folder.
struct Folder {
  fs::path path;
  core::Json identity;
  std::string description;

  [[nodiscard]] fs::path resume() const { return path / "checkpoints" / "resume.safetensors"; }
  void save_resume(const TrainingState& state) const { save_state(state, identity, resume()); }
  void save_weights(const TrainingState& state, const std::string& name) const {
    nets::save_network(state.network, path / name, {{"training", identity.dump()}, {"description", description}});
  }
  void save_stage(const TrainingState& state, const TrainingOptions& options) const {
    const auto& stages = options.checkpoint_steps;
    if (std::find(stages.begin(), stages.end(), state.optimiser.steps) == stages.end()) return;
    save_weights(state, fmt::format("checkpoints/step-{:06}.safetensors", state.optimiser.steps));
  }
};

// Goes on with the state's epoch to its end, measures, and saves. The state is whole whenever this throws kStopped.
void train_epoch(TrainingState& state, const data::Dataset& train_set, const data::Dataset& test_set, const TrainingOptions& options,
                 const Folder& folder, const core::Run& run) {
  const std::int64_t images = train_set.size();
  const std::int64_t batches = (images + options.batch_size - 1) / options.batch_size;
  const Tensor order = torch::tensor(core::permutation(core::Stream(options.seed, "order", state.epoch), images), torch::kInt64);
  while (state.batch < batches) {
    core::throw_if_stopped();
    const auto begin = state.batch * options.batch_size;
    const Tensor indices = order.slice(0, begin, std::min(begin + options.batch_size, images));
    const Tensor ids = indices + state.epoch * images;
    const Tensor labels = data::labels(train_set, indices);
    const double epoch = static_cast<double>(state.epoch) + static_cast<double>(state.batch) / static_cast<double>(batches);
    const Tensor batch = training_images(state.network, data::pixels(train_set, indices), labels, ids, options, epoch);
    const StepResult result = train_step(state, batch, labels, options, epoch);
    state.loss_sum += result.loss_sum;
    state.correct += result.correct;
    ++state.batch;
    folder.save_stage(state, options);
    run.report({.task = "train",
                .done = state.epoch * batches + state.batch,
                .total = options.epochs * batches,
                .unit = "batches",
                .note = fmt::format("epoch {}/{}, loss {:.4f}", state.epoch + 1, options.epochs,
                                    result.loss_sum / static_cast<double>(labels.size(0)))});
  }
  state.curve.push_back(measure(state, train_set, test_set, options, run));
  ++state.epoch;
  state.batch = 0;
  state.loss_sum = 0;
  state.correct = 0;
  folder.save_weights(state, fmt::format("checkpoints/epoch-{:03}.safetensors", state.epoch));
  folder.save_resume(state);
}

}  // namespace

Trained train(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& test_set, const TrainingOptions& options,
              const fs::path& folder_path, const core::Run& run) {
  const nets::Architecture architecture = nets::build(spec);
  const Folder folder{.path = folder_path,
                      .identity = {{"spec", nets::to_json(spec)},
                                   {"options", to_json(options)},
                                   {"data", {{"name", train_set.name}, {"train", train_set.size()}, {"test", test_set.size()}}}},
                      .description = describe(options)};
  auto resumed = load_state(architecture, folder.identity, folder.resume());
  TrainingState state = resumed ? std::move(*resumed)
                                : TrainingState{.network = {architecture, nets::initialise(architecture, options.seed)}, .optimiser = {}, .curve = {}};
  if (!resumed) folder.save_stage(state, options);

  try {
    while (state.epoch < options.epochs) train_epoch(state, train_set, test_set, options, folder, run);
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::kStopped) folder.save_resume(state);
    throw;
  }
  folder.save_weights(state, "model.safetensors");
  return {.network = std::move(state.network), .curve = std::move(state.curve)};
}

}  // namespace pellucid::training
