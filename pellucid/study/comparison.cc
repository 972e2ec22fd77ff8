#include "pellucid/study/comparison.h"

#include "pellucid/core/file.h"
#include "pellucid/core/parallel.h"
#include "pellucid/data/image_file.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/stats/paired.h"
#include "pellucid/stats/summary.h"
#include "pellucid/sharing/confidence.h"
#include "pellucid/study/analysis.h"
#include "pellucid/study/read_back.h"
#include "pellucid/study/store.h"

#include <algorithm>
#include <cmath>
#include <mutex>

namespace pellucid::study {
namespace {

namespace fs = std::filesystem;
using core::Json;

constexpr int kCellVersion = 3;  // of what a cell computes: a new one where old results must not be taken up

// A score as tables and tests show it.
struct Measure {
  std::string key, label, unit, better;
  bool oracle = false;
};

const std::vector<Measure>& measures() {
  static const std::vector<Measure> list = {
      {"psnr", "PSNR", "dB", "higher"},         {"ssim", "SSIM", "", "higher"},
      {"mse", "MSE", "", "lower"},              {"fmse_logits", "FMSE (logits)", "", "lower"},
      {"fmse_features", "FMSE (features)", "", "lower"}, {"matching_loss", "Matching loss", "", "lower"},
      {"oracle_psnr", "PSNR, oracle's choice", "dB", "higher", true},
  };
  return list;
}

std::string image_file(const std::string& name) { return "images/" + name + ".png"; }

// What is wrong with a confident image, seen from the client's side.
std::vector<std::string> margin_warnings(double margin, const inversion::InversionOptions& options) {
  if (margin <= sharing::kWarningMargin) return {};
  const bool lost = margin > sharing::kRoundingMargin;
  std::string text = fmt::format("logit margin {:.1f}: float32 {} p(true) - 1", margin, lost ? "rounds away" : "keeps few bits of");
  if (options.functional == inversion::Functional::kLoss) text += "; an attack that recomputes the loss cannot match such a gradient";
  return {text};
}

// One cell: one image, one model, one attack.
Json run_cell(const Subject& subject, const Attack& attack, const Truth& truth, std::int64_t index, const fs::path& folder) {
  auto [json, image] = read_back(subject.network, truth, index, attack.options);
  json["warnings"] = margin_warnings(json["margin"], attack.options);
  json["diagnosis"] = Json::array();
  for (const auto& d : json["diagnoses"]) json["diagnosis"].push_back(d["sentence"]);
  json.erase("diagnoses");
  json["file"] = Json();
  if (!image.defined()) return json;
  const auto file = image_file(fmt::format("{:04}-{}-{}", index, attack.id, subject.id));
  core::write_file(folder / file, data::encode_png(image));
  json["file"] = file;
  return json;
}

// The finite values of one score over the images of an (attack, model), NaN where an image has none.
std::vector<double> values(const Json& reconstructions, const std::string& attack, const std::string& model, const std::string& key) {
  std::vector<double> list;
  for (const auto& r : reconstructions) {
    if (r["attack"] != attack || r["model"] != model) continue;
    const bool number = r.contains(key) && r[key].is_number();
    list.push_back(number ? r[key].get<double>() : std::numeric_limits<double>::quiet_NaN());
  }
  return list;
}

Json summarise(const Json& reconstructions, const Attack& attack, const Subject& subject, const Measure& measure) {
  auto sample = values(reconstructions, attack.id, subject.id, measure.key);
  std::erase_if(sample, [](double x) { return !std::isfinite(x); });
  Json json = {{"attack", attack.id},       {"model", subject.id},       {"metric", measure.key}, {"label", measure.label},
               {"unit", measure.unit},      {"better", measure.better},  {"oracle", measure.oracle}, {"n", sample.size()}};
  if (sample.empty()) return json.update({{"mean", Json()}, {"median", Json()}, {"min", Json()}, {"max", Json()}}), json;
  const auto summary = stats::summarise(sample);
  json.update({{"mean", to_json(summary.mean)}, {"median", to_json(summary.median)}, {"min", summary.min}, {"max", summary.max}});
  return json;
}

// The second subject minus the first, over the images that both have.
Json compare_pairs(const Json& reconstructions, const Attack& attack, const std::vector<Subject>& subjects, const Measure& measure) {
  const auto first = values(reconstructions, attack.id, subjects[0].id, measure.key);
  const auto second = values(reconstructions, attack.id, subjects[1].id, measure.key);
  std::vector<double> a, b;
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (!std::isfinite(first[i]) || !std::isfinite(second[i])) continue;
    a.push_back(second[i]);
    b.push_back(first[i]);
  }
  Json json = {{"attack", attack.id}, {"metric", measure.key}, {"label", measure.label}, {"unit", measure.unit},
               {"oracle", measure.oracle}, {"n", a.size()}, {"description", fmt::format("{} minus {}", subjects[1].id, subjects[0].id)}};
  if (a.empty()) return json.update({{"difference", Json()}, {"p_value", Json()}, {"effect", Json()}, {"test", "no pairs"}}), json;
  const auto result = stats::compare_paired(a, b);
  json.update({{"difference", to_json(result.mean_difference)}, {"p_value", result.p_value}, {"effect", result.rank_biserial}, {"test", result.test}});
  return json;
}

std::string budget(const inversion::InversionOptions& options) {
  return options.restarts == 1 ? fmt::format("{} iterations", options.iterations) : fmt::format("{} x {} iterations", options.restarts, options.iterations);
}

// An attack's answer in one sentence: which model it reconstructs more from, within its budget.
std::string verdict(const Json& paired, const Attack& attack) {
  const auto pair = std::find_if(paired.begin(), paired.end(), [&](const Json& p) { return p["attack"] == attack.id && p["metric"] == "psnr"; });
  const Json& d = (*pair)["difference"];
  if (d.is_null()) return fmt::format("By {} no image could be reconstructed from both models.", attack.id);
  const double low = d["low"], high = d["high"];
  // Both must agree: a bootstrap of two or three images has an interval, but no right to a verdict.
  const bool significant = (*pair)["p_value"].get<double>() < 0.05 && (low > 0 || high < 0);
  const auto within = fmt::format("by {} within {}", attack.id, budget(attack.options));
  const auto figures = fmt::format("{:+.1f} dB [{:+.1f}, {:+.1f}], n = {}", d["value"].get<double>(), low, high, (*pair)["n"].get<std::int64_t>());
  return significant ? fmt::format("Images are easier to reconstruct from the {} model {}: {}.", low > 0 ? "robust" : "standard", within, figures)
                     : fmt::format("No significant difference between the models {}: {}.", within, figures);
}

// One line for each model whose float32 gradients are damaged by its confidence.
Json confidence_warnings(const Json& reconstructions, const std::vector<Subject>& subjects, const Attack& attack) {
  Json warnings = Json::array();
  for (const auto& subject : subjects) {
    auto margins = values(reconstructions, attack.id, subject.id, "margin");
    const auto confident = std::count_if(margins.begin(), margins.end(), [](double m) { return m > sharing::kWarningMargin; });
    if (confident == 0) continue;
    warnings.push_back(fmt::format("{} model: {} of {} images have a logit margin above {}, where float32 loses 1 - p(true); a bad "
                                   "reconstruction there may be rounding and not privacy.",
                                   subject.label, confident, margins.size(), sharing::kWarningMargin));
  }
  return warnings;
}

}  // namespace

Comparison compare(const std::vector<Subject>& subjects, const std::vector<Attack>& attacks, const data::Dataset& images,
                   const fs::path& folder, const core::Run& run) {
  Comparison result{.attacks = Json::array(),
                    .images = Json::array(),
                    .reconstructions = Json::array(),
                    .summaries = Json::array(),
                    .paired = Json::array(),
                    .warnings = Json::array(),
                    .summary = Json::array(),
                    .headline = {}};
  for (std::int64_t i = 0; i < images.size(); ++i) {
    const auto label = images.labels[i].item<std::int64_t>();
    const auto file = image_file(fmt::format("{:04}-original", i));
    core::write_file(folder / file, data::encode_png(images.images[i]));
    result.images.push_back({{"index", i}, {"label", label}, {"class", images.classes[label]}, {"original", file}});
  }

  std::vector<std::string> fingerprints;
  for (const auto& subject : subjects) fingerprints.push_back(nets::fingerprint(subject.network));
  std::vector<Json> settings;
  for (const auto& attack : attacks) {
    inversion::InversionOptions options = attack.options;
    settings.push_back(core::to_json(inversion::fields(options)));
    result.attacks.push_back({{"id", attack.id}, {"label", attack.label}, {"description", inversion::preset(attack.id).summary}, {"settings", settings.back()}});
  }

  // Cells are what runs in parallel, each on one core: there are more of them than restarts in one.
  const auto models = static_cast<std::int64_t>(subjects.size()), cells = static_cast<std::int64_t>(attacks.size()) * models * images.size();
  Store store(folder);
  std::vector<Json> rows(cells);
  std::mutex mutex;
  std::int64_t done = 0;
  run.report({.task = "invert", .done = 0, .total = cells, .unit = "reconstructions", .note = ""});
  core::parallel_for(cells, run.threads, [&](std::int64_t c) {
    const std::int64_t a = c / (models * images.size()), s = c / images.size() % models, i = c % images.size();
    const Tensor index = torch::tensor({i});
    const Truth truth{.images = data::pixels(images, index), .labels = data::labels(images, index)};
    const Json determinants = {{"version", kCellVersion}, {"model", fingerprints[s]}, {"attack", attacks[a].id}, {"settings", settings[a]},
                               {"image", core::sha256(nets::write_safetensors({.tensors = {{"x", truth.images}, {"y", truth.labels}}}))},
                               {"index", i}};
    rows[c] = {{"attack", attacks[a].id}, {"model", subjects[s].id}, {"image", i}, {"cell", cell_name(determinants)}};
    rows[c].update(store.cell(determinants, [&] { return run_cell(subjects[s], attacks[a], truth, i, folder); }));
    std::lock_guard lock(mutex);
    run.report({.task = "invert", .done = ++done, .total = cells, .unit = "reconstructions", .note = attacks[a].id + ", " + subjects[s].id});
  });
  result.reconstructions = rows;
  for (const auto& attack : attacks) {
    for (const auto& measure : measures()) {
      for (const auto& subject : subjects) result.summaries.push_back(summarise(result.reconstructions, attack, subject, measure));
      result.paired.push_back(compare_pairs(result.reconstructions, attack, subjects, measure));
    }
  }
  result.warnings = confidence_warnings(result.reconstructions, subjects, attacks.front());
  result.headline = verdict(result.paired, attacks.front());
  for (std::size_t a = 1; a < attacks.size(); ++a) result.summary.push_back(verdict(result.paired, attacks[a]));
  return result;
}

Json conventions(const std::string& intervals, const std::string& mode) {
  return {"PSNR: pixels clamped to [0, 1], peak 1, for each image, then averaged; \"of the mean error\": the PSNR of the images' mean "
          "MSE, which the worst images decide.",
          "SSIM: Wang et al. 2004, Gaussian window 11x11 of deviation 1.5, on [0, 1].",
          "FMSE (logits): mean squared difference of the logits, as the published code has it; FMSE (features): of what the last "
          "layer takes.",
          intervals,
          "The restart is chosen by the lowest matching loss, which the attacker sees; the oracle's choice, by PSNR, is another column.",
          fmt::format("Updates are computed in float32 by the framework's cross-entropy, in {}, one image each; labels are not shared.", mode)};
}

}  // namespace pellucid::study
