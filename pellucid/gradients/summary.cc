#include "pellucid/gradients/summary.h"

#include "pellucid/evasion/accuracy.h"
#include "pellucid/gradients/controls.h"

#include <algorithm>
#include <cmath>

namespace pellucid::gradients {
namespace {

using core::Json;

Json training_rows(const grid::Study& study, const grid::Finished& finished) {
  Json rows = Json::array();
  for (std::size_t t = 0; t < finished.subjects.size(); ++t) {
    const auto& subject = finished.subjects[t];
    const auto labels = grid::subject_labels(study, finished, t);
    Json row = {{"id", subject.id},           {"label", labels["label"]},
                {"levels", labels["levels"]}, {"seed", subject.seed},
                {"natural", Json()},          {"robust", Json()},
                {"robust_attack", ""},        {"description", ""},
                {"parameters", Json()},       {"architecture", subject.settings["model"]["net"]},
                {"kept_epoch", Json()},       {"curve", Json()}};
    row.update(finished.prepared[t]);
    row.erase("fingerprint");
    if (subject.settings["client"]["checkpoint"] != "end") row["curve"] = Json();  // it is the end's
    rows.push_back(std::move(row));
  }
  return rows;
}

// The mean over a group's trainings. They are measured on the same test images, so the interval is that of one of them,
// about the mean: it knows of the choice of the images, not of the trainings' differences.
Json accuracy(const grid::Finished& finished, std::size_t group, const char* kind) {
  std::int64_t correct = 0, n = 0, trainings = 0;
  for (const auto& block : finished.blocks) {
    const Json& network = finished.prepared[block.subject];
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

// The first group of each data set.
std::vector<std::size_t> by_data(const grid::Study& study, Datasets& datasets) {
  std::vector<std::size_t> first;
  std::set<std::string> seen;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    if (seen.insert(datasets.identity(settings(study.groups[g].settings))).second) first.push_back(g);
  }
  return first;
}

// One object; where a study has several data sets, one that lists them.
Json data_row(const grid::Study& study, Datasets& datasets) {
  Json rows = Json::array();
  for (const auto group : by_data(study, datasets)) {
    const auto s = settings(study.groups[group].settings);
    const auto &train = datasets.train(s), &test = datasets.test(s);
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

std::string modes(const grid::Study& study) {
  const auto training = std::count_if(study.groups.begin(), study.groups.end(),
                                      [](const grid::Group& g) { return g.settings["client"]["mode"] == "training"; });
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

// Trainings against an attack at least as strong as the judge's whose network under attack is right less than half as
// often.
std::vector<std::size_t> not_robust(const grid::Finished& finished) {
  std::vector<std::size_t> found;
  for (std::size_t t = 0; t < finished.prepared.size(); ++t) {
    const Json& network = finished.prepared[t];
    const auto s = settings(finished.subjects[t].settings);
    if (network["status"] != "ok" || s.checkpoint != "end" || !s.weights.empty() ||
        !training::attacks(s.training.method))
      continue;
    if (s.training.attack.epsilon.value < s.training.test_attack.epsilon.value) continue;
    if (network["robust"]["value"].get<double>() < network["natural"]["value"].get<double>() / 2) found.push_back(t);
  }
  return found;
}

// Warnings of networks that say less than they seem to.
std::vector<std::string> warnings(const grid::Study& study, const grid::Finished& finished,
                                  const std::vector<std::size_t>& untaught) {
  std::vector<std::string> list;
  const auto label = [&](std::size_t t) {
    return grid::subject_labels(study, finished, t)["label"].get<std::string>();
  };
  const auto percent = [&](std::size_t t, const char* kind) {
    return 100 * finished.prepared[t][kind]["value"].get<double>();
  };
  for (const auto t : untaught) {
    list.push_back(
        fmt::format("{}: this network learnt nothing ({:.2f} % natural, no better than always predicting the "
                    "commonest class); reconstructions from it say nothing about trained ones.",
                    label(t), percent(t, "natural")));
  }
  for (const auto t : not_robust(finished)) {
    if (std::find(untaught.begin(), untaught.end(), t) != untaught.end()) continue;
    list.push_back(fmt::format(
        "{}: this network is right on {:.1f} % of the images under attack and on {:.1f} % without: it is not robust, "
        "and "
        "what is compared with it says nothing about robustness. Train it longer, or with more iterations of the inner "
        "attack.",
        label(t), percent(t, "robust"), percent(t, "natural")));
  }
  return list;
}

// Where no image is reconstructed: what the networks can do. The headline has the least and the most robust group, the
// summary all of them.
struct Words {
  std::string headline;
  Json summary = Json::array();
};

Words words_of_trainings(const grid::Study& study, const grid::Finished& finished) {
  Words words;
  std::map<double, std::size_t> by_robustness;
  const auto percent = [&](std::size_t g, const char* kind) {
    return 100 * accuracy(finished, g, kind)["value"].get<double>();
  };
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const auto name = grid::describe(study, study.groups[g]);
    if (accuracy(finished, g, "natural").is_null()) {
      words.summary.push_back(fmt::format("{}: no training succeeded.", name));
      continue;
    }
    by_robustness.emplace(percent(g, "robust"), g);
    words.summary.push_back(fmt::format("{}{}{:.1f} % natural, {:.1f} % under {}.", name, name.empty() ? "" : ": ",
                                        percent(g, "natural"), percent(g, "robust"),
                                        evasion::describe(settings(study.groups[g].settings).training.test_attack)));
  }
  if (by_robustness.empty()) {
    words.headline = "No training succeeded.";
    return words;
  }
  const auto shown = [&](std::size_t g) {
    return fmt::format("{} {:.1f} % ({:.1f} % natural)", grid::describe(study, study.groups[g]), percent(g, "robust"),
                       percent(g, "natural"));
  };
  const auto least = by_robustness.begin()->second, most = by_robustness.rbegin()->second;
  words.headline =
      fmt::format("Accuracy under attack: {}{}{}; {} training{} each.", shown(least), least == most ? "" : ", ",
                  least == most ? "" : shown(most), study.seeds, study.seeds == 1 ? "" : "s");
  return words;
}

// The setting of every group, or that the groups differ: "float32", "float32 or float64".
template <typename Of>
std::string each_group(const grid::Study& study, Of of) {
  std::vector<std::string> list;
  for (const auto& group : study.groups) {
    const std::string one = of(settings(group.settings));
    if (std::ranges::find(list, one) == list.end()) list.push_back(one);
  }
  return fmt::format("{}", fmt::join(list, " or "));
}

// What is shared, as the groups' settings say.
std::string sharing_of(const grid::Study& study) {
  return fmt::format(
      "Updates are computed in {} by the framework's cross-entropy, in {}, of {}; labels are {}.",
      each_group(study, [](const Settings& s) { return sharing::to_string(s.protocol.arithmetic); }), modes(study),
      each_group(study,
                 [](const Settings& s) {
                   const auto n = s.protocol.batch_size;
                   return n == 1 ? std::string("one image each") : fmt::format("{} images", n);
                 }),
      each_group(study, [](const Settings& s) { return std::string(s.share_labels ? "shared" : "not shared"); }));
}

// Each defence against the attacker who ignores it and the one who knows it, beside the same client without a defence:
// "protects" is what the first loses by it, in dB of the mean PSNR, and "ignorance" the part of that which the second
// gets back. Null where a group is missing, or one of its images was not read back.
Json protections(const grid::Study& study, const Json& groups) {
  struct Place {
    std::string others;  // all settings but the mechanisms and whether they are known
    std::string mechanisms;
    bool known = false;
  };
  std::vector<Place> places;
  for (const auto& group : study.groups) {
    const auto s = settings(group.settings);
    Json others = group.settings;
    others["client"].erase("mechanisms");
    others["attack"].erase("mechanisms");
    places.push_back({others.dump(), sharing::to_string(s.protocol.mechanisms),
                      s.attack.mechanisms == inversion::Mechanisms::kKnown});
  }
  const auto psnr = [&](const Place& at, const std::string& mechanisms, bool known) -> Json {
    for (std::size_t g = 0; g < places.size(); ++g) {
      if (places[g].others != at.others || places[g].mechanisms != mechanisms || places[g].known != known) continue;
      const auto& metrics = groups[g]["metrics"];
      return groups[g]["failed"] == 0 && metrics.contains("psnr") ? metrics["psnr"]["mean"]["value"] : Json();
    }
    return {};
  };
  const auto less = [](const Json& a, const Json& b) {
    return a.is_number() && b.is_number() ? Json(a.get<double>() - b.get<double>()) : Json();
  };
  Json rows = Json::array();
  for (std::size_t g = 0; g < places.size(); ++g) {
    const Place& at = places[g];
    if (!at.known || at.mechanisms.empty()) continue;
    const Json none = psnr(at, "", false), ignored = psnr(at, at.mechanisms, false),
               known = psnr(at, at.mechanisms, true);
    rows.push_back({{"group", groups[g]["id"]},
                    {"mechanisms", at.mechanisms},
                    {"protects", less(none, ignored)},
                    {"ignorance", less(known, ignored)}});
  }
  return rows;
}

// One sentence for each of them.
std::string sentence(const Json& row, const std::string& group) {
  const auto dB = [](const Json& value) { return fmt::format("{:.1f} dB", value.get<double>()); };
  if (row["protects"].is_null() || row["ignorance"].is_null())
    return fmt::format("Defence {} ({}): not every image was read back, so that there is no difference.",
                       row["mechanisms"].get<std::string>(), group);
  return fmt::format("Defence {} ({}): it protects {}, of which {} are the ignorance of an attacker who ignores it.",
                     row["mechanisms"].get<std::string>(), group, dB(row["protects"]), dB(row["ignorance"]));
}

// How the scores are taken, for the reader.
Json conventions(const grid::Study& study) {
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
      sharing_of(study)};
}

}  // namespace

std::vector<std::size_t> untaught(const grid::Finished& finished, Datasets& datasets) {
  std::vector<std::size_t> found;
  for (std::size_t t = 0; t < finished.prepared.size(); ++t) {
    const Json& network = finished.prepared[t];
    const auto s = settings(finished.subjects[t].settings);
    if (network["status"] != "ok" || s.checkpoint != "end") continue;
    if (network["natural"]["low"].get<double>() <= commonest(s, datasets)) found.push_back(t);
  }
  return found;
}

void add_summary(Json& result, const grid::Study& study, const grid::Finished& finished, Datasets& datasets) {
  result["data"] = data_row(study, datasets);
  result["trainings"] = training_rows(study, finished);
  for (auto& group : result["groups"]) {
    for (const char* kind : {"natural", "robust"}) group[kind] = accuracy(finished, group["id"], kind);
  }
  Json said = Json::array();
  for (auto& warning : warnings(study, finished, untaught(finished, datasets))) said.push_back(std::move(warning));
  for (auto& warning : result["warnings"]) said.push_back(std::move(warning));
  result["warnings"] = said;
  for (auto& line : conventions(study)) result["conventions"].push_back(std::move(line));
  result["protections"] = protections(study, result["groups"]);
  for (const auto& row : result["protections"]) {
    const auto& group = study.groups[row["group"].get<std::size_t>()];
    result["summary"].push_back(sentence(row, grid::describe(study, group)));
  }
  if (result["protections"].empty()) result.erase("protections");
  // Of a weight file only the name: whose folder it is in is nobody's business.
  for (auto& group : result["config"]["groups"]) {
    auto& weights = group["model"]["weights"];
    weights = std::filesystem::path(weights.get<std::string>()).filename().string();
  }
  if (study.items == 0) {
    auto [headline, summary] = words_of_trainings(study, finished);
    result["headline"] = headline;
    result["summary"] = summary;
  } else if (!result["main_contrast"].is_null()) {
    // What the attack of the headline can do at this budget on this network stands next to what it did.
    const auto group = result["contrasts"][result["main_contrast"].get<std::size_t>()]["group"].get<std::size_t>();
    const auto attack = attack_name(study, settings(study.groups[group].settings));
    for (const auto& control : finished.controls) {
      if (control.kind == "network" && control.attack == attack) result["summary"].push_back(control.sentence);
    }
  }
}

}  // namespace pellucid::gradients
