#include "pellucid/study/trained.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/data/catalog.h"
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/training/train.h"

#include <algorithm>
#include <tuple>

namespace pellucid::study {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

// Of what a training and its measurement are: a new one where old ones must not be taken up.
// 2: images are drawn by `data::sample`; before they were the first ones.
constexpr int kVersion = 2;

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

// Whether a training that ended after so many epochs came by.
bool reached(const std::string& name, const Settings& s, std::int64_t images, std::size_t epochs) {
  const auto at = checkpoint(name);
  const auto steps = static_cast<std::int64_t>(epochs) * ((images + s.training.batch_size - 1) / s.training.batch_size);
  return !at || at->number <= (at->kind == "epoch" ? static_cast<std::int64_t>(epochs) : steps);
}

[[noreturn]] void weights_are_gone(const fs::path& weights, const fs::path& folder) {
  throw Error(
      ErrorKind::kModel,
      "{}: no such weights, though they were trained; remove {} and the files cells*.jsonl beside it, and what is "
      "missing is trained again",
      weights.string(), folder.string());
}

Json determinants(const Training& training) {
  return {{"network", kVersion},
          {"training", training.id},
          {"checkpoint", training.settings.checkpoint},
          {"judge_images", training.settings.judge_images}};
}

Json train_and_measure(const Training& training, const fs::path& folder, Datasets& datasets, const core::Run& run) {
  const Settings& s = training.settings;
  const auto& train_set = datasets.train(s);
  const auto& test_set = datasets.test(s);
  auto spec = spec_of(s, train_set);
  if (s.normalise) std::tie(spec.mean, spec.deviation) = data::channel_statistics(train_set);
  const auto trained = training::train(spec, train_set, test_set, s.training, folder, run);
  if (!all_finite(trained.network)) return failed("the weights are not finite at the end; try a smaller learning rate");
  const auto weights = folder / weight_file(s.checkpoint);
  if (!reached(s.checkpoint, s, train_set.size(), trained.curve.size())) {
    return failed(fmt::format("{}: no such weights: the training ended after epoch {} of {}", s.checkpoint,
                              trained.curve.size(), s.training.epochs));
  }
  if (!fs::exists(weights)) weights_are_gone(weights, folder);
  auto network = nets::on(nets::load_network(weights), torch::Device(run.device));
  Json json = {{"status", "ok"}, {"reason", ""}, {"fingerprint", nets::fingerprint(network)}};
  json["natural"] = evasion::to_json(evasion::natural_accuracy(network, test_set, run));
  json["robust"] = evasion::to_json(evasion::robust_accuracy(network, data::sample(test_set, s.judge_images, 0),
                                                             s.training.test_attack, s.training.seed, run));
  json.update({{"robust_attack", evasion::describe(s.training.test_attack)},
               {"description", training::describe(trained.options)},
               {"architecture", s.net},
               {"parameters", nets::count_parameters(network.architecture)},
               {"kept_epoch", trained.kept_epoch},
               {"curve", training::to_json(trained.curve)}});
  return json;
}

}  // namespace

const data::Dataset& Datasets::load(const Settings& s, data::Split split, std::int64_t most) {
  const std::lock_guard guard(mutex_);
  const auto key = fmt::format("{} {} {} {}", s.data, s.data_dir, data::to_string(split), most);
  auto found = sets_.find(key);
  if (found == sets_.end()) {
    auto whole = data::load(s.data, split, s.data_dir);
    found = sets_.emplace(key, data::sample(whole, most, 0)).first;
  }
  return found->second;
}

const data::Dataset& Datasets::train(const Settings& s) { return load(s, data::Split::kTrain, s.train_images); }
const data::Dataset& Datasets::test(const Settings& s) { return load(s, data::Split::kTest, s.test_images); }

const Tensor& Datasets::mean_image(const Settings& s) {
  const auto& set = train(s);
  const std::lock_guard guard(mutex_);
  Tensor& mean = means_[fmt::format("{} {} {}", s.data, s.data_dir, s.train_images)];
  if (!mean.defined()) {
    Tensor sum = torch::zeros(set.images.sizes().slice(1), torch::kFloat64);
    for (const auto& part : set.images.split(4096)) sum += part.to(torch::kFloat64).sum(0);
    mean = (sum / (255.0 * static_cast<double>(set.size()))).to(torch::kFloat32).unsqueeze(0);
  }
  return mean;
}

const std::string& Datasets::identity(const Settings& s) {
  const std::lock_guard guard(identity_mutex_);
  std::string& identity = identities_[s.data + " " + s.data_dir];
  if (identity.empty()) identity = identify(s);
  return identity;
}

std::string Datasets::identify(const Settings& s) {
  const auto known = data::list(s.data_dir);
  if (std::any_of(known.begin(), known.end(), [&](const auto& f) { return f.name == s.data; })) return s.data;
  Json all = Json::array();
  for (const auto split : {data::Split::kTrain, data::Split::kTest}) {
    const auto& set = load(s, split, 0);
    const Tensor images = set.images.contiguous(), labels = set.labels.contiguous();
    all.push_back({set.classes,
                   core::sha256(std::span(images.data_ptr<std::uint8_t>(), static_cast<std::size_t>(images.numel()))),
                   core::sha256(std::span(static_cast<const std::uint8_t*>(labels.data_ptr()), labels.nbytes()))});
  }
  return s.data + " " + core::sha256(all.dump());
}

Training training_of(const Settings& settings, std::int64_t seed, Datasets& datasets) {
  Training training{.id = {}, .settings = settings, .seed = seed};
  Settings& s = training.settings;
  s.training.seed += static_cast<std::uint64_t>(seed);
  training.id = cell_name({{"training", kVersion},
                           {"data", datasets.identity(s)},
                           {"net", s.net},
                           {"normalise", s.normalise},
                           {"train_images", s.train_images},
                           {"test_images", s.test_images},
                           {"options", training::to_json(s.training)}});
  return training;
}

std::optional<Json> find_measured(const Training& training, const Store& store) {
  return store.find(cell_name(determinants(training)));
}

std::optional<Json> measured(const Training& training, Store& store, const fs::path& folder, Datasets& datasets,
                             const core::Run& run) {
  std::optional<Json> result = find_measured(training, store);
  if (result) return result;
  // A network that does not exist is the study's mistake, not this training's failure.
  (void)nets::build(spec_of(training.settings, datasets.train(training.settings)));
  // Checkpoints of one training share its folder: one process at a time.
  store.exclusively(training.id, [&] {
    result = store.try_cell(determinants(training), [&] {
      return attempt([&] { return train_and_measure(training, folder / training.id, datasets, run); });
    });
  });
  return result;
}

nets::Network load(const Training& training, const fs::path& folder) {
  const auto file = folder / training.id / weight_file(training.settings.checkpoint);
  if (!fs::exists(file)) weights_are_gone(file, folder / training.id);
  auto network = nets::load_network(file);
  const double scale = training.settings.logit_scale;
  const auto& last = network.architecture.layers.back();
  if (scale == 1) return network;
  if (!std::holds_alternative<nets::Linear>(last.op)) {
    throw Error(ErrorKind::kUsage, "client.logit_scale: got {} for {}, expected 1: its last layer is not linear", scale,
                training.settings.net);
  }
  for (const char* part : {".weight", ".bias"}) {
    Tensor& tensor = network.state.at(last.name + part);
    tensor = tensor * scale;
  }
  return network;
}

Json failed(const std::string& reason) { return {{"status", "failed"}, {"reason", reason}}; }

Json attempt(const std::function<Json()>& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUsage)
      throw;  // a file, the machine, a stop or a bug: not to be kept as this work's result
    return failed(error.what());
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    for (const char* machine : {"out of memory", "allocate memory", "CUDA error"}) {
      if (text.find(machine) != std::string::npos) throw Error(ErrorKind::kIo, "libtorch: {}", text);
    }
    return failed("libtorch: " + text);
  }
}

}  // namespace pellucid::study
