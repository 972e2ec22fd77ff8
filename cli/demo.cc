// pellucid demo: the whole story on this machine, to a report. A study like any other: studies/grids/demo.toml.
#include "pellucid/data/catalog.h"

#include "cli/study.h"
#include "cli/verbs.h"

#include <memory>

namespace pellucid::cli {
namespace {

using core::Json;

// "KEY = VALUE" in TOML: its numbers and texts are written as those of JSON.
std::string assignment(const std::string& key, const Json& value) {
  return fmt::format("{} = {}", key, value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

bool names_data(const Json& document) {
  const Json model = document.value("model", Json::object());
  return model.contains("data") || model.contains("data_dir");
}

struct Demo {
  std::string data, data_dir;
  std::int64_t images = 0, seed = 0;
  bool pretrained = false;
  StudyFlags flags;
  Settings settings;

  explicit Demo(CLI::App& app) : settings(app, /*takes_config=*/false) {
    settings.add(
        {"",
         {core::field("pretrained", pretrained, "use the models that come with Pellucid (MNIST) instead of training"),
          core::field("data", data, "data set; none is MNIST where it is found, else the built-in patterns"),
          core::field("data_dir", data_dir,
                      "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
          core::field("images", images, "test images to reconstruct, a stratified sample; 0 is as the scale has it", 0,
                      100000),
          core::field("seed", seed, "seed of the trainings, the start noise and the judging attack", 0, INT64_MAX)}},
        "What");
    add_flags(app, settings, flags,
              "smoke (a minute, no figure means anything), laptop (minutes on two cores) or mnist-16 (16 images "
              "of MNIST, larger budgets)",
              "run folder; a demo that was interrupted there goes on; none is runs/demo, with --pretrained "
              "runs/demo-pretrained");
  }

  // What the flags say, under what --set says.
  [[nodiscard]] std::vector<std::string> changes() const {
    std::vector<std::string> list;
    if (!data.empty()) list.push_back(assignment("model.data", data));
    if (!data_dir.empty()) list.push_back(assignment("model.data_dir", data_dir));
    if (images > 0) list.push_back(assignment("images", images));
    if (seed > 0) list.insert(list.end(), {assignment("training.seed", seed), assignment("attack.seed", seed)});
    list.insert(list.end(), flags.changes.begin(), flags.changes.end());
    for (auto& change : settings.changes()) list.push_back(std::move(change));
    return list;
  }

  void run() {
    settings.apply();
    const auto file = study_file(pretrained ? "demo-pretrained" : "demo");
    auto list = changes();
    gradients::System system;
    auto study = grid::read_study(system, file, flags.scale, list);
    // What is named is taken as it is; where nothing is, and there is no MNIST, patterns are drawn.
    if (!names_data(study.document) && !data::available("mnist")) {
      list.push_back(assignment("model.data", "patterns"));
      study = grid::read_study(system, file, flags.scale, list);
    }
    if (flags.out.empty()) flags.out = "runs/" + study.name;
    run_study(study, system, flags, "demo");
  }
};

}  // namespace

void add_demo(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "demo", "The whole story in minutes: trains both models, reconstructs images, writes a report");
  auto demo = std::make_shared<Demo>(*verb);
  verb->callback([demo] { demo->run(); });
}

}  // namespace pellucid::cli
