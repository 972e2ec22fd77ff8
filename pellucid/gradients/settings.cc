#include "pellucid/gradients/settings.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/grid/study.h"
#include "pellucid/inversion/engine/tensor_engine.h"

#include <algorithm>
#include <charconv>

namespace pellucid::gradients {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

// A value in a message.
std::string shown(const Json& value) {
  return core::printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// Two trainings are the same where they differ in settings that training does not use alone.
void without_what_does_not_matter(training::TrainingOptions& o) {
  const training::TrainingOptions defaults;
  if (!training::attacks(o.method)) {
    o.attack = defaults.attack;
    o.attack_start = defaults.attack_start;
    o.epsilon_warmup = defaults.epsilon_warmup;
    o.attack_mode = defaults.attack_mode;
    o.guard_images = 0;
    o.guard_fall = defaults.guard_fall;
  }
  if (o.method != training::Method::kTrades && o.method != training::Method::kMart) o.beta = defaults.beta;
  if (o.method != training::Method::kFree) o.replays = defaults.replays;
}

void check_checkpoint(const Settings& s, const std::string& where) {
  const auto& steps = s.training.checkpoint_steps;
  const auto at = checkpoint(s.checkpoint);
  if (!s.weights.empty() && s.checkpoint != "end") {
    throw Error(ErrorKind::kUsage,
                "{}: client.checkpoint: got {}, expected end: of given weights (model.weights) there is no other",
                where, core::quoted(s.checkpoint));
  }
  if (s.checkpoint == "end" || (at && at->kind == "epoch" && 1 <= at->number && at->number <= s.training.epochs) ||
      (at && at->kind == "step" && std::find(steps.begin(), steps.end(), at->number) != steps.end())) {
    return;
  }
  throw Error(ErrorKind::kUsage, "{}: client.checkpoint: got {}, expected end, epoch 1 to {}{}", where,
              core::quoted(s.checkpoint), s.training.epochs,
              steps.empty() ? "" : fmt::format(", or step {}", fmt::join(steps, ", ")));
}

void check_method(const training::TrainingOptions& options, const std::string& where) {
  if (training::classifies(options.method)) return;
  throw Error(
      ErrorKind::kUsage,
      "{}: training.method: got autoencoder, expected a method that trains a classifier: it is attack.prior that "
      "takes an autoencoder",
      where);
}

// Studies read images back on the CPU.
void check_attack(const inversion::Attack& attack, const std::string& where) {
  try {
    inversion::check_precision(attack.precision, torch::kCPU);
  } catch (Error& error) {
    throw error.add_context(where + ": attack");
  }
}

// The table called "training.attack" of a document, without the tables in it that have a name of their own; null if
// there is none.
Json table_called(const Json& document, const std::string& name, const std::string& where) {
  const Json* table = &document;
  std::string path;
  for (std::size_t begin = 0; begin <= name.size();) {
    const auto end = std::min(name.find('.', begin), name.size());
    const auto part = name.substr(begin, end - begin);
    path += (path.empty() ? "" : ".") + part;
    const auto found = table->find(part);
    if (found == table->end()) return {};
    if (!found->is_object())
      throw Error(ErrorKind::kUsage, "{}: {}: got {}, expected a table", where, path, shown(*found));
    table = &*found;
    begin = end + 1;
  }
  Json own = *table;
  if (name == "training") own.erase("attack"), own.erase("test_attack");
  return own;
}

}  // namespace

const std::vector<std::string>& table_names() {
  static const std::vector<std::string> names = {"model", "training", "client", "attack"};
  return names;
}

std::vector<std::pair<std::string, core::Fields>> tables(Settings& s) {
  auto attack = inversion::fields(s.attack);
  core::Choices<std::string> presets;
  for (const auto& preset : inversion::presets()) presets.emplace_back(preset.name, preset.name);
  attack.push_back(core::field("preset", s.preset, "whose settings hold where the others are not given", presets));
  core::Fields client = {
      core::field("checkpoint", s.checkpoint, "whose weights: end, epoch N or step N"),
      nets::mode_field("mode", s.protocol.mode, "how the client evaluates the network"),
      core::field("batch_size", s.protocol.batch_size,
                  "images in the client's batch, or of all clients; the first is reconstructed", 1, 4096),
      core::field("clients", s.protocol.clients,
                  "clients whose average the server sees, each with as many of the images", 1, 4096),
      core::field("share_statistics", s.protocol.share_statistics,
                  "the client shares the new running statistics of batch norm too, in training mode"),
      core::field("share_labels", s.share_labels, "the client shares the labels too"),
      core::field("rounds", s.rounds,
                  "rounds that the client takes part in with the same images; between two the server moves the network "
                  "by what it was sent",
                  1, 256),
      core::field("server_rate", s.server_rate,
                  "learning rate of the server's step between two rounds, on a gradient; a change of the weights is "
                  "taken as it is",
                  0, 1e3),
      sharing::arithmetic_field("arithmetic", s.protocol.arithmetic, "what the client computes and shares in"),
      sharing::mechanisms_field("mechanisms", s.protocol.mechanisms, "what the client does to its update"),
      core::field(
          "bound", s.bound,
          "say what gaussian noise leaves of the image, of up to 1,024 pixels: the bound of unbiased estimates, "
          "and what a normal prior makes of it; seconds an image"),
      core::field("logit_scale", s.logit_scale, "the last layer times this", 1e-6, 1e6)};
  for (const auto& field : sharing::fields(s.protocol.local)) client.push_back(field);
  return {
      {"model",
       {core::field("data", s.data, "data set"), core::field("data_dir", s.data_dir, "where it lies"),
        core::field("net", s.net, "network"),
        core::field("normalise", s.normalise, "standardise in the network's first layer"),
        core::field("weights", s.weights, "weight file of the network, instead of training it"),
        core::field("train_images", s.train_images, "train on so many images, drawn from all; 0 is all", 0, INT64_MAX),
        core::field("test_images", s.test_images, "measure on so many test images, drawn from all; 0 is all", 0,
                    INT64_MAX),
        core::field("judge_images", s.judge_images, "test images attacked at the end", 1, INT64_MAX)}},
      {"training", training::fields(s.training)},
      {"training.attack", evasion::fields(s.training.attack)},
      {"training.test_attack", evasion::fields(s.training.test_attack)},
      {"client", client},
      {"attack", attack}};
}

std::optional<Checkpoint> checkpoint(const std::string& text) {
  const auto space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  Checkpoint found{.kind = text.substr(0, space)};
  const char *begin = text.data() + space + 1, *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, found.number);
  if (error != std::errc() || stop != end || found.number < 0 || (found.kind != "epoch" && found.kind != "step"))
    return std::nullopt;
  return found;
}

Settings read_settings(const Json& document, const fs::path& folder, const std::string& where) {
  Settings settings;
  try {
    const Json attack = table_called(document, "attack", where);
    const Json preset = attack.is_object() ? attack.value("preset", Json()) : Json();
    if (!preset.is_null() && !preset.is_string())
      throw Error(ErrorKind::kUsage, "[attack]: preset: got {}, expected a name", shown(preset));
    if (!preset.is_null()) settings.preset = preset.get<std::string>();
    settings.attack = inversion::preset(settings.preset).attack;
  } catch (Error& error) {
    throw error.add_context(where);
  }
  for (auto& [name, fields] : tables(settings)) {
    Json table = table_called(document, name, where);
    if (table.is_null()) continue;
    core::assign(fields, table, fmt::format("{}: [{}]", where, name));
  }
  without_what_does_not_matter(settings.training);
  for (auto* file : {&settings.weights, &settings.attack.prior}) {
    if (!file->empty()) *file = (folder / *file).lexically_normal().string();
  }
  try {
    training::check(settings.training);
    sharing::require_equal_shares(settings.protocol);
  } catch (Error& error) {
    throw error.add_context(where);
  }
  check_method(settings.training, where);
  check_checkpoint(settings, where);
  check_attack(settings.attack, where);
  return settings;
}

Json client_of(const Settings& s) {
  Json client = {{"mode", nets::to_string(s.protocol.mode)},
                 {"batch_size", s.protocol.batch_size},
                 {"share_labels", s.share_labels},
                 {"arithmetic", sharing::to_string(s.protocol.arithmetic)},
                 {"mechanisms", sharing::to_string(s.protocol.mechanisms)}};
  if (s.protocol.clients > 1) client["clients"] = s.protocol.clients;
  if (s.protocol.share_statistics) client["share_statistics"] = true;
  auto local = s.protocol.local;
  if (s.rounds > 1) client["rounds"] = s.rounds;
  if (s.rounds > 1 && local.epochs == 0) client["server_rate"] = s.server_rate;
  if (s.bound) client["bound"] = true;
  if (local.epochs > 0) client.update(core::to_json(sharing::fields(local)));
  return client;
}

Json to_json(const Settings& settings) {
  Settings copy = settings;
  Json json = Json::object();
  for (auto& [name, fields] : tables(copy)) json.merge_patch(grid::nested(name, core::to_json(fields)));
  return json;
}

Settings settings(const Json& json) {
  Settings s;
  for (auto& [name, fields] : tables(s)) {
    Json table = table_called(json, name, "settings");
    core::assign(fields, table, name);
  }
  return s;
}

}  // namespace pellucid::gradients
