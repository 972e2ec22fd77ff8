#include "pellucid/gradients/trained.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/grid/system.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/training/train.h"

#include <algorithm>
#include <tuple>

namespace pellucid::gradients {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

// Of what a training and its measurement are: a new one where old ones must not be taken up.
// 2: images are drawn by `data::sample`; before they were the first ones.
// 3: what judges a training is no part of it; labels are matched by their classes' names.
constexpr int kNetworkVersion = 3;
constexpr std::int64_t kWatched = 1000;  // test images that a training's own log shows the accuracy on

// A checkpoint as a file of the training's folder.
std::string weight_file(const std::string& name) {
  const auto at = checkpoint(name);
  if (!at) return "model.safetensors";
  return at->kind == "epoch" ? fmt::format("checkpoints/epoch-{:03}.safetensors", at->number)
                             : fmt::format("checkpoints/step-{:06}.safetensors", at->number);
}

// Without the statistics of `normalise`, which cost a pass over the images.
nets::Spec spec_of(const Settings& s, const data::Dataset& set) {
  return {.net = s.net,
          .input = set.images.sizes().slice(1).vec(),
          .classes = static_cast<std::int64_t>(set.classes.size())};
}

bool all_finite(const nets::Network& network) {
  const auto finite = [](const auto& entry) {
    return !entry.second.is_floating_point() || entry.second.isfinite().all().template item<bool>();
  };
  return std::all_of(network.state.begin(), network.state.end(), finite);
}

// The steps of so many epochs.
std::int64_t steps_of(const training::TrainingOptions& o, std::int64_t images, std::int64_t epochs) {
  const std::int64_t batches = images / o.batch_size + (images % o.batch_size > 0 ? 1 : 0);
  return epochs * batches * (o.method == training::Method::kFree ? o.replays : 1);
}

// Whether a training that ended after so many epochs came by.
bool reached(const std::string& name, const training::TrainingOptions& o, std::int64_t images, std::int64_t epochs) {
  const auto at = checkpoint(name);
  return !at || at->number <= (at->kind == "epoch" ? epochs : steps_of(o, images, epochs));
}

[[noreturn]] void weights_are_gone(const fs::path& weights, const fs::path& folder, const char* what) {
  throw Error(
      ErrorKind::kModel,
      "{}: {}; remove {} and {}: the network is trained again, and the others beside it are only measured again",
      weights.string(), what, folder.string(), (folder.parent_path() / "cells*.jsonl").string());
}

constexpr char kGone[] = "no such weights, though they were trained",
               kOthers[] = "other weights than those that were measured";

evasion::Accuracy under_attack(const nets::Network& network, const Settings& s, std::int64_t images, Datasets& datasets,
                               const core::Run& run) {
  return evasion::robust_accuracy(network, data::sample(datasets.test(s), images, 0), s.training.test_attack,
                                  s.training.seed, run);
}

nets::Network load_given(const Training& training) {
  auto network = load_given(training.settings);
  if (nets::fingerprint(network) == training.given) return network;
  throw Error(ErrorKind::kModel, "{}: other weights than when this command began; run it again",
              training.settings.weights);
}

// Refuses given weights that do not go with the data and with the settings that say what network they are of.
void check_given(const Settings& s, const data::Dataset& set) {
  const auto network = load_given(s);
  const auto& spec = network.architecture.spec;
  const auto refuse = [&](const char* what, const std::string& got, const std::string& expected) {
    throw Error(ErrorKind::kUsage, "model.weights: {}: {}: got {}, expected {}", s.weights, what, got, expected);
  };
  const auto names = [](const std::vector<std::string>& classes) {
    return core::printable(fmt::format("{}", fmt::join(classes, ", ")), 200);
  };
  const auto input = set.images.sizes().slice(1);
  if (input != at::IntArrayRef(spec.input))
    refuse("images", fmt::format("{}", fmt::join(spec.input, " x ")),
           fmt::format("{} as {} has", fmt::join(input, " x "), core::printable(set.name)));
  if (spec.classes != static_cast<std::int64_t>(set.classes.size()))
    refuse("classes", fmt::format("{}", spec.classes),
           fmt::format("{} as {} has", set.classes.size(), core::printable(set.name)));
  if (!network.classes.empty() && network.classes != set.classes)
    refuse("classes", names(network.classes),
           fmt::format("those of {} in their order: {}", core::printable(set.name), names(set.classes)));
  if (spec.mean.empty() == s.normalise)
    refuse("first layer", s.normalise ? "none that standardises" : "one that standardises",
           s.normalise ? "one that does (model.normalise = true)" : "none (model.normalise = false)");
}

nets::Network load_weights(const fs::path& folder, const std::string& checkpoint, const core::Run& run) {
  const auto weights = folder / weight_file(checkpoint);
  if (!fs::exists(weights)) weights_are_gone(weights, folder, kGone);
  return nets::on(nets::load_network(weights), torch::Device(run.device));
}

// A training's network at its checkpoint. @param fingerprint as `load`.
nets::Network load_trained(const Training& training, const fs::path& folder, const std::string& fingerprint) {
  const auto file = folder / training.id / weight_file(training.settings.checkpoint);
  if (!fs::exists(file)) weights_are_gone(file, folder / training.id, kGone);
  auto network = nets::load_network(file);
  if (!fingerprint.empty() && nets::fingerprint(network) != fingerprint)
    weights_are_gone(file, folder / training.id, kOthers);
  return network;
}

// The curve of a training, judged as the settings say: the training itself may have been begun by a study that judges
// otherwise.
Json judged(std::vector<training::EpochRecord> curve, const Settings& s, const fs::path& folder, Datasets& datasets,
            const core::Run& run) {
  for (auto& record : curve) {
    const auto network = load_weights(folder, fmt::format("epoch {}", record.epoch), run);
    record.natural = evasion::natural_accuracy(network, datasets.test(s), run);
    record.robust = s.training.test_attack_images == 0
                        ? evasion::Accuracy{}
                        : under_attack(network, s, s.training.test_attack_images, datasets, run);
  }
  return training::to_json(curve);
}

// What training looks at; what judges it has other places.
training::TrainingOptions without_judge(training::TrainingOptions options) {
  options.test_attack = {};
  options.test_attack_images = 0;
  return options;
}

// What is measured of a network, trained or given.
Json measure(const nets::Network& network, const Settings& s, Datasets& datasets, const core::Run& run) {
  return {{"status", "ok"},
          {"reason", ""},
          {"fingerprint", nets::fingerprint(network)},
          {"natural", evasion::to_json(evasion::natural_accuracy(network, datasets.test(s), run))},
          {"robust", evasion::to_json(under_attack(network, s, s.judge_images, datasets, run))},
          {"robust_attack", evasion::describe(s.training.test_attack)},
          {"architecture", s.net},
          {"parameters", nets::count_parameters(network.architecture)}};
}

Json measure_given(const Training& training, Datasets& datasets, const core::Run& run) {
  const Settings& s = training.settings;
  const auto metadata = nets::read_metadata(s.weights);
  const auto description = metadata.find("description");
  Json json = measure(nets::on(load_given(training), torch::Device(run.device)), s, datasets, run);
  json.update({{"description", description != metadata.end() ? description->second
                                                             : "given as " + fs::path(s.weights).filename().string()},
               {"kept_epoch", Json()},
               {"curve", Json()}});
  return json;
}

Json train_and_measure(const Training& training, const fs::path& folder, Datasets& datasets, const core::Run& run) {
  const Settings& s = training.settings;
  const auto& train_set = datasets.train(s);
  auto spec = spec_of(s, train_set);
  if (s.normalise) std::tie(spec.mean, spec.deviation) = data::channel_statistics(train_set);
  const auto trained = training::train(spec, train_set, data::sample(datasets.all_test(s), kWatched, 0),
                                       without_judge(s.training), folder, run);
  if (!all_finite(trained.network))
    return grid::failed("the weights are not finite at the end; try a smaller learning rate");
  if (!reached(s.checkpoint, s.training, train_set.size(), static_cast<std::int64_t>(trained.curve.size()))) {
    return grid::failed(fmt::format("{}: no such weights: the training ended after epoch {} of {}", s.checkpoint,
                                    trained.curve.size(), s.training.epochs));
  }
  const auto network = load_weights(folder, s.checkpoint, run);
  Json json = measure(network, s, datasets, run);
  json.update({{"description", training::describe(trained.options)},
               {"kept_epoch", trained.kept_epoch},
               {"curve", s.checkpoint == "end" ? judged(trained.curve, s, folder, datasets, run) : Json()}});
  return json;
}

// Refuses an attack that does not apply to what the client shares, before anything is trained. What is said of one
// image by an untrained network is not: its gradient may be zero where that of a trained one is not.
void check_attack_applies(const Settings& s, const nets::Architecture& architecture, Datasets& datasets) {
  if (s.protocol.batch_size == 1) return;
  sharing::Observation observation{
      .network = {.architecture = architecture, .state = nets::initialise(architecture, 0)},
      .update = {},
      .labels = {}};
  const Truth batch = datasets.batch(s, 0);
  observation.update = sharing::compute_update(observation.network, batch.images, batch.labels, s.protocol);
  if (s.share_labels)
    observation.labels.assign(batch.labels.data_ptr<std::int64_t>(),
                              batch.labels.data_ptr<std::int64_t>() + batch.labels.numel());
  try {
    inversion::check_applies(observation, s.attack);
  } catch (Error& error) {
    throw error.add_context(fmt::format("client.batch_size = {}, client.share_labels = {}, attack.preset = {}",
                                        s.protocol.batch_size, s.share_labels, s.preset));
  }
}

}  // namespace

Json determinants(const Training& training) {
  auto test_attack = training.settings.training.test_attack;
  return {{"network", kNetworkVersion},
          {"training", training.id},
          {"checkpoint", training.settings.checkpoint},
          {"test_images", training.settings.test_images},
          {"judge_images", training.settings.judge_images},
          {"test_attack", core::to_json(evasion::fields(test_attack))},
          {"curve_images",
           training.settings.checkpoint == "end" ? Json(training.settings.training.test_attack_images) : Json()}};
}

Training training_of(const Settings& settings, std::int64_t seed, Datasets& datasets) {
  Training training{.id = {}, .settings = settings, .seed = seed, .given = datasets.given(settings)};
  Settings& s = training.settings;
  s.training.seed += static_cast<std::uint64_t>(seed);
  if (!training.given.empty()) {
    training.id = record::cell_name({{"training", kNetworkVersion},
                                     {"data", datasets.identity(s)},
                                     {"given", training.given},
                                     {"seed", s.training.seed}});
    return training;
  }
  training.id = record::cell_name({{"training", kNetworkVersion},
                                   {"data", datasets.identity(s)},
                                   {"net", s.net},
                                   {"normalise", s.normalise},
                                   {"train_images", s.train_images},
                                   {"options", training::to_json(without_judge(s.training))}});
  return training;
}

void check_runs(const Settings& s, Datasets& datasets) {
  const auto &train = datasets.train(s), &test = datasets.all_test(s);
  const auto shape = [](const data::Dataset& set) {
    return fmt::format("{}", fmt::join(set.images.sizes().slice(1), " x "));
  };
  if (shape(train) != shape(test)) {
    throw Error(ErrorKind::kData, "{}: the test images are {}, expected {} as the training images",
                core::printable(train.name), shape(test), shape(train));
  }
  const auto architecture = nets::build(spec_of(s, train));
  if (s.logit_scale != 1 && !std::holds_alternative<nets::Linear>(architecture.layers.back().op)) {
    throw Error(ErrorKind::kUsage, "client.logit_scale: got {} for {}, expected 1: its last layer is not linear",
                s.logit_scale, s.net);
  }
  if (!s.weights.empty()) check_given(s, train);
  check_attack_applies(s, architecture, datasets);
  if (!reached(s.checkpoint, s.training, train.size(), s.training.epochs)) {
    throw Error(ErrorKind::kUsage, "client.checkpoint: got {}, expected at most step {}: the training ends there",
                core::quoted(s.checkpoint), steps_of(s.training, train.size(), s.training.epochs));
  }
}

std::optional<Json> measured(const Training& training, record::Store& store, const fs::path& folder, Datasets& datasets,
                             const core::Run& run) {
  std::optional<Json> result = store.find(record::cell_name(determinants(training)));
  if (result) return result;
  check_runs(training.settings, datasets);  // what is wrong there is the study's mistake, not this training's failure
  // Checkpoints of one training share its folder: one process at a time.
  store.exclusively(training.id, [&] {
    result = store.try_cell(determinants(training), [&] {
      return attempt([&] {
        return training.given.empty() ? train_and_measure(training, folder / training.id, datasets, run)
                                      : measure_given(training, datasets, run);
      });
    });
  });
  return result;
}

nets::Network load(const Training& training, const fs::path& folder, const std::string& fingerprint) {
  auto network = training.given.empty() ? load_trained(training, folder, fingerprint) : load_given(training);
  const double scale = training.settings.logit_scale;
  if (scale == 1) return network;
  for (const char* part : {".weight", ".bias"}) {
    const auto tensor = network.state.find(network.architecture.layers.back().name + part);
    if (tensor != network.state.end()) tensor->second = tensor->second * scale;
  }
  return network;
}

std::optional<std::string> failure(const std::function<void()>& work) {
  try {
    work();
    return std::nullopt;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUsage)
      throw;  // a file, the machine, a stop or a bug: not to be kept as this work's result
    return error.what();
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    for (const char* machine : {"out of memory", "allocate memory", "CUDA error"}) {
      if (text.find(machine) != std::string::npos) throw Error(ErrorKind::kIo, "libtorch: {}", text);
    }
    return "libtorch: " + text;
  }
}

Json attempt(const std::function<Json()>& work) {
  Json result;
  const auto why = failure([&] { result = work(); });
  return why ? grid::failed(*why) : result;
}

}  // namespace pellucid::gradients
