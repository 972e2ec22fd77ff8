#include "pellucid/study/analysis.h"

#include "pellucid/stats/crossed.h"
#include "pellucid/stats/multiple.h"
#include "pellucid/stats/paired.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <tuple>

namespace pellucid::study {
namespace {

using core::Json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kLevel = 0.05;                                    // of the tests
constexpr double kLeastError = 1e-10;                              // MSE at the 100 dB where PSNR ends
constexpr std::int64_t kOverlap = 30;                              // pairs that an interpolation must rest on
constexpr double kNearLoss = 2;                                    // times: losses that count as alike
constexpr double kNearMargin = 1;                                  // logits: sizes of margins that count as alike
constexpr stats::BootstrapOptions kSummary = {.resamples = 2000};  // there are many, and they are looked at, not tested

// One score of one group over (image, seed).
stats::Crossed crossed(const Study& study, const std::vector<const Cell*>& cells, const std::string& key,
                       double (*change)(double) = nullptr) {
  stats::Crossed sample{
      .images = static_cast<std::size_t>(study.images), .seeds = static_cast<std::size_t>(study.seeds), .values = {}};
  sample.values.assign(sample.images * sample.seeds, kNone);
  for (const Cell* cell : cells) {
    const auto found = cell->result.find(key);
    if (found == cell->result.end() || !found->is_number()) continue;
    sample.values[static_cast<std::size_t>(cell->place) * sample.seeds +
                  static_cast<std::size_t>(cell->seed)] = *found;
  }
  if (change != nullptr) std::transform(sample.values.begin(), sample.values.end(), sample.values.begin(), change);
  return sample;
}

bool empty(const stats::Crossed& sample) {
  return std::all_of(sample.values.begin(), sample.values.end(), [](double x) { return std::isnan(x); });
}

stats::Crossed minus(stats::Crossed a, const stats::Crossed& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] -= b.values[i];
  return a;
}

Json summary(const stats::Crossed& sample) {
  if (empty(sample)) return {{"mean", Json()}, {"median", Json()}, {"min", Json()}, {"max", Json()}};
  double low = kNone, high = kNone;
  for (const double x : sample.values) low = std::fmin(low, x), high = std::fmax(high, x);
  return {{"mean", to_json(stats::mean_interval(sample, kSummary))},
          {"median", to_json(stats::median_interval(sample, kSummary))},
          {"min", low},
          {"max", high}};
}

double at_least_the_least(double mse) { return std::isnan(mse) ? mse : std::max(mse, kLeastError); }
double magnitude(double x) { return std::abs(x); }
// Nothing where there is no logarithm: a loss that rounding made 0, or a cosine distance just below it.
double log10_or_none(double x) { return x > 0 ? std::log10(x) : kNone; }

// An interval of a positive quantity in decibels of its reciprocal: more is a smaller error.
Json decibels(const stats::Interval& i) {
  const auto db = [](double x) { return -10 * std::log10(x); };
  return {{"value", db(i.value)}, {"low", db(i.high)}, {"high", db(i.low)}};
}

using Groups = std::vector<std::vector<const Cell*>>;

Json group_rows(const Study& study, const Groups& cells) {
  Json rows = Json::array();
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const auto failed =
        std::count_if(cells[g].begin(), cells[g].end(), [](const Cell* c) { return nothing_came_out(*c); });
    Json row = {{"id", g},
                {"label", describe(study, study.groups[g])},
                {"levels", labels(study, study.groups[g])},
                {"images", study.images},
                {"seeds", study.seeds},
                {"cells", cells[g].size()},
                {"failed", failed},
                {"metrics", Json::object()}};
    for (const auto& metric : metrics())
      row["metrics"][metric["key"].get<std::string>()] = summary(crossed(study, cells[g], metric["key"]));
    const auto error = crossed(study, cells[g], "mse", at_least_the_least);
    row["psnr_of_mean_error"] = empty(error) ? Json() : decibels(stats::mean_interval(error, kSummary));
    rows.push_back(std::move(row));
  }
  return rows;
}

struct Pair {
  std::size_t group, reference;
};

// Each group whose level on the compared axis is not the first, with the one that differs from it in that level alone.
std::vector<Pair> pairs(const Study& study) {
  std::vector<Pair> list;
  const auto axis =
      std::find_if(study.axes.begin(), study.axes.end(), [&](const Axis& a) { return a.name == study.compare; });
  if (axis == study.axes.end()) return list;
  const auto a = static_cast<std::size_t>(axis - study.axes.begin());
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    if (study.groups[g].levels[a] == 0) continue;
    auto levels = study.groups[g].levels;
    levels[a] = 0;
    const auto reference = std::find_if(study.groups.begin(), study.groups.end(),
                                        [&](const Group& other) { return other.levels == levels; });
    list.push_back({g, static_cast<std::size_t>(reference - study.groups.begin())});
  }
  return list;
}

// Of a comparison: what is compared, and at which levels of the other axes.
std::pair<std::string, std::string> contrast_name(const Study& study, const Pair& pair) {
  std::vector<std::string> where;
  std::string what;
  const auto &group = study.groups[pair.group], &reference = study.groups[pair.reference];
  for (std::size_t a = 0; a < study.axes.size(); ++a) {
    const auto& axis = study.axes[a];
    const auto& label = axis.levels[group.levels[a]].label;
    if (axis.name == study.compare) {
      what = fmt::format("{} minus {}", name_of(axis, label), axis.levels[reference.levels[a]].label);
    } else if (axis.levels.size() > 1) {
      where.push_back(name_of(axis, label));
    }
  }
  return {what, fmt::format("{}", fmt::join(where, ", "))};
}

// The difference where both groups have the same covariate: the intercept of a line, and how far the data carry it.
// @param near differences in the covariate up to which a pair counts as overlapping, `alike` in words.
// @param needs_overlap whether it is left out where fewer than `kOverlap` pairs overlap; else it is called extrapolated.
Json at_equal(const stats::Crossed& covariate, const stats::Crossed& difference, double near, const std::string& alike,
              bool needs_overlap) {
  std::int64_t pairs = 0, overlap = 0;
  for (std::size_t i = 0; i < covariate.values.size(); ++i) {
    if (std::isnan(covariate.values[i]) || std::isnan(difference.values[i])) continue;
    ++pairs;
    if (std::abs(covariate.values[i]) <= near * (1 + 1e-9)) ++overlap;
  }
  Json json = {{"value", Json()}, {"low", Json()}, {"high", Json()}, {"pairs", pairs}, {"overlap", overlap}, {"note", ""}};
  if (overlap < kOverlap) {
    json["note"] = fmt::format("{}: {} of {} pairs {}, fewer than {}", needs_overlap ? "left out" : "extrapolated", overlap,
                               pairs, alike, kOverlap);
    if (needs_overlap) return json;
  }
  const auto equal = stats::intercept_interval(covariate, difference);
  if (std::isfinite(equal.value)) {
    json.update(to_json(equal));
  } else {
    json["note"] = "no line: fewer than three pairs, or all alike";
  }
  return json;
}

// Losses compare only where they measure the same distance.
bool same_loss(const inversion::InversionOptions& a, const inversion::InversionOptions& b) {
  return a.functional == b.functional && a.objective == b.objective && a.features == b.features;
}

Json contrast_row(const Study& study, const Pair& pair, const Groups& cells, std::vector<double>& differences) {
  const auto both = [&](const char* key, double (*change)(double) = nullptr) {
    return std::pair(crossed(study, cells[pair.group], key, change), crossed(study, cells[pair.reference], key, change));
  };
  const auto between = [&](const char* key, double (*change)(double) = nullptr) {
    const auto [group, reference] = both(key, change);
    return minus(group, reference);
  };
  const auto difference = between("psnr");
  const auto [what, where] = contrast_name(study, pair);
  Json row = {{"group", pair.group},
              {"reference", pair.reference},
              {"label", where.empty() ? what : what + ": " + where},
              {"metric", "psnr"},
              {"difference", Json()},
              {"of_mean_error", Json()},
              {"ssim", Json()},
              {"loss_ratio", Json()},
              {"at_equal_loss", Json()},
              {"at_equal_margin", Json()},
              {"p_value", Json()},
              {"p_holm", Json()},
              {"effect", Json()},
              {"images", 0},
              {"seeds", study.seeds},
              {"test", "no pairs"},
              {"significant", false},
              {"needed", Json()}};
  if (empty(difference)) return row;
  differences = stats::image_means(difference);
  const std::vector<double> zeros(differences.size(), 0.0);
  const auto test = stats::compare_paired(differences, zeros, {.resamples = 1});
  row["difference"] = to_json(stats::mean_interval(difference));
  row["images"] = differences.size();
  row["p_value"] = test.p_value;
  row["effect"] = test.rank_biserial;
  row["test"] = test.test;

  const auto [error, reference_error] = both("mse", at_least_the_least);
  const auto ratio = stats::mean_ratio_interval(error, reference_error);
  if (std::isfinite(ratio.value)) row["of_mean_error"] = decibels(ratio);
  const auto ssim = between("ssim");
  if (!empty(ssim)) row["ssim"] = to_json(stats::mean_interval(ssim));

  row["at_equal_margin"] =
      at_equal(between("margin", magnitude), difference, kNearMargin,
               fmt::format("have margins whose sizes are within {} of each other", kNearMargin), true);
  if (!same_loss(study.groups[pair.group].settings.attack, study.groups[pair.reference].settings.attack)) return row;
  const auto [loss, reference_loss] = both("matching_loss", [](double x) { return x > 0 ? x : kNone; });
  const auto of_losses = stats::mean_ratio_interval(loss, reference_loss);
  if (std::isfinite(of_losses.value)) row["loss_ratio"] = to_json(of_losses);
  row["at_equal_loss"] =
      at_equal(between("matching_loss", log10_or_none), difference, std::log10(kNearLoss),
               fmt::format("have matching losses within a factor of {} of each other", kNearLoss), false);
  return row;
}

Json contrast_rows(const Study& study, const Groups& cells) {
  Json rows = Json::array();
  std::vector<double> p;
  std::vector<std::size_t> tested;
  std::vector<std::vector<double>> differences;
  for (const auto& pair : pairs(study)) {
    std::vector<double> of_pair;
    rows.push_back(contrast_row(study, pair, cells, of_pair));
    if (rows.back()["p_value"].is_null()) continue;
    p.push_back(rows.back()["p_value"]);
    tested.push_back(rows.size() - 1);
    differences.push_back(std::move(of_pair));
  }
  const auto corrected = stats::holm(p);
  for (std::size_t i = 0; i < tested.size(); ++i) {
    Json& row = rows[tested[i]];
    row["p_holm"] = corrected[i];
    // A difference is one only where the corrected test and the interval agree.
    const double low = row["difference"]["low"], high = row["difference"]["high"];
    row["significant"] = corrected[i] < kLevel && (low > 0 || high < 0);
    if (row["significant"]) continue;
    const auto needed = stats::pairs_needed(differences[i], 0.8, kLevel / static_cast<double>(p.size()));
    if (needed && *needed > study.images) row["needed"] = *needed;  // otherwise more images would not help
  }
  return rows;
}

Json diagnosis_rows(const std::vector<Cell>& cells) {
  struct Found {
    std::int64_t cells = 0;
    std::string sentence;
  };
  std::map<std::string, Found> found;
  for (const auto& cell : cells) {
    if (cell.result["status"] == "failed") {
      auto& f = found["failed"];
      if (f.cells++ == 0) f.sentence = cell.result["reason"];
    }
    if (!cell.result.contains("diagnoses")) continue;
    for (const auto& d : cell.result["diagnoses"]) {
      auto& f = found[d["code"].get<std::string>()];
      if (f.cells++ == 0) f.sentence = d["sentence"];
    }
  }
  Json rows = Json::array();
  for (const auto& [code, f] : found) rows.push_back({{"code", code}, {"cells", f.cells}, {"sentence", f.sentence}});
  std::stable_sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) { return a["cells"] > b["cells"]; });
  return rows;
}

// "600 iterations", "2 x 600 iterations"; empty where the two groups have different budgets.
std::string budget(const Study& study, const Json& c) {
  const auto& a = study.groups[c["group"].get<std::size_t>()].settings.attack;
  const auto& b = study.groups[c["reference"].get<std::size_t>()].settings.attack;
  if (a.iterations != b.iterations || a.restarts != b.restarts) return {};
  return a.restarts == 1 ? fmt::format("{} iterations", a.iterations)
                         : fmt::format("{} x {} iterations", a.restarts, a.iterations);
}

std::string in_brackets(const Json& i) {
  return fmt::format("{:+.1f} dB [{:+.1f}, {:+.1f}]", i["value"].get<double>(), i["low"].get<double>(), i["high"].get<double>());
}

std::string sample(const Study& study) {
  return fmt::format("{} images x {} training{}", study.images, study.seeds, study.seeds == 1 ? "" : "s");
}

// A contrast as a sentence. @param more in brackets at the end; may be empty.
std::string verdict(const Study& study, const Json& c, const std::string& more) {
  const auto name = c["label"].get<std::string>();
  if (c["difference"].is_null()) return fmt::format("{}: no image could be reconstructed on both sides.", name);
  const auto within = budget(study, c);
  return fmt::format("{}: {}{}{}{}.", name, in_brackets(c["difference"]), within.empty() ? "" : " within " + within,
                     c["significant"] ? "" : ", not significant", more.empty() ? "" : " (" + more + ")");
}

constexpr std::size_t kFew = 3;  // contrasts that a summary names one by one

// The contrast that a study is about. Of a few the first that has a difference; of many the largest significant one, if
// any is, and of networks that learnt something, if any did.
std::optional<std::size_t> main_contrast(const Json& contrasts, const std::set<std::size_t>& untaught) {
  std::optional<std::size_t> main;
  const auto rank = [&](const Json& c) {
    const double size = c["difference"].is_null() ? -1.0 : std::abs(c["difference"]["value"].get<double>());
    const bool few = contrasts.size() <= kFew;
    return std::tuple(untaught.count(c["group"]) + untaught.count(c["reference"]) == 0,
                      !few && c["significant"].get<bool>(), few ? std::min(size, 0.0) : size);
  };
  for (std::size_t c = 0; c < contrasts.size(); ++c) {
    if (!main || rank(contrasts[*main]) < rank(contrasts[c])) main = c;
  }
  return main;
}

// Where nothing is compared: the groups with the highest and the lowest mean.
std::string headline_of_groups(const Study& study, const Json& groups) {
  const auto mean = [](const Json& group) {
    const Json& m = group["metrics"]["psnr"]["mean"];
    return m.is_null() ? kNone : m["value"].get<double>();
  };
  const Json *best = nullptr, *worst = nullptr;
  for (const auto& group : groups) {
    if (std::isnan(mean(group))) continue;
    if (best == nullptr || mean(group) > mean(*best)) best = &group;
    if (worst == nullptr || mean(group) < mean(*worst)) worst = &group;
  }
  if (best == nullptr) return "No image could be reconstructed.";
  return fmt::format("Highest mean PSNR: {}, {:.1f} dB; lowest: {}, {:.1f} dB ({}).", (*best)["label"].get<std::string>(),
                     mean(*best), (*worst)["label"].get<std::string>(), mean(*worst), sample(study));
}

// What stands below the headline: the other contrasts, or how many there are of each kind, and the main one at equal loss.
Json summary_of(const Study& study, const Json& contrasts, std::size_t main, const std::set<std::size_t>& untaught) {
  Json list = Json::array();
  if (contrasts.size() > kFew) {
    std::int64_t more = 0, less = 0, open = 0;
    for (const auto& c : contrasts) {
      ++(!c["significant"] ? open : c["difference"]["value"].get<double>() > 0 ? more : less);
    }
    list.push_back(fmt::format("The largest{} of {} differences{}: {} significant and positive, {} significant and negative, {} not significant.",
                               contrasts[main]["significant"] ? " significant one" : "", contrasts.size(),
                               untaught.empty() ? "" : " (networks that learnt nothing left out)", more, less, open));
  } else {
    for (std::size_t c = 0; c < contrasts.size(); ++c) {
      if (c != main) list.push_back(verdict(study, contrasts[c], ""));
    }
  }
  const Json& equal = contrasts[main]["at_equal_loss"];
  if (!equal.is_null() && !equal["value"].is_null()) {
    const auto note = equal["note"].get<std::string>();
    list.push_back(fmt::format("At equal matching loss the difference is {}{}.", in_brackets(equal), note.empty() ? "" : "; " + note));
  }
  const Json& needed = contrasts[main]["needed"];
  if (!needed.is_null())
    list.push_back(fmt::format("About {} images would be needed to detect a difference of this size with 80 % power.", needed.get<std::int64_t>()));
  return list;
}

}  // namespace

Json to_json(const stats::Interval& i) { return {{"value", i.value}, {"low", i.low}, {"high", i.high}}; }

bool nothing_came_out(const Cell& cell) {
  const auto psnr = cell.result.find("psnr");
  return psnr == cell.result.end() || !psnr->is_number();
}

Json metrics() {
  const auto metric = [](const char* key, const char* label, const char* unit, const char* better,
                         bool oracle = false) {
    return Json{{"key", key}, {"label", label}, {"unit", unit}, {"better", better}, {"oracle", oracle}};
  };
  return {metric("psnr", "PSNR", "dB", "higher"),
          metric("gain", "Gain over the mean image", "dB", "higher"),
          metric("ssim", "SSIM", "", "higher"),
          metric("mse", "MSE", "", "lower"),
          metric("fmse_logits", "FMSE (logits)", "", "lower"),
          metric("fmse_features", "FMSE (features)", "", "lower"),
          metric("matching_loss", "Matching loss", "", "lower"),
          metric("margin", "Logit margin", "", ""),
          metric("gradient_norm", "Gradient norm", "", ""),
          metric("oracle_psnr", "PSNR, oracle's choice", "dB", "higher", true)};
}

Json analyse(const Study& study, const std::vector<Cell>& cells, const std::set<std::size_t>& untaught) {
  Groups by_group(study.groups.size());
  for (const auto& cell : cells) by_group[cell.group].push_back(&cell);
  Json groups = Json::array(), contrasts = Json::array();
  if (study.images > 0) {
    groups = group_rows(study, by_group);
    contrasts = contrast_rows(study, by_group);
  }
  const auto main = main_contrast(contrasts, untaught);
  Json headline = "", summary = Json::array();
  if (main) {
    headline = verdict(study, contrasts[*main], sample(study));
    summary = summary_of(study, contrasts, *main, untaught);
  } else if (study.images > 0) {
    headline = headline_of_groups(study, groups);
  }
  return {{"metrics", metrics()},
          {"groups", groups},
          {"contrasts", contrasts},
          {"main_contrast", main ? Json(*main) : Json()},
          {"diagnoses", diagnosis_rows(cells)},
          {"headline", headline},
          {"summary", summary}};
}

}  // namespace pellucid::study
