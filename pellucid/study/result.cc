#include "pellucid/study/result.h"

#include "pellucid/core/environment.h"
#include "pellucid/core/file.h"
#include "pellucid/data/image_file.h"
#include "pellucid/evasion/accuracy.h"
#include "pellucid/study/controls.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace pellucid::study {
namespace {

using core::Json;

constexpr int kResultVersion = 8;  // of what is made of the cells: a new one where old results must not stand

// The levels that a training goes with: those of the axes along which it does not serve several groups.
Json levels_of(const Study& study, const Parts& parts, std::size_t training) {
  Json levels = Json::object();
  for (std::size_t a = 0; a < study.axes.size(); ++a) {
    std::set<std::size_t> taken;
    for (const auto& block : parts.blocks) {
      if (block.training == training) taken.insert(study.groups[block.group].levels[a]);
    }
    if (study.axes[a].levels.size() > 1 && taken.size() == 1)
      levels[study.axes[a].name] = study.axes[a].levels[*taken.begin()].label;
  }
  return levels;
}

std::string label_of(const Study& study, const Parts& parts, std::size_t training) {
  const Json levels = levels_of(study, parts, training);
  std::vector<std::string> names;
  for (const auto& axis : study.axes) {
    if (levels.contains(axis.name)) names.push_back(name_of(axis, levels[axis.name]));
  }
  names.push_back(fmt::format("seed {}", parts.trainings[training].seed));
  return fmt::format("{}", fmt::join(names, ", "));
}

Json training_rows(const Study& study, const Finished& finished) {
  const auto& parts = finished.parts;
  Json rows = Json::array();
  for (std::size_t t = 0; t < parts.trainings.size(); ++t) {
    const auto& training = parts.trainings[t];
    Json row = {{"id", training.id},    {"label", label_of(study, parts, t)},
                {"levels", levels_of(study, parts, t)}, {"seed", training.seed},
                {"natural", Json()},    {"robust", Json()},
                {"robust_attack", ""},  {"description", ""},
                {"parameters", Json()}, {"architecture", training.settings.net},
                {"kept_epoch", Json()}, {"curve", Json()}};
    row.update(finished.networks[t]);
    row.erase("fingerprint");
    if (training.settings.checkpoint != "end") row["curve"] = Json();  // it is the end's
    rows.push_back(std::move(row));
  }
  return rows;
}

// The mean over a group's trainings. They are measured on the same test images, so the interval is that of one of them,
// about the mean: it knows of the choice of the images, not of the trainings' differences.
Json accuracy(const Finished& finished, std::size_t group, const char* kind) {
  std::int64_t correct = 0, n = 0, trainings = 0;
  for (const auto& block : finished.parts.blocks) {
    const Json& network = finished.networks[block.training];
    if (block.group != group || network["status"] != "ok") continue;
    correct += network[kind]["correct"].get<std::int64_t>();
    n += network[kind]["n"].get<std::int64_t>();
    ++trainings;
  }
  if (n == 0) return {};
  const auto round = [&](std::int64_t total) {
    return std::llround(static_cast<double>(total) / static_cast<double>(trainings));
  };
  return evasion::to_json(evasion::Accuracy{round(correct), round(n)});
}

// The images of one data set, sorted by the first group's score on them: one order for all columns.
Json gallery_of(const Study& study, const Finished& finished, std::size_t first_group, Datasets& datasets) {
  const auto& settings = study.groups[first_group].settings;
  const auto& identity = datasets.identity(settings);
  struct Row {
    std::int64_t image;
    double score;
    std::vector<const Cell*> cells;
  };
  std::vector<Row> rows;
  for (std::int64_t i = 0; i < study.images; ++i) rows.push_back({datasets.drawn(settings, study.first_image + i), -1e9, {}});
  for (const auto& cell : finished.cells) {
    if (cell.seed != 0 || datasets.identity(study.groups[cell.group].settings) != identity) continue;
    auto& row = rows[static_cast<std::size_t>(cell.place)];
    row.cells.push_back(&cell);
    if (cell.group == first_group && !nothing_came_out(cell)) row.score = cell.result["psnr"];
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.score > b.score; });
  const auto& set = datasets.all_test(settings);
  const auto shown = std::min<std::size_t>(rows.size(), static_cast<std::size_t>(study.gallery));
  Json list = Json::array();
  for (std::size_t k = 0; k < shown; ++k) {  // from the best to the worst, evenly
    const auto& row = rows[shown == 1 ? 0 : k * (rows.size() - 1) / (shown - 1)];
    Json readings = Json::array();
    for (const Cell* cell : row.cells) {
      const auto get = [&](const char* key) { return cell->result.contains(key) ? cell->result[key] : Json(); };
      readings.push_back({{"group", cell->group},
                          {"cell", cell->name},
                          {"psnr", get("psnr")},
                          {"ssim", get("ssim")},
                          {"png", get("png")},
                          {"status", cell->result["status"]}});
    }
    list.push_back({{"image", row.image},
                    {"class", set.classes[static_cast<std::size_t>(set.labels[row.image].item<std::int64_t>())]},
                    {"original", core::base64(data::encode_png(set.images[row.image]))},
                    {"readings", readings}});
  }
  return list;
}

// The first group of each data set.
std::vector<std::size_t> by_data(const Study& study, Datasets& datasets) {
  std::vector<std::size_t> first;
  std::set<std::string> seen;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    if (seen.insert(datasets.identity(study.groups[g].settings)).second) first.push_back(g);
  }
  return first;
}

Json gallery(const Study& study, const Finished& finished, Datasets& datasets) {
  Json list = Json::array();
  if (study.gallery == 0 || study.images == 0) return list;
  for (const auto group : by_data(study, datasets)) {
    for (auto& row : gallery_of(study, finished, group, datasets)) list.push_back(std::move(row));
  }
  return list;
}

// One object; where a study has several data sets, one that lists them.
Json data_row(const Study& study, Datasets& datasets) {
  Json rows = Json::array();
  for (const auto group : by_data(study, datasets)) {
    const auto& settings = study.groups[group].settings;
    const auto &train = datasets.train(settings), &test = datasets.test(settings);
    // Of a path the last part: a report is passed on, and whose folder it was is nobody's business.
    rows.push_back({{"name", test.name},
                    {"source", std::filesystem::path(test.source).filename().string()},
                    {"train_images", train.size()},
                    {"test_images", test.size()},
                    {"note", ""}});
  }
  if (rows.size() == 1) return rows.front();
  Json all = Json::object();
  for (auto& row : rows) all[row["name"].get<std::string>()] = row;
  return all;
}

Json cell_rows(const std::vector<Cell>& cells) {
  Json rows = Json::array();
  for (const auto& cell : cells) {
    Json row = {{"cell", cell.name}, {"group", cell.group}, {"seed", cell.seed}, {"image", cell.image}};
    const auto& r = cell.result;
    for (const char* key :
         {"label", "status", "reason", "psnr", "gain", "guess_psnr", "ssim", "mse", "fmse_logits", "fmse_features",
          "oracle_psnr", "matching_loss", "margin", "p_true", "gradient_norm", "restart", "restarts"}) {
      row[key] = r.contains(key) ? r[key] : Json();
    }
    row["diagnoses"] = Json::array();
    if (r.contains("diagnoses")) {
      for (const auto& d : r["diagnoses"]) row["diagnoses"].push_back(d["code"]);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json axis_rows(const Study& study) {
  Json rows = Json::array();
  for (const auto& axis : study.axes) {
    Json levels = Json::array();
    for (const auto& level : axis.levels)
      levels.push_back({{"label", level.label}, {"x", level.x ? Json(*level.x) : Json()}});
    rows.push_back({{"name", axis.name}, {"title", axis.title}, {"levels", levels}});
  }
  return rows;
}

std::string modes(const Study& study) {
  const auto training = std::count_if(study.groups.begin(), study.groups.end(),
                                      [](const Group& g) { return g.settings.mode == nets::Mode::kTraining; });
  if (training == 0) return "evaluation mode";
  return training == static_cast<std::ptrdiff_t>(study.groups.size())
             ? "training mode"
             : "evaluation or training mode, as the group's settings say";
}

// The share of the commonest class: what one answers correctly without looking.
double commonest(const Settings& settings, Datasets& datasets) {
  const Tensor labels = datasets.test(settings).labels;
  return torch::bincount(labels).max().item<double>() / static_cast<double>(labels.numel());
}

// Trainings whose network does no better than always predicting the commonest class.
std::vector<std::size_t> untaught(const Finished& finished, Datasets& datasets) {
  std::vector<std::size_t> found;
  for (std::size_t t = 0; t < finished.networks.size(); ++t) {
    const Json& network = finished.networks[t];
    const Settings& settings = finished.parts.trainings[t].settings;
    if (network["status"] != "ok" || settings.checkpoint != "end") continue;
    if (network["natural"]["low"].get<double>() <= commonest(settings, datasets)) found.push_back(t);
  }
  return found;
}

// Trainings against an attack at least as strong as the judge's whose network under attack is right less than half as
// often.
std::vector<std::size_t> not_robust(const Finished& finished) {
  std::vector<std::size_t> found;
  for (std::size_t t = 0; t < finished.networks.size(); ++t) {
    const Json& network = finished.networks[t];
    const Settings& s = finished.parts.trainings[t].settings;
    if (network["status"] != "ok" || s.checkpoint != "end" || !s.weights.empty() ||
        s.training.method == training::Method::kStandard)
      continue;
    if (s.training.attack.epsilon.value < s.training.test_attack.epsilon.value) continue;
    if (network["robust"]["value"].get<double>() < network["natural"]["value"].get<double>() / 2) found.push_back(t);
  }
  return found;
}

std::set<std::size_t> groups_of(const Parts& parts, const std::vector<std::size_t>& trainings) {
  std::set<std::size_t> groups;
  for (const auto& block : parts.blocks) {
    if (std::find(trainings.begin(), trainings.end(), block.training) != trainings.end()) groups.insert(block.group);
  }
  return groups;
}

Json warnings(const Study& study, const Finished& finished, const std::vector<std::size_t>& untaught) {
  Json list = Json::array();
  for (const auto t : untaught) {
    list.push_back(fmt::format("{}: this network learnt nothing ({:.2f} % natural, no better than always predicting the "
                               "commonest class); reconstructions from it say nothing about trained ones.",
                               label_of(study, finished.parts, t),
                               100 * finished.networks[t]["natural"]["value"].get<double>()));
  }
  for (const auto t : not_robust(finished)) {
    if (std::find(untaught.begin(), untaught.end(), t) != untaught.end()) continue;
    list.push_back(fmt::format(
        "{}: this network is right on {:.1f} % of the images under attack and on {:.1f} % without: it is not robust, "
        "and what is "
        "compared with it says nothing about robustness. Train it longer, or with more iterations of the inner attack.",
        label_of(study, finished.parts, t), 100 * finished.networks[t]["robust"]["value"].get<double>(),
        100 * finished.networks[t]["natural"]["value"].get<double>()));
  }
  std::vector<std::string> weak;  // of the network controls, of which there may be many
  for (const auto& control : finished.controls) {
    const auto kind = control["kind"].get<std::string>(), attack = control["attack"].get<std::string>();
    if (kind == "guess" || control["passed"] == true) continue;
    if (kind == "network" && control["passed"] == false) {
      weak.push_back(fmt::format("{}{}", attack, control["value"].is_null() ? "" : fmt::format(": {:.1f} dB", control["value"].get<double>())));
      continue;
    }
    list.push_back(fmt::format("The {} control of {} {}. {}", kind, attack,
                               control["passed"] == false ? "failed" : "could not be run, so nothing vouches for the attack",
                               control["sentence"].get<std::string>()));
  }
  if (!weak.empty()) {
    list.push_back(fmt::format("At the study's own budget the positive control on the untrained network fails ({}): there a low "
                               "score is no evidence of privacy.",
                               fmt::join(weak, "; ")));
  }
  const auto failed = std::count_if(finished.cells.begin(), finished.cells.end(), nothing_came_out);
  if (failed > 0)
    list.push_back(fmt::format("Nothing came out of {} of {} cells; the table of all cells says why.", failed,
                               finished.cells.size()));
  if (study.scale == "smoke") list.push_back("This is the smoke scale: everything runs, and no figure means anything.");
  return list;
}

// Where no image is reconstructed: what the networks can do. The headline has the least and the most robust group, the
// summary all of them.
struct Words {
  std::string headline;
  Json summary = Json::array();
};

Words words_of_trainings(const Study& study, const Finished& finished) {
  Words words;
  std::map<double, std::size_t> by_robustness;
  const auto percent = [&](std::size_t g, const char* kind) {
    return 100 * accuracy(finished, g, kind)["value"].get<double>();
  };
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const auto name = describe(study, study.groups[g]);
    if (accuracy(finished, g, "natural").is_null()) {
      words.summary.push_back(fmt::format("{}: no training succeeded.", name));
      continue;
    }
    by_robustness.emplace(percent(g, "robust"), g);
    words.summary.push_back(fmt::format("{}{}{:.1f} % natural, {:.1f} % under {}.", name, name.empty() ? "" : ": ",
                                        percent(g, "natural"), percent(g, "robust"),
                                        evasion::describe(study.groups[g].settings.training.test_attack)));
  }
  if (by_robustness.empty()) {
    words.headline = "No training succeeded.";
    return words;
  }
  const auto shown = [&](std::size_t g) {
    return fmt::format("{} {:.1f} % ({:.1f} % natural)", describe(study, study.groups[g]), percent(g, "robust"), percent(g, "natural"));
  };
  const auto least = by_robustness.begin()->second, most = by_robustness.rbegin()->second;
  words.headline = fmt::format("Accuracy under attack: {}{}{}; {} training{} each.", shown(least), least == most ? "" : ", ",
                               least == most ? "" : shown(most), study.seeds, study.seeds == 1 ? "" : "s");
  return words;
}

Words words(const Study& study, const Finished& finished, const Json& analysis) {
  if (study.images == 0) return words_of_trainings(study, finished);
  Words words{.headline = analysis["headline"], .summary = analysis["summary"]};
  if (analysis["main_contrast"].is_null()) return words;
  // What the attack of the headline can do at this budget on this network stands next to what it did.
  const auto group = analysis["contrasts"][analysis["main_contrast"].get<std::size_t>()]["group"].get<std::size_t>();
  const auto attack = attack_name(study, study.groups[group].settings);
  for (const auto& control : finished.controls) {
    if (control["kind"] == "network" && control["attack"] == attack) words.summary.push_back(control["sentence"]);
  }
  return words;
}

// How the scores are taken, for the reader.
Json conventions(const Study& study) {
  return {
      "PSNR: pixels clamped to [0, 1], peak 1, for each image, then averaged; \"of the mean error\": the PSNR of the "
      "images' mean "
      "MSE, which the worst images decide.",
      "SSIM: Wang et al. 2004, Gaussian window 11x11 of deviation 1.5, on [0, 1].",
      "FMSE (logits): mean squared difference of the logits, as the published code has it; FMSE (features): of what "
      "the last "
      "layer takes.",
      "Intervals: 95 %, over images and training seeds (percentiles of a bootstrap that resamples both; with one seed "
      "BCa over "
      "images). With two or three seeds they are somewhat narrow. Accuracies: Clopper-Pearson; a group's is its "
      "trainings' mean, "
      "with the interval that one test set of that accuracy has.",
      "The restart is chosen by the lowest matching loss, which the attacker sees; the oracle's choice, by PSNR, is "
      "another column.",
      fmt::format("Updates are computed in float32 by the framework's cross-entropy, in {}, one image each; labels are "
                  "not shared.",
                  modes(study))};
}

// The settings of a group. Of a weight file only the name: whose folder it is in is nobody's business.
Json settings_of(const Group& group) {
  Json settings = to_json(group.settings);
  settings["model"]["weights"] = std::filesystem::path(group.settings.weights).filename().string();
  return settings;
}

}  // namespace

std::string inputs(const Study& study, const Finished& finished) {
  Json results = Json::array();  // the name says what was computed; the score whether it came out the same
  for (const auto& cell : finished.cells)
    results.push_back({cell.name, cell.result["status"], cell.result.value("psnr", Json())});
  return core::sha256(Json{kResultVersion, study.name, study.scale, study.document, study.published, finished.networks,
                           finished.controls, results}
                          .dump());
}

Json result_of(const Study& study, const Finished& finished, Datasets& datasets, const Json& environment) {
  const auto nothing = untaught(finished, datasets);
  Json parts = analyse(study, finished.cells, groups_of(finished.parts, nothing));
  for (auto& group : parts["groups"]) {
    for (const char* kind : {"natural", "robust"}) group[kind] = accuracy(finished, group["id"], kind);
  }
  const auto [headline, summary] = words(study, finished, parts);
  Json settings = Json::object();
  for (const auto& group : study.groups) {
    const auto name = describe(study, group);
    settings[name.empty() ? "all" : name] = settings_of(group);
  }
  return {{"schema", "pellucid.study/2"},
          {"name", study.name},
          {"scale", study.scale},
          {"title", study.title.empty() ? study.name : study.title},
          {"question", study.question},
          {"headline", headline},
          {"summary", summary},
          {"warnings", warnings(study, finished, nothing)},
          {"environment", environment},
          {"inputs", inputs(study, finished)},
          {"config", {{"study", study.document}, {"groups", settings}}},
          {"data", data_row(study, datasets)},
          {"axes", axis_rows(study)},
          {"x", study.x.empty() ? Json() : Json(study.x)},
          {"compare", study.compare.empty() ? Json() : Json(study.compare)},
          {"metrics", parts["metrics"]},
          {"published", study.published},
          {"trainings", training_rows(study, finished)},
          {"groups", parts["groups"]},
          {"main_contrast", parts["main_contrast"]},
          {"contrasts", parts["contrasts"]},
          {"controls", finished.controls},
          {"diagnoses", parts["diagnoses"]},
          {"cells", cell_rows(finished.cells)},
          {"gallery", gallery(study, finished, datasets)},
          {"conventions", conventions(study)}};
}

}  // namespace pellucid::study
