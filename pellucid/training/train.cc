#include "pellucid/training/train.h"

#include "pellucid/core/error.h"
#include "pellucid/core/events.h"
#include "pellucid/core/stop.h"
#include "pellucid/data/image_file.h"
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/training/augment.h"
#include "pellucid/training/gradient.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace pellucid::training {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLoggedBatches = 10;  // every how many batches TensorBoard gets a point

// The batch at which the state stands, or this process's part of it.
Batch next_batch(const TrainingState& state, const data::Dataset& train_set, const Tensor& order, double epoch, const TrainingOptions& options,
                 const core::Processes& processes) {
  const std::int64_t images = train_set.size(), begin = state.batch * options.batch_size;
  const std::int64_t size = std::min(options.batch_size, images - begin);
  const auto mine = processes.share(size);
  const Tensor indices = order.slice(0, begin + mine.begin, begin + mine.end), ids = indices + state.epoch * images;
  const auto device = nets::device_of(state.model.network);
  Batch batch{.images = augment(data::pixels(train_set, indices), ids, options).to(device),
              .labels = data::labels(train_set, indices).to(device),
              .ids = ids,
              .part = {},
              .epoch = epoch,
              .step = state.optimiser.steps};
  if (processes.count() > 1) {
    batch.part = {.begin = mine.begin, .batch = size, .sum = [&processes](const Tensor& tensor) { return processes.differentiable_sum(tensor); }};
  }
  return batch;
}

// Moves the model along the gradient, and batch norm's statistics to where the batch left them.
void follow(TrainingState& state, Gradient& gradient, const TrainingOptions& options, double epoch) {
  if (!std::isfinite(gradient.loss)) {
    throw core::Error(core::ErrorKind::kUsage, "training: the loss is {} after {:.2f} epochs; lower learning_rate (now {})", gradient.loss, epoch,
                      options.learning_rate);
  }
  step(options, learning_rate(options, epoch), parameters(state.model).tensors, gradient.parameters, state.optimiser);
  for (auto& [name, tensor] : gradient.running) state.model.network.state[name] = tensor;
  for (auto& [name, tensor] : gradient.clean_running) state.model.clean_norms[name] = tensor;
}

// Trains on a batch: one step, or with `kFree` as many as there are replays.
// @return the batch's loss, the mean over its replays.
double train_on(TrainingState& state, Batch batch, const TrainingOptions& options, const core::Processes& processes,
                const std::function<void()>& after_step) {
  const auto count = static_cast<double>(batch.size());
  if (options.method != Method::kFree) {
    const Tensor points = inner_attack(state.model.network, batch, options);
    Gradient found = gradient(state.model, batch, points, options, processes);
    follow(state, found, options, batch.epoch);
    state.loss_sum += found.loss * count;
    state.correct += found.correct;
    after_step();
    return found.loss;
  }
  const double epsilon = options.attack.epsilon.value;
  if (!state.perturbation.defined()) state.perturbation = torch::zeros_like(batch.images);
  double loss = 0;
  std::int64_t correct = 0;
  for (std::int64_t replay = 0; replay < options.replays; ++replay) {
    batch.step = state.optimiser.steps;
    const Tensor perturbation = state.perturbation.narrow(0, 0, batch.images.size(0));  // a view: what is carried moves with it
    Gradient found = gradient(state.model, batch, (batch.images + perturbation).clamp(0, 1), options, processes);
    follow(state, found, options, batch.epoch);
    perturbation.add_(found.images.sign(), options.attack.step.value).clamp_(-epsilon, epsilon);
    loss += found.loss / static_cast<double>(options.replays);
    correct += found.correct;
    after_step();
  }
  state.loss_sum += loss * count;
  state.correct += correct / options.replays;
  return loss;
}

// What the guard against catastrophic overfitting attacks with.
evasion::PgdOptions guard_attack(const TrainingOptions& options) {
  evasion::PgdOptions attack = options.attack;
  attack.iterations = 10;
  attack.step.value = attack.epsilon.value / 4;
  attack.random_start = true;
  return attack;
}

// Stops all processes if one of them was asked to.
void stop_together(bool asked_here, const core::Processes& processes) {
  if (processes.sum(torch::tensor({asked_here ? 1 : 0})).item<int>() == 0) return;
  core::request_stop();
  core::throw_if_stopped();
}

// The same count in every process, found by the first one.
evasion::Accuracy told(const core::Processes& processes, const std::function<evasion::Accuracy()>& count) {
  evasion::Accuracy here;
  bool stopped = false;
  try {
    if (processes.first()) here = count();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::kStopped) throw;
    stopped = true;
  }
  stop_together(stopped, processes);
  const Tensor sums = processes.sum(torch::tensor({here.correct, here.n}, torch::kInt64));
  return {.correct = sums[0].item<std::int64_t>(), .n = sums[1].item<std::int64_t>()};
}

EpochRecord measure(const TrainingState& state, const data::Dataset& train_set, const data::Dataset& test_set,
                    const TrainingOptions& options, const core::Processes& processes, const core::Run& run) {
  const auto& network = state.model.network;
  const auto images = static_cast<double>(train_set.size());
  EpochRecord record{.epoch = state.epoch + 1,
                     .train_loss = state.loss_sum / images,
                     .train_accuracy = static_cast<double>(state.correct) / images,
                     .natural = {},
                     .robust = {},
                     .guard = {}};
  auto robust = [&](const data::Dataset& set, std::int64_t n, const evasion::PgdOptions& attack) {
    return told(processes, [&] { return evasion::robust_accuracy(network, data::sample(set, n, options.seed), attack, options.seed, run); });
  };
  record.natural = told(processes, [&] { return evasion::natural_accuracy(network, test_set, run); });
  if (options.test_attack_images > 0) record.robust = robust(test_set, options.test_attack_images, options.test_attack);
  if (options.guard_images > 0) record.guard = robust(train_set, options.guard_images, guard_attack(options));
  return record;
}

// The files that a training leaves in its folder, written by the first of its processes.
struct Folder {
  fs::path path;
  core::Json identity;
  std::string description;
  bool writes;

  [[nodiscard]] fs::path resume() const { return path / "checkpoints" / "resume.safetensors"; }
  [[nodiscard]] fs::path weights(const std::string& name) const { return path / (name + ".safetensors"); }
  static std::string epoch(std::int64_t number) { return fmt::format("checkpoints/epoch-{:03}", number); }

  void save_resume(const TrainingState& state) const {
    if (writes) save_state(state, identity, resume());
  }
  // With batch norms for clean images, the network with those beside it: NAME-clean.
  void save_weights(const Model& model, const std::string& name) const {
    if (!writes) return;
    const std::map<std::string, std::string> metadata = {{"training", identity.dump()}, {"description", description}};
    nets::save_network(model.network, weights(name), metadata);
    if (!model.clean_norms.empty()) nets::save_network(clean_network(model), weights(name + "-clean"), metadata);
  }
  void load_weights(Model& model, const std::string& name) const {
    model.network.state = nets::load_network(weights(name)).state;
    if (model.clean_norms.empty()) return;
    const auto clean = nets::load_network(weights(name + "-clean"));
    for (auto& [norm, tensor] : model.clean_norms) tensor = clean.state.at(norm);
  }
  void save_stage(const TrainingState& state, const TrainingOptions& options) const {
    const auto& stages = options.checkpoint_steps;
    if (std::find(stages.begin(), stages.end(), state.optimiser.steps) == stages.end()) return;
    save_weights(state.model, fmt::format("checkpoints/step-{:06}", state.optimiser.steps));
  }
};

// What TensorBoard shows of an epoch: its figures, and some test images as they are and under the test attack.
void log_epoch(core::EventFile& events, const TrainingState& state, const data::Dataset& test_set, const TrainingOptions& options) {
  constexpr std::int64_t kShown = 8;
  const EpochRecord& record = state.curve.back();
  const auto at = state.optimiser.steps;
  events.scalar("epoch", at, static_cast<double>(record.epoch));
  events.scalar("loss/epoch", at, record.train_loss);
  events.scalar("accuracy/training", at, record.train_accuracy);
  const std::pair<const char*, const evasion::Accuracy&> accuracies[] = {
      {"accuracy/natural", record.natural}, {"accuracy/robust", record.robust}, {"accuracy/guard", record.guard}};
  for (const auto& [tag, accuracy] : accuracies) {
    if (accuracy.n > 0) events.scalar(tag, at, accuracy.interval().value);
  }
  const Tensor ids = torch::arange(std::min(kShown, test_set.size()));
  auto show = [&](const char* tag, const Tensor& images) {
    const Tensor strip = torch::cat(images.cpu().unbind(0), 2);  // side by side
    events.image(tag, at, data::encode_png(strip), strip.size(1), strip.size(2), strip.size(0));
  };
  const auto device = nets::device_of(state.model.network);
  const Tensor images = data::pixels(test_set, ids).to(device);
  show("images/test", images);
  if (options.test_attack_images == 0) return;
  const Tensor noise = evasion::start_noise(options.seed, "evasion start", ids, images.sizes().slice(1)).to(device);
  show("images/under attack", evasion::pgd(state.model.network, images, data::labels(test_set, ids).to(device), options.test_attack, noise));
}

// Goes on with the state's epoch to its end, measures, and saves. The state is whole whenever this throws kStopped.
void train_epoch(TrainingState& state, const data::Dataset& train_set, const data::Dataset& test_set, const TrainingOptions& options,
                 const Folder& folder, core::EventFile& events, const core::Processes& processes, const core::Run& run) {
  const std::int64_t batches = (train_set.size() + options.batch_size - 1) / options.batch_size;
  const Tensor order = torch::tensor(core::permutation(core::Stream(options.seed, "order", state.epoch), train_set.size()), torch::kInt64);
  while (state.batch < batches) {
    stop_together(core::stop_requested(), processes);
    const double epoch = static_cast<double>(state.epoch) + static_cast<double>(state.batch) / static_cast<double>(batches);
    const Batch batch = next_batch(state, train_set, order, epoch, options, processes);
    const double loss = train_on(state, batch, options, processes, [&] { folder.save_stage(state, options); });
    ++state.batch;
    if (folder.writes && state.batch % kLoggedBatches == 0) {
      events.scalar("loss/batch", state.optimiser.steps, loss);
      events.scalar("learning rate", state.optimiser.steps, learning_rate(options, epoch));
    }
    run.report({.task = "train",
                .done = state.epoch * batches + state.batch,
                .total = options.epochs * batches,
                .unit = "batches",
                .note = fmt::format("epoch {}/{}, loss {:.4f}", state.epoch + 1, options.epochs, loss)});
  }
  state.curve.push_back(measure(state, train_set, test_set, options, processes, run));
  if (folder.writes) log_epoch(events, state, test_set, options);
  ++state.epoch;
  state.batch = 0;
  state.loss_sum = 0;
  state.correct = 0;
  folder.save_weights(state.model, Folder::epoch(state.epoch));
  folder.save_resume(state);
}

// The epoch whose weights are the training's result: the last one, or where the guard struck the best on its images.
std::int64_t kept_epoch(const std::vector<EpochRecord>& curve, const TrainingOptions& options) {
  auto guarded = [](const EpochRecord& record) { return record.guard.n > 0 ? record.guard.interval().value : 0; };
  const auto best = std::max_element(curve.begin(), curve.end(), [&](const auto& a, const auto& b) { return guarded(a) < guarded(b); });
  return best != curve.end() && guarded(curve.back()) < guarded(*best) - options.guard_fall ? best->epoch : static_cast<std::int64_t>(curve.size());
}

// Refuses what several processes cannot share.
void check_parts(const TrainingOptions& options, std::int64_t images, const core::Processes& processes) {
  if (processes.count() == 1) return;
  if (options.method == Method::kFree) {
    throw core::Error(core::ErrorKind::kUsage, "training: got method free and {} processes, expected one: each would carry its own perturbation",
                      processes.count());
  }
  const std::int64_t rest = images % options.batch_size, smallest = rest > 0 ? rest : std::min(images, options.batch_size);
  if (smallest < processes.count()) {
    throw core::Error(core::ErrorKind::kUsage,
                      "training: {} images in batches of {} leave one of {} for {} processes, expected at least one image each; choose another batch_size",
                      images, options.batch_size, smallest, processes.count());
  }
}

void move_to(const torch::Device& device, TrainingState& state) {
  auto move = [&](Tensor& tensor) { tensor = tensor.to(device); };
  state.model.network = nets::on(std::move(state.model.network), device);
  for (auto& [name, tensor] : state.model.clean_norms) move(tensor);
  for (auto& tensor : state.optimiser.first) move(tensor);
  for (auto& tensor : state.optimiser.second) move(tensor);
  if (state.perturbation.defined()) move(state.perturbation);
}

}  // namespace

Trained train(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& test_set, const TrainingOptions& options,
              const fs::path& folder_path, const core::Run& run, const core::Processes& processes) {
  check(options);
  check_parts(options, train_set.size(), processes);
  const Folder folder{.path = folder_path,
                      .identity = {{"spec", nets::to_json(spec)},
                                   {"options", to_json(options)},
                                   {"data", {{"name", train_set.name}, {"train", train_set.size()}, {"test", test_set.size()}}}},
                      .description = describe(options),
                      .writes = processes.first()};
  Model initial = initial_model(nets::build(spec), options);
  auto resumed = load_state(initial, folder.identity, folder.resume());
  TrainingState state = resumed ? std::move(*resumed) : TrainingState{.model = std::move(initial), .optimiser = {}, .curve = {}};
  move_to(run.device, state);
  if (!resumed) folder.save_stage(state, options);

  core::EventFile events(folder_path);
  auto stands = [&] { return kept_epoch(state.curve, options) == state.epoch; };
  try {
    while (state.epoch < options.epochs && stands()) train_epoch(state, train_set, test_set, options, folder, events, processes, run);
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::kStopped) folder.save_resume(state);
    throw;
  }
  const auto kept = kept_epoch(state.curve, options);
  if (!stands()) folder.load_weights(state.model, Folder::epoch(kept));
  folder.save_weights(state.model, "model");
  Trained trained{.network = state.model.network, .clean_network = {}, .curve = std::move(state.curve), .kept_epoch = kept};
  if (options.dual_norm) trained.clean_network = clean_network(state.model);
  return trained;
}

}  // namespace pellucid::training
