// pellucid invert: reads images back from an update file; with the truth given, scores them.
#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/run_folder.h"
#include "pellucid/core/text.h"
#include "pellucid/data/image_file.h"
#include "pellucid/gradients/metrics.h"
#include "pellucid/inversion/diagnose.h"
#include "pellucid/inversion/engine/tensor_engine.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/inversion/threat_model.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/sharing/formats.h"

#include "cli/network.h"
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <memory>

namespace pellucid::cli {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

// The name of a class where the network or the update has names.
Json class_name(const sharing::Observation& observation, std::int64_t label) {
  const auto& names = observation.network.classes;
  return names.empty() ? Json() : Json(names.at(static_cast<std::size_t>(label)));
}

// "0007.png"
bool is_picture(const fs::path& file) {
  const auto stem = file.stem().string();
  return file.extension() == ".png" && stem.size() >= 4 &&
         std::all_of(stem.begin(), stem.end(), [](char c) { return '0' <= c && c <= '9'; });
}

void remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (error)
    throw Error(ErrorKind::kIo, "{}: cannot remove: {}", core::printable(file.string(), 4096), error.message());
}

struct Invert {
  Common common;
  std::vector<std::string> updates, models;
  std::string truth, out = "runs/invert", chosen_preset;
  std::string preset = inversion::presets().front().name;
  inversion::Attack attack;
  nets::Foreign foreign;
  Settings settings;

  explicit Invert(CLI::App& app) : settings(app) {
    app.add_option(
           "update", updates,
           "update file, as `pellucid capture` writes it; or several, of one client's rounds on the same images")
        ->required()
        ->option_text("UPDATE...");
    app.add_option("--model", models,
                   "weight file of the network that the client was given; once for each update, in the same order")
        ->required()
        ->allow_extra_args(false)
        ->option_text("MODEL");
    settings.add({"",
                  {core::field("out", out,
                               "run folder: result.json, images/*.png in 8 bits, and images.safetensors, the same as "
                               "float32 (images, channels, height, width) "
                               "in [0, 1]"),
                   core::field("truth", truth, "file of the true images, to score by; the attack does not see it")}},
                 "What");
    settings.add({"", cli::fields(foreign)}, "Weights of PyTorch");
    core::Choices<std::string> presets;
    for (const auto& each : inversion::presets()) presets.emplace_back(each.name, each.name);
    auto fields = inversion::fields(attack);
    fields.insert(fields.begin(),
                  core::field("preset", preset, "attack whose settings the others start from", presets));
    settings.add({"attack", fields}, "Attack");
    app.add_option_function<std::string>(
           "--attack",
           [this](const std::string& name) {
             chosen_preset = name;
             attack = inversion::preset(name).attack;
             settings.show_defaults();
           },
           "short for --attack.preset, also before --help")
        ->option_text("NAME")
        ->group("Attack");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    if (chosen_preset.empty()) chosen_preset = settings.given("attack.preset");
    if (chosen_preset.empty()) chosen_preset = preset;
    attack = inversion::preset(chosen_preset).attack;
    settings.apply();
    preset = chosen_preset;
    const core::Run run = make_run(common);
    inversion::check_precision(attack.precision, torch::Device(run.device));
    const auto observation = load_rounds();
    const std::string what = core::printable(fmt::format("{}", fmt::join(updates, ", ")), 4096);
    try {
      inversion::check_applies(observation, attack);
    } catch (Error& error) {
      throw error.add_context(what);
    }
    if (!truth.empty()) static_cast<void>(load_truth(observation));  // that it can be read, and is this update's
    auto inputs = updates;
    inputs.insert(inputs.end(), models.begin(), models.end());
    inputs.push_back(truth);
    for (const auto& input : inputs) {
      if (input.empty() || !same_file(fs::path(out) / kFloats, input)) continue;
      throw Error(ErrorKind::kUsage, "--out: got {}, where {} would be overwritten; name another folder",
                  core::quoted(out, 4096), core::quoted(input, 4096));
    }
    const core::RunFolder folder(out, "invert", core::Workers::kOne);
    const auto reconstruction = inversion::reconstruct(observation, attack, run);
    const auto& chosen = reconstruction.trials[reconstruction.chosen];
    if (!chosen.images.defined()) {
      std::error_code none;
      fs::remove(out, none);  // if it is new, and so empty
      throw Error(ErrorKind::kModel, "{}: no image came out: {}", what, chosen.reason);
    }
    Json result = describe(observation, reconstruction, run);
    save(folder, result, chosen.images);
    std::vector<gradients::Score> scores;
    if (!truth.empty()) {
      try {
        const auto loaded = load_truth(observation);
        result["truth_names_update"] = !loaded.update.empty();
        scores = gradients::score(observation.network, chosen.images, loaded);
      } catch (Error& error) {
        throw error.add_context(fmt::format("{} holds the reconstruction; scoring it", core::printable(out, 4096)));
      }
      for (std::size_t i = 0; i < scores.size(); ++i) {
        result["images"][i]["original"] = scores[i].original;
        result["images"][i].update(gradients::to_json(scores[i]));
      }
      core::write_file(folder.path() / kResult, core::to_text(result));
    }
    if (!print_json(common, result)) print(result, reconstruction.trials.size());
  }

  // The updates, each with its network.
  [[nodiscard]] sharing::Observation load_rounds() const {
    if (updates.size() != models.size()) {
      throw Error(ErrorKind::kUsage, "--model: got {} for {} update{}, expected one for each, in the same order",
                  models.size(), updates.size(), updates.size() == 1 ? "" : "s");
    }
    std::vector<sharing::Observation> rounds;
    for (std::size_t i = 0; i < updates.size(); ++i)
      rounds.push_back(sharing::load_observation(updates[i], cli::load_network(models[i], foreign)));
    return sharing::together(rounds);
  }

  [[nodiscard]] gradients::Truth load_truth(const sharing::Observation& observation) const {
    auto loaded = gradients::load_truth(truth, observation.network.architecture.spec);
    try {
      gradients::check_belongs(loaded, observation);
    } catch (Error& error) {
      throw error.add_context(core::printable(truth, 4096));
    }
    return loaded;
  }

  // The result, but for the scores.
  [[nodiscard]] Json describe(const sharing::Observation& observation, const inversion::Reconstruction& reconstruction,
                              const core::Run& run) const {
    const auto& chosen = reconstruction.trials[reconstruction.chosen];
    const auto read = inversion::label_read(observation);
    const auto* least = inversion::threat_model(observation, attack);
    const auto& labels = chosen.labels;
    Json images = Json::array();
    for (std::size_t i = 0; i < labels.size(); ++i) {
      images.push_back({{"file", (fs::path(out) / fmt::format("images/{:04}.png", i)).string()},
                        {"label", labels[i]},
                        {"class", class_name(observation, labels[i])}});
      if (!chosen.isolated.empty()) images.back()["isolated"] = static_cast<bool>(chosen.isolated[i]);
    }
    return {{"schema", "pellucid.inversion/1"},
            {"environment", core::environment(run.threads)},
            {"observation", sharing::describe(observation)},
            {"rounds", 1 + observation.further.size()},
            {"threat_model", least == nullptr ? Json() : Json(least->name)},
            {"config", settings.resolved()},
            {"status", inversion::to_string(chosen.status)},
            {"reason", chosen.reason},
            {"method", chosen.method},
            {"matching_loss", chosen.matching_loss},
            {"restart", reconstruction.chosen},
            {"gradient_norm", sharing::gradient_norm(observation.update)},
            {"labels", observation.labels.empty() ? "read" : "shared"},
            {"label_read", read ? Json(*read) : Json()},
            {"class_read", read ? class_name(observation, *read) : Json()},
            {"diagnoses", inversion::to_json(inversion::diagnose(observation, attack, reconstruction))},
            {"images", images}};
  }

  // Puts the result in the place of an earlier run's, whose result.json goes first: what lies in the folder is never
  // another run's than its result.json says.
  void save(const core::RunFolder& folder, const Json& result, const Tensor& images) const {
    remove_file(folder.path() / kResult);
    remove_file(folder.path() / kFloats);
    std::error_code none;
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(folder.path() / "images", none)) {
      if (is_picture(entry.path())) old.push_back(entry.path());
    }
    for (const auto& file : old) remove_file(file);
    folder.write_config(settings.resolved());
    for (std::int64_t i = 0; i < images.size(0); ++i) {
      core::write_file(folder.path() / fmt::format("images/{:04}.png", i), data::encode_png(images[i]));
    }
    nets::save_safetensors({.tensors = {{"images", images}}, .metadata = {{"schema", "pellucid.images/1"}}},
                           folder.path() / kFloats);
    core::write_file(folder.path() / kResult, core::to_text(result));
  }

  void print(const Json& result, std::size_t restarts) const {
    say("{}\n", result["observation"].get<std::string>());
    say("matching loss {:.3g} by {} (restart {} of {}, chosen by it), status {}\n",
        result["matching_loss"].get<double>(), result["method"].get<std::string>(),
        result["restart"].get<std::size_t>() + 1, restarts, result["status"].get<std::string>());
    for (const auto& cause : result["diagnoses"]) say("Note: {}\n", cause["sentence"].get<std::string>());
    if (result.contains("truth_names_update") && !result["truth_names_update"].get<bool>()) {
      say("Note: the truth does not say which update it belongs to; the scores hold if it is this one.\n");
    }
    const bool scored = result["images"].at(0).contains("psnr"), apart = result["images"][0].contains("isolated");
    std::vector<std::vector<std::string>> table = {{"image", "class"}};
    if (apart) table[0].emplace_back("isolated");
    if (scored) table[0].insert(table[0].end(), {"original", "PSNR, dB", "SSIM", "MSE"});
    for (const auto& row : result["images"]) {
      const auto number = [&](const char* key, int digits) {
        return row.at(key).is_number() ? fmt::format("{:.{}f}", row.at(key).get<double>(), digits) : "-";
      };
      table.push_back(
          {core::printable(row["file"].get<std::string>(), 4096),
           row["class"].is_null() ? row["label"].dump() : core::printable(row["class"].get<std::string>(), 24)});
      if (apart) table.back().emplace_back(row["isolated"].get<bool>() ? "yes" : "no");
      if (scored)
        table.back().insert(table.back().end(), {row["original"].dump(), number("psnr", 2), number("ssim", 3),
                                                 fmt::format("{:.2e}", row["mse"].get<double>())});
    }
    print_table(table, scored ? Columns::kNumbers : Columns::kText);
  }

  static constexpr const char* kResult = "result.json";
  static constexpr const char* kFloats = "images.safetensors";
};

}  // namespace

void add_invert(CLI::App& app) {
  auto* verb = app.add_subcommand("invert", "Reads images back from an update; with the truth given, scores them");
  auto invert = std::make_shared<Invert>(*verb);
  verb->callback([invert] { invert->run(); });
}

}  // namespace pellucid::cli
