// pellucid study: a grid of trainings and attacks, to a report.
#include "cli/study.h"

#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/processes.h"
#include "pellucid/core/progress.h"
#include "pellucid/core/text.h"
#include "pellucid/grid/run.h"
#include "pellucid/report/html.h"

#include "cli/verbs.h"

#include <algorithm>
#include <memory>
#include <set>

namespace pellucid::cli {
namespace {

namespace fs = std::filesystem;
using core::Json;

// Where the studies that come with Pellucid lie: beside an installed program, or in the tree that it was built from.
fs::path grids() {
  std::error_code none;
  const auto installed =
      fs::read_symlink("/proc/self/exe", none).parent_path().parent_path() / PELLUCID_SHARE / "studies/grids";
  return fs::is_directory(installed, none) ? installed : fs::path(PELLUCID_STUDIES "/grids");
}

// The studies that come with Pellucid, by name.
std::vector<std::string> studies() {
  std::vector<std::string> names;
  std::error_code none;  // a program that was moved away from its studies still runs files
  for (const auto& entry : fs::directory_iterator(grids(), none)) {
    const auto stem = entry.path().stem().string();
    if (entry.path().extension() == ".toml" && stem != "base") names.push_back(stem);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string interval(const Json& value, int digits = 1) {
  if (value.is_null()) return "none";
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", value["value"].get<double>(), digits, value["low"].get<double>(),
                     digits, value["high"].get<double>(), digits);
}

// The metrics that a table in a terminal has room for: those with fixed decimals.
std::vector<Json> shown_metrics(const Json& result) {
  std::vector<Json> list;
  for (const auto& m : result["metrics"]) {
    if (m["main"] && m["digits"] >= 0) list.push_back(m);
  }
  return list;
}

std::string heading(const Json& metric) {
  const auto label = metric["label"].get<std::string>(), unit = metric["unit"].get<std::string>();
  return unit.empty() ? label : fmt::format("{}, {}", label, unit);
}

void print_groups(const Json& result) {
  const auto metrics = shown_metrics(result);
  const auto has = [&](const char* key) { return result["groups"][0].contains(key); };
  const bool pooled = has("psnr_of_mean_error"), accuracies = has("natural");
  std::vector<std::vector<std::string>> rows = {{""}};
  for (const auto& m : metrics) {
    rows[0].push_back(heading(m));
    if (pooled && m == metrics.front()) rows[0].push_back("of the mean error");
  }
  if (accuracies) rows[0].insert(rows[0].end(), {"natural", "under attack"});
  rows[0].push_back("failed");
  for (const auto& group : result["groups"]) {
    std::vector<std::string> row = {group["label"]};
    for (const auto& m : metrics) {
      row.push_back(interval(group["metrics"][m["key"].get<std::string>()]["mean"], m["digits"]));
      if (pooled && m == metrics.front()) row.push_back(interval(group["psnr_of_mean_error"], m["digits"]));
    }
    for (const char* kind : {"natural", "robust"}) {
      if (accuracies) row.push_back(group[kind].is_null() ? "" : percent(group[kind]));
    }
    row.push_back(fmt::format("{} of {}", group["failed"].get<std::int64_t>(), group["cells"].get<std::int64_t>()));
    rows.push_back(std::move(row));
  }
  print_table(rows);
}

// The difference at an equal covariate, with how many pairs overlap; what is extrapolated or left out says so.
std::string at_equal(const Json& value) {
  if (value.is_null()) return "";
  const auto note = value["note"].get<std::string>();
  const auto overlap =
      fmt::format("{} of {} overlap", value["overlap"].get<std::int64_t>(), value["pairs"].get<std::int64_t>());
  if (value["value"].is_null()) return fmt::format("none: {}", overlap);
  return fmt::format("{} ({}{})", interval(value), note.empty() ? "" : "extrapolated, ", overlap);
}

void print_contrasts(const Json& result) {
  if (result["contrasts"].empty()) return;
  const auto has = [&](const std::string& key) { return result["contrasts"][0].contains(key); };
  const auto metrics = shown_metrics(result);
  const int digits = metrics.empty() ? 3 : metrics.front()["digits"].get<int>();
  std::vector<std::vector<std::string>> rows = {{"difference", heading(result["metrics"][0])}};
  auto& names = rows[0];
  if (has("of_mean_error")) names.push_back("of the mean error");
  for (const auto& m : metrics) {
    if (has(m["key"])) names.push_back(heading(m));
  }
  names.insert(names.end(),
               {"p, Holm", "effect", fmt::format("{}s needed", result["words"]["item"].get<std::string>())});
  if (has("loss_ratio")) names.push_back("loss, ratio");
  if (has("at_equal_loss")) names.push_back("at equal loss");
  if (has("at_equal_margin")) names.push_back("at equal margin");
  for (const auto& c : result["contrasts"]) {
    const auto number = [](const Json& x, const char* format) {
      return x.is_null() ? std::string() : fmt::format(fmt::runtime(format), x.get<double>());
    };
    std::vector<std::string> row = {c["label"], interval(c["difference"], digits)};
    if (has("of_mean_error")) row.push_back(interval(c["of_mean_error"], digits));
    for (const auto& m : metrics) {
      const auto key = m["key"].get<std::string>();
      if (has(key)) row.push_back(interval(c[key], m["digits"]));
    }
    row.insert(row.end(), {number(c["p_holm"], "{:.3g}"), number(c["effect"], "{:+.2f}"),
                           c["needed"].is_null() ? "" : c["needed"].dump()});
    if (has("loss_ratio")) row.push_back(interval(c["loss_ratio"], 2));
    for (const char* key : {"at_equal_loss", "at_equal_margin"}) {
      if (has(key)) row.push_back(at_equal(c[key]));
    }
    rows.push_back(std::move(row));
  }
  say("\n");
  print_table(rows);
}

void print_study(const Json& result) {
  end_progress();
  if (result["groups"].empty()) {
    std::vector<std::vector<std::string>> rows = {{"", "natural", "under attack"}};
    for (const auto& t : result["trainings"]) {
      const bool ok = t["status"] == "ok";
      rows.push_back({t["label"], ok ? percent(t["natural"]) : "failed",
                      ok ? percent(t["robust"]) : t["reason"].get<std::string>()});
    }
    print_table(rows);
  } else {
    print_groups(result);
    print_contrasts(result);
  }
  say("\n");
  for (const auto& control : result["controls"]) {
    say("control, {}{}: {}\n", control["kind"].get<std::string>(),
        control["attack"] == "" ? "" : ", " + control["attack"].get<std::string>(),
        control["sentence"].get<std::string>());
  }
  say("\n{}\n", bold(result["headline"].get<std::string>()));
  for (const auto& sentence : result["summary"]) say("{}\n", sentence.get<std::string>());
  for (const auto& warning : result["warnings"]) say("\nNote: {}\n", warning.get<std::string>());
}

Json to_json(const grid::Outline& outline) {
  const auto list = [](const std::vector<grid::Outline::Part>& items) {
    Json rows = Json::array();
    for (const auto& i : items)
      rows.push_back({{"id", i.id}, {"name", i.name}, {"done", i.done}, {"total", i.total}, {"seconds", i.seconds}});
    return rows;
  };
  return {{"trainings", list(outline.subjects)}, {"readings", list(outline.readings)}};
}

void print(const grid::Outline& outline) {
  double seconds = 0;
  std::vector<std::vector<std::string>> rows = {{"what", "done", "of", "still, about"}};
  const auto add = [&](const std::vector<grid::Outline::Part>& items, const char* kind) {
    for (const auto& i : items) {
      seconds += i.seconds;
      rows.push_back({fmt::format("{} {}", kind, core::printable(i.name)), fmt::format("{}", i.done),
                      fmt::format("{}", i.total), i.done == i.total ? "" : core::format_duration(i.seconds)});
    }
  };
  add(outline.subjects, "train");
  add(outline.readings, "read back");
  print_table(rows);
  say("\nAbout {} on this machine with nothing beside it; controls and what is measured between epochs come on top.\n",
      core::format_duration(seconds));
}

struct StudyVerb {
  std::string name;
  StudyFlags flags;
  Settings settings;

  explicit StudyVerb(CLI::App& app) : settings(app, /*takes_config=*/false) {
    app.add_option("study", name, fmt::format("{}; or a file *.toml", fmt::join(studies(), ", ")))
        ->required()
        ->option_text("STUDY");
    add_flags(app, settings, flags,
              "smoke (seconds, no figure means anything), laptop (two cores, half an hour), cifar (the same on "
              "CIFAR-10) or paper (a GPU); "
              "none is the file as it is",
              "run folder; a study that was interrupted there goes on; none is runs/NAME-SCALE");
    core::Fields own;
    for (auto& field : grid::fields(flags.study, gradients::System())) {
      if (field.name != "title" && field.name != "question") own.push_back(std::move(field));
    }
    settings.add({"", own, /*recorded=*/false, /*change=*/true}, "What");
  }

  void run() {
    settings.apply();
    for (auto& change : settings.changes()) flags.changes.push_back(std::move(change));
    gradients::System system;
    const auto study = grid::read_study(system, study_file(name), flags.scale, flags.changes);
    if (flags.out.empty()) flags.out = "runs/" + study.name + (study.scale.empty() ? "" : "-" + study.scale);
    run_study(study, system, flags, "study");
  }
};

}  // namespace

void add_flags(CLI::App& app, Settings& settings, StudyFlags& flags, const std::string& scales,
               const std::string& out) {
  app.add_option("--set", flags.changes,
                 "changes a key of the study, as in its file: --set seeds=2; --set training.epochs=2 is "
                 "--training.epochs 2")
      ->option_text("KEY=VALUE")
      ->group("What")
      ->allow_extra_args(false);
  settings.add(
      {"",
       {core::field("scale", flags.scale, scales), core::field("out", flags.out, out),
        core::field("trained", flags.trained,
                    "folder of the trained networks, which studies share; none is trained/ beside the run folder"),
        core::field("dry_run", flags.dry_run,
                    "say what is done and what is still to do, and about how long it takes; change nothing")}},
      "What");
  settings.add({"", cli::fields(flags.common), /*recorded=*/false}, "Common");
  for (auto& [table, fields] : gradients::tables(flags.tables))
    settings.add({table, fields, /*recorded=*/false, /*change=*/true},
                 fmt::format("[{}], where other than the study's file; defaults if that says nothing", table));
}

fs::path study_file(const std::string& name) {
  if (name.ends_with(".toml")) return name;
  const auto names = studies();
  if (std::find(names.begin(), names.end(), name) != names.end()) return grids() / (name + ".toml");
  throw core::Error(core::ErrorKind::kUsage, "study: got {}, expected {} or a file *.toml{}", core::quoted(name),
                    core::join_choices(names), core::suggestion(name, names));
}

void run_study(const grid::Study& study, grid::System& system, const StudyFlags& flags, const std::string& verb) {
  grid::Folders folders{.run = fs::path(flags.out).lexically_normal(), .shared = flags.trained};
  if (!folders.run.has_filename()) folders.run = folders.run.parent_path();  // out/ is out
  if (flags.trained.empty()) folders.shared = folders.run.parent_path() / "trained";
  core::Run run = make_run(flags.common, /*lines=*/true);
  if (flags.dry_run) {
    const auto outline = grid::outline(study, system, folders, run);
    if (!print_json(flags.common, to_json(outline))) print(outline);
    return;
  }
  const auto processes = core::Processes::from_environment(torch::Device(run.device));
  if (!processes.first()) run.progress = {};
  const auto warn = [&](const std::string& sentence) {  // what was damaged is said with --quiet too
    end_progress();
    remark("pellucid {}: {}\n", verb, core::printable(sentence, 400));
  };
  const grid::Peers peers{.first = processes.first(),
                          .count = processes.count(),
                          .claim = [&](const std::string& name) { return processes.claim(name); },
                          .wait_for_all = [&] { (void)processes.sum(torch::zeros({1})); }};
  const Json result = grid::run_study(study, system, folders, run, core::environment(run.threads), peers, warn);
  if (!processes.first()) return;
  const auto page = report::write_report(folders.run);
  if (print_json(flags.common, result)) return;
  print_study(result);
  say("\n{}\n", page.string());
}

void add_study(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "study", "Runs a grid of trainings and attacks, resumable and shared between processes, to a report");
  auto study = std::make_shared<StudyVerb>(*verb);
  verb->callback([study] { study->run(); });
}

}  // namespace pellucid::cli
