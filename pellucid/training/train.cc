#include "pellucid/training/train.h"

#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/events.h"
#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"
#include "pellucid/data/image_file.h"
#include "pellucid/evasion/fit.h"
#include "pellucid/nets/autoencoder.h"
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/training/augment.h"
#include "pellucid/training/gradient.h"

#include <algorithm>
#include <cmath>

namespace pellucid::training {
namespace {

namespace fs = std::filesystem;

// Of a training's identity and state: a new one where old ones must not be taken up.
// 2: samples are drawn, and what only judges does not belong to the identity.
constexpr int kVersion = 2;

constexpr std::int64_t kLoggedBatches = 10;  // every how many batches TensorBoard gets a point

// The images of a private step, in order: each is drawn with the same probability, independently.
Tensor drawn(std::int64_t images, std::int64_t step, const TrainingOptions& options) {
  core::Stream stream(options.seed, "private sample", step);
  const double rate = private_steps(options, images).rate;
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < images; ++i) {
    if (stream.uniform() < rate) chosen.push_back(i);
  }
  return torch::tensor(chosen, torch::kInt64);
}

// The batch at which the state stands, or this process's part of it.
Batch next_batch(const TrainingState& state, const data::Dataset& train_set, const Tensor& order, double epoch,
                 const TrainingOptions& options, const core::Processes& processes) {
  const std::int64_t images = train_set.size(), step = state.optimiser.steps;
  const std::int64_t begin = state.batch * options.batch_size;
  const Tensor all = is_private(options) ? drawn(images, step, options)
                                         : order.slice(0, begin, std::min(begin + options.batch_size, images));
  const std::int64_t size = all.size(0);
  const auto mine = processes.share(size);
  const Tensor indices = all.slice(0, mine.begin, mine.end);
  const Tensor ids = indices + (is_private(options) ? step : state.epoch) * images;
  const auto device = nets::device_of(state.model.network);
  Batch batch{.images = augment(data::pixels(train_set, indices), ids, options).to(device),
              .labels = data::labels(train_set, indices).to(device),
              .ids = ids,
              .part = {},
              .epoch = epoch,
              .step = state.optimiser.steps};
  if (processes.count() > 1) {
    batch.part = {.begin = mine.begin, .batch = size, .sum = [&processes](const Tensor& tensor) {
                    return processes.differentiable_sum(tensor);
                  }};
  }
  return batch;
}

// Moves the model along the gradient, and batch norm's statistics to where the batch left them.
void follow(TrainingState& state, Gradient& gradient, const TrainingOptions& options, double epoch) {
  if (!std::isfinite(gradient.loss)) {
    throw core::Error(core::ErrorKind::kUsage,
                      "training: the loss is {} after {:.2f} epochs; lower learning_rate (now {})", gradient.loss,
                      epoch, options.learning_rate);
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
    // A view: what is carried moves with it.
    const Tensor perturbation = state.perturbation.narrow(0, 0, batch.images.size(0));
    Gradient found = gradient(state.model, batch, (batch.images + perturbation).clamp(0, 1), options, processes);
    follow(state, found, options, batch.epoch);
    perturbation.add_(found.images.sign(), options.attack.step_size()).clamp_(-epsilon, epsilon);
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
  attack.step = core::Number(fmt::format("{}", attack.epsilon.value / 4));
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
evasion::Accuracy broadcast_accuracy(const core::Processes& processes,
                                     const std::function<evasion::Accuracy()>& count) {
  evasion::Accuracy here;
  bool stopped = false;
  try {
    if (processes.first()) here = count();
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::kStopped) throw;
    stopped = true;
  }
  stop_together(stopped, processes);
  const Tensor sums = processes.sum(torch::tensor({here.correct, here.n, here.undefined}, torch::kInt64));
  return {.correct = sums[0].item<std::int64_t>(),
          .n = sums[1].item<std::int64_t>(),
          .undefined = sums[2].item<std::int64_t>()};
}

evasion::Accuracy robust_on(const nets::Network& network, const data::Dataset& set, std::int64_t n,
                            const evasion::PgdOptions& attack, const TrainingOptions& options,
                            const core::Processes& processes, const core::Run& run) {
  return broadcast_accuracy(processes, [&] {
    return evasion::robust_accuracy(network, data::sample(set, n, options.seed), attack, options.seed, run);
  });
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
    return robust_on(network, set, n, attack, options, processes, run);
  };
  if (!classifies(options.method)) return record;
  record.natural = broadcast_accuracy(processes, [&] { return evasion::natural_accuracy(network, test_set, run); });
  if (options.test_attack_images > 0) record.robust = robust(test_set, options.test_attack_images, options.test_attack);
  if (options.guard_images > 0) record.guard = robust(train_set, options.guard_images, guard_attack(options));
  return record;
}

// The files that a training leaves in its folder, written by the first of its processes.
struct Folder {
  fs::path path;
  core::Json identity;
  std::string description;
  double learning_rate;
  bool writes;
  StateFiles states{path / "checkpoints"};

  [[nodiscard]] fs::path weights(const std::string& name) const { return path / (name + ".safetensors"); }
  static std::string epoch(std::int64_t number) { return fmt::format("checkpoints/epoch-{:03}", number); }

  void save_resume(const TrainingState& state) {
    if (!writes) return;
    check_finite(state.model);
    states.save(state, identity);
  }
  // With batch norms for clean images, the network with those beside it: NAME-clean.
  void save_weights(const Model& model, const std::string& name) const {
    if (!writes) return;
    check_finite(model);
    const std::map<std::string, std::string> metadata = {
        {"training", identity.dump(-1, ' ', false, core::Json::error_handler_t::replace)},
        {"description", description}};
    nets::save_network(model.network, weights(name), metadata);
    if (!model.clean_norms.empty()) nets::save_network(clean_network(model), weights(name + "-clean"), metadata);
  }
  // What cannot be read again is not written.
  void check_finite(const Model& model) const {
    for (const auto* state : {&model.network.state, &model.clean_norms}) {
      for (const auto& [name, tensor] : *state) {
        if (!tensor.is_floating_point() || tensor.isfinite().all().item<bool>()) continue;
        throw core::Error(
            core::ErrorKind::kUsage,
            "training: {} is not finite any more, and such weights are not saved; lower learning_rate (now {})", name,
            learning_rate);
      }
    }
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
void log_epoch(core::EventFile& events, const TrainingState& state, const data::Dataset& test_set,
               const TrainingOptions& options) {
  constexpr std::int64_t kShown = 8;
  const EpochRecord& record = state.curve.back();
  const auto at = state.optimiser.steps;
  events.scalar("epoch", at, static_cast<double>(record.epoch));
  events.scalar("loss/epoch", at, record.train_loss);
  if (classifies(options.method)) events.scalar("accuracy/training", at, record.train_accuracy);
  const std::pair<const char*, const evasion::Accuracy&> accuracies[] = {
      {"accuracy/natural", record.natural}, {"accuracy/robust", record.robust}, {"accuracy/guard", record.guard}};
  for (const auto& [tag, accuracy] : accuracies) {
    if (accuracy.n > 0) events.scalar(tag, at, accuracy.interval().value);
  }
  const data::Dataset shown = data::sample(test_set, kShown, options.seed);
  const Tensor ids = torch::arange(std::min(kShown, shown.size()));
  auto show = [&](const char* tag, const Tensor& images) {
    const Tensor strip = torch::cat(images.cpu().unbind(0), 2);  // side by side
    events.image(tag, at, data::encode_png(strip), strip.size(1), strip.size(2), strip.size(0));
  };
  const auto device = nets::device_of(state.model.network);
  const Tensor images = data::pixels(shown, ids).to(device);
  show("images/test", images);
  if (!classifies(options.method)) {
    const torch::NoGradGuard no_gradient;
    show("images/reconstructed", nets::logits(state.model.network, images).view_as(images).clamp(0, 1));
    return;
  }
  if (options.test_attack_images == 0) return;
  const Tensor noise = evasion::start_noise(options.seed, "evasion start", ids, images.sizes().slice(1)).to(device);
  show("images/under attack",
       evasion::pgd(state.model.network, images, data::labels(shown, ids).to(device), options.test_attack, noise));
}

// Goes on with the state's epoch to its end, measures, and saves. The state is whole whenever this throws kStopped.
void train_epoch(TrainingState& state, const data::Dataset& train_set, const data::Dataset& test_set,
                 const TrainingOptions& options, Folder& folder, core::EventFile& events,
                 const core::Processes& processes, const core::Run& run) {
  const std::int64_t batches = (train_set.size() + options.batch_size - 1) / options.batch_size;
  const Tensor order = torch::tensor(
      core::permutation(core::Stream(options.seed, "order", state.epoch), train_set.size()), torch::kInt64);
  while (state.batch < batches) {
    stop_together(core::stop_requested(), processes);
    const double epoch =
        static_cast<double>(state.epoch) + static_cast<double>(state.batch) / static_cast<double>(batches);
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
  const auto best = std::max_element(curve.begin(), curve.end(),
                                     [&](const auto& a, const auto& b) { return guarded(a) < guarded(b); });
  return best != curve.end() && guarded(curve.back()) < guarded(*best) - options.guard_fall
             ? best->epoch
             : static_cast<std::int64_t>(curve.size());
}

// What the accuracies of an epoch are measured with, besides its weights.
core::Json judging(const TrainingOptions& options, const core::Json& test_images) {
  if (!classifies(options.method)) return core::Json::object();
  core::Json robust;
  if (options.test_attack_images > 0)
    robust = {{"images", options.test_attack_images}, {"attack", to_json(options)["test_attack"]}};
  return {{"test", test_images}, {"robust", robust}};
}

// Measures the epochs' accuracies anew that were measured with something else, where the epochs' weights are still
// there.
void measure_again(TrainingState& state, const core::Json& now, const data::Dataset& test_set,
                   const TrainingOptions& options, const Folder& folder, core::EventFile& events,
                   const core::Processes& processes, const core::Run& run) {
  const bool other_images = state.judging.value("test", core::Json()) != now["test"];
  for (EpochRecord& record : state.curve) {
    const auto file = folder.weights(Folder::epoch(record.epoch));
    const bool measurable = processes.sum(torch::tensor({fs::exists(file) ? 1 : 0})).item<int>() == processes.count();
    nets::Network network;
    if (measurable) network = nets::on(nets::load_network(file), nets::device_of(state.model.network));
    if (other_images)
      record.natural =
          measurable ? broadcast_accuracy(processes, [&] { return evasion::natural_accuracy(network, test_set, run); })
                     : evasion::Accuracy{};
    record.robust = {};
    if (measurable && options.test_attack_images > 0) {
      record.robust =
          robust_on(network, test_set, options.test_attack_images, options.test_attack, options, processes, run);
    }
    if (!folder.writes) continue;
    const auto at = state.optimiser.steps * record.epoch / std::max<std::int64_t>(state.epoch, 1);
    if (record.natural.n > 0) events.scalar("accuracy/natural", at, record.natural.interval().value);
    if (record.robust.n > 0) events.scalar("accuracy/robust", at, record.robust.interval().value);
  }
  state.judging = now;
}

// Images and labels of a data set, and what the labels stand for, as a file gives it back: names need not be UTF-8.
core::Json identity_of(const data::Dataset& set) {
  const Tensor images = set.images.contiguous(), labels = set.labels.contiguous();
  const auto bytes = [](const Tensor& tensor) {
    return std::span(static_cast<const std::uint8_t*>(tensor.data_ptr()), tensor.nbytes());
  };
  const core::Json json = {{"images", set.size()},
                           {"classes", set.classes},
                           {"content", core::sha256(core::sha256(bytes(images)) + core::sha256(bytes(labels)))}};
  return core::Json::parse(json.dump(-1, ' ', false, core::Json::error_handler_t::replace));
}

// Refuses batches in which a batch norm would see one value a channel: it has no variance.
void check_batches(const nets::Architecture& architecture, const TrainingOptions& options, std::int64_t images) {
  std::string norm;
  const auto shapes = nets::output_shapes(architecture);
  for (std::size_t i = 0; i < shapes.size() && norm.empty(); ++i) {
    if (std::holds_alternative<nets::BatchNorm>(architecture.layers[i].op) &&
        c10::multiply_integers(shapes[i]) == shapes[i][0])
      norm = architecture.layers[i].name;
  }
  if (norm.empty()) return;
  for (const std::int64_t size : {std::min(options.batch_size, images), images % options.batch_size}) {
    const std::int64_t moved = attacked(size, options.adversarial_share).sum().item<std::int64_t>();
    const bool one = options.dual_norm ? moved == 1 || size - moved == 1 : size == 1;
    const bool one_attacked = attacks(options.method) && options.attack_mode == nets::Mode::kTraining && moved == 1;
    if (!one && !one_attacked) continue;
    throw core::Error(core::ErrorKind::kUsage,
                      "training: {} images in batches of {} leave a batch of {}{}, expected two or more images for a "
                      "batch norm over 1 x 1 ({}): one has no "
                      "variance; choose another batch_size or number of images",
                      images, options.batch_size, size, size > 1 ? " with one image of a kind" : "", norm);
  }
}

// Refuses networks whose examples private training cannot clip one by one, or that hold statistics of theirs.
void check_private(const nets::Architecture& architecture, const TrainingOptions& options) {
  if (!is_private(options)) return;
  if (!architecture.spec.mean.empty()) {
    throw core::Error(core::ErrorKind::kUsage,
                      "training: got clip_norm and normalise, expected a network that does not standardise: the mean "
                      "and the deviation of the training images would be in it without noise");
  }
  const auto norm = std::ranges::find_if(
      architecture.layers, [](const auto& layer) { return std::holds_alternative<nets::BatchNorm>(layer.op); });
  if (norm == architecture.layers.end()) return;
  throw core::Error(
      core::ErrorKind::kUsage,
      "training: got clip_norm and {} with batch norm ({}), expected a network in which images do not see "
      "one another: one image moves the gradients of all others there, so that no clipping bounds what "
      "it does; use group norm (preact_resnet8_gn) or a network without (tanh_cnn, small_cnn)",
      architecture.spec.net, norm->name);
}

// Refuses what several processes cannot share.
void check_parts(const TrainingOptions& options, std::int64_t images, const core::Processes& processes) {
  if (processes.count() == 1) return;
  if (options.method == Method::kFree) {
    throw core::Error(core::ErrorKind::kUsage,
                      "training: got method free and {} processes, expected one: each would carry its own perturbation",
                      processes.count());
  }
  const std::int64_t rest = images % options.batch_size,
                     smallest = rest > 0 ? rest : std::min(images, options.batch_size);
  if (smallest < processes.count()) {
    throw core::Error(core::ErrorKind::kUsage,
                      "training: {} images in batches of {} leave one of {} for {} processes, expected at least one "
                      "image each; choose another batch_size",
                      images, options.batch_size, smallest, processes.count());
  }
}

// For what looks at the images alone.
data::Dataset unlabelled(data::Dataset set) {
  set.labels = torch::zeros_like(set.labels);
  return set;
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

void check(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& test_set,
           const TrainingOptions& options, const core::Processes& processes) {
  check(options);
  const auto architecture = nets::build(spec);
  if (classifies(options.method)) {
    (void)evasion::fitted(train_set, {.architecture = architecture, .state = {}});
    (void)evasion::fitted(data::relabelled(test_set, train_set.classes), {.architecture = architecture, .state = {}});
    if (std::get<0>(at::_unique(train_set.labels)).numel() < 2) {
      throw core::Error(core::ErrorKind::kData,
                        "{}: got training images of one class, expected two or more: there is nothing to tell apart",
                        train_set.name);
    }
  } else {
    nets::require_autoencoder(architecture);
    for (const auto* set : {&train_set, &test_set}) (void)evasion::fitted(unlabelled(*set), {architecture, {}});
  }
  (void)initial_model(architecture, options);
  check_private(architecture, options);
  check_batches(architecture, options, train_set.size());
  check_parts(options, train_set.size(), processes);
}

Trained train(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& given_test_set,
              const TrainingOptions& given_options, const fs::path& folder_path, const core::Run& run,
              const core::Processes& processes, const std::function<void()>& accepted) {
  check(spec, train_set, given_test_set, given_options, processes);
  const data::Dataset test_set =
      classifies(given_options.method) ? data::relabelled(given_test_set, train_set.classes) : given_test_set;
  const TrainingOptions options =
      computable(given_options, core::has_bfloat16() || !torch::Device(run.device).is_cpu());
  Trained trained{.network = {}, .clean_network = {}, .curve = {}, .kept_epoch = 0, .options = options};
  auto note = [&](const std::string& text) {
    trained.notes.push_back(text);
    run.report({.task = "train", .unit = "", .finished = text});
  };

  Folder folder{.path = folder_path,
                .identity = {{"version", kVersion},
                             {"spec", nets::to_json(spec)},
                             {"options", determinants(options)},
                             {"data", identity_of(train_set)}},
                .description = describe(options),
                .learning_rate = options.learning_rate,
                .writes = processes.first()};
  Model initial = initial_model(nets::build(spec), options);
  const bool named = classifies(options.method) && static_cast<std::int64_t>(train_set.classes.size()) == spec.classes;
  if (named) initial.network.classes = train_set.classes;
  std::string damage;
  auto resumed = folder.states.load(
      {.initial = initial, .options = options, .images = train_set.size(), .identity = folder.identity}, damage);
  if (accepted) accepted();
  if (options.precision != given_options.precision)
    note("precision mixed: this processor has no bfloat16, and emulated it is slower than float32: float32 is used");
  if (!damage.empty()) note(damage);

  const core::Json now = judging(options, identity_of(test_set));
  TrainingState state =
      resumed ? std::move(*resumed) : TrainingState{.model = std::move(initial), .optimiser = {}, .judging = now};
  move_to(run.device, state);
  if (!resumed) folder.save_stage(state, options);

  core::EventFile events(folder_path);
  auto stands = [&] { return kept_epoch(state.curve, options) == state.epoch; };
  if (state.judging != now) {
    measure_again(state, now, test_set, options, folder, events, processes, run);
    folder.save_resume(state);
  }
  const Workers here{.processes = processes.count(), .threads = run.threads};
  if (state.epoch < options.epochs && stands() && (state.workers.empty() || state.workers.back() != here)) {
    if (!state.workers.empty()) {
      const Workers& there = state.workers.back();
      note(
          fmt::format("trained so far by {} process(es) of {} thread(s), from here on by {} of {}: the weights will "
                      "differ in their last bits from those of "
                      "either alone",
                      there.processes, there.threads, here.processes, here.threads));
    }
    state.workers.push_back(here);
  }
  try {
    while (state.epoch < options.epochs && stands())
      train_epoch(state, train_set, test_set, options, folder, events, processes, run);
  } catch (const core::Error& error) {
    if (error.kind() == core::ErrorKind::kStopped) folder.save_resume(state);
    throw;
  }
  trained.kept_epoch = kept_epoch(state.curve, options);
  if (!stands()) folder.load_weights(state.model, Folder::epoch(trained.kept_epoch));
  folder.save_weights(state.model, "model");
  trained.network = state.model.network;
  if (options.dual_norm) trained.clean_network = clean_network(state.model);
  trained.curve = std::move(state.curve);
  trained.workers = std::move(state.workers);
  return trained;
}

}  // namespace pellucid::training
