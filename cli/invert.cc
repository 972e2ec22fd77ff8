// pellucid invert: reads images back from an update file; with the truth given, scores them.
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/file.h"
#include "pellucid/data/image_file.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/nets/weights.h"
#include "pellucid/study/score.h"

#include <memory>

namespace pellucid::cli {
namespace {

struct Invert {
  Common common;
  std::string update, model, truth, out = "runs/invert", attack;
  inversion::InversionOptions options;
  Settings settings;

  explicit Invert(CLI::App& app) : settings(app) {
    app.add_option("update", update, "update file, as `pellucid capture` writes it")->required()->option_text("UPDATE");
    app.add_option("--model", model, "weight file of the network that the client was given")->required()->option_text("MODEL");
    app.add_option("--attack", attack, "preset that the settings below start from: residual or ig [residual]")->option_text("NAME");
    settings.add({"",
                  {core::field("out", out, "folder for the images and result.json"),
                   core::field("truth", truth, "file of the true images, to score by; the attack does not see it")}},
                 "What");
    settings.add({"", inversion::fields(options)}, "Attack");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    options = inversion::preset(attack.empty() ? inversion::presets().front().name : attack).options;
    settings.apply();
    const core::Run run = make_run(common);
    const auto network = nets::load_network(model);
    const auto observation = sharing::load_observation(update, network);
    const auto reconstruction = inversion::reconstruct(observation, options, run);
    const auto& chosen = reconstruction.trials[reconstruction.chosen];

    core::Json images = core::Json::array();
    std::vector<study::Score> scores;
    if (chosen.images.defined()) {
      if (!truth.empty()) scores = study::score(network, chosen.images, study::load_truth(truth, network.architecture.spec));
      for (std::int64_t i = 0; i < chosen.images.size(0); ++i) {
        const auto file = std::filesystem::path(out) / fmt::format("images/{:04}.png", i);
        core::write_file(file, data::encode_png(chosen.images[i]));
        core::Json row = {{"file", file.string()}};
        if (!scores.empty()) row.update(study::to_json(scores[i]));
        images.push_back(row);
      }
    }
    const core::Json result = {{"schema", "pellucid.inversion/1"},
                               {"environment", core::environment(run.threads)},
                               {"observation", sharing::describe(observation)},
                               {"config", settings.resolved()},
                               {"status", inversion::to_string(chosen.status)},
                               {"reason", chosen.reason},
                               {"method", chosen.method},
                               {"matching_loss", chosen.matching_loss},
                               {"restart", reconstruction.chosen},
                               {"gradient_norm", sharing::gradient_norm(observation.update)},
                               {"diagnoses", inversion::to_json(inversion::diagnose(observation, options, reconstruction))},
                               {"images", images}};
    core::write_file(std::filesystem::path(out) / "result.json", core::to_text(result));
    if (print_json(common, result)) return;
    fmt::print("{}\n", result["observation"].get<std::string>());
    fmt::print("matching loss {:.3g} by {} ({} of {} restarts chosen by it), status {}\n", chosen.matching_loss, chosen.method,
               reconstruction.chosen + 1, reconstruction.trials.size(), result["status"].get<std::string>());
    for (const auto& cause : result["diagnoses"]) fmt::print("Note: {}\n", cause["sentence"].get<std::string>());
    std::vector<std::vector<std::string>> table = {{"image", "PSNR, dB", "SSIM", "MSE"}};
    for (std::size_t i = 0; i < images.size(); ++i) {
      if (scores.empty()) {
        fmt::print("{}\n", images[i]["file"].get<std::string>());
      } else {
        table.push_back({images[i]["file"], fmt::format("{:.2f}", scores[i].psnr), fmt::format("{:.3f}", scores[i].ssim), fmt::format("{:.2e}", scores[i].mse)});
      }
    }
    if (!scores.empty()) print_table(table);
  }
};

}  // namespace

void add_invert(CLI::App& app) {
  auto* verb = app.add_subcommand("invert", "Reads images back from an update; with the truth given, scores them");
  auto invert = std::make_shared<Invert>(*verb);
  verb->callback([invert] { invert->run(); });
}

}  // namespace pellucid::cli
