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
constexpr stats::BootstrapOptions kSummary = {.resamples = 2000};  // there are many, and they are looked at, not tested

Json to_json(const stats::Interval& i) { return {{"value", i.value}, {"low", i.low}, {"high", i.high}}; }

// One score of one group over (image, seed).
stats::Crossed crossed(const Study& study, const std::vector<const Cell*>& cells, const std::string& key) {
  stats::Crossed sample{
      .images = static_cast<std::size_t>(study.images), .seeds = static_cast<std::size_t>(study.seeds), .values = {}};
  sample.values.assign(sample.images * sample.seeds, kNone);
  for (const Cell* cell : cells) {
    const auto found = cell->result.find(key);
    if (found == cell->result.end() || !found->is_number()) continue;
    sample.values[static_cast<std::size_t>(cell->place) * sample.seeds +
                  static_cast<std::size_t>(cell->seed)] = *found;
  }
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

Json contrast_row(const Study& study, const Pair& pair, const Groups& cells, std::vector<double>& differences) {
  const auto difference =
      minus(crossed(study, cells[pair.group], "psnr"), crossed(study, cells[pair.reference], "psnr"));
  const auto [what, where] = contrast_name(study, pair);
  Json row = {{"group", pair.group},
              {"reference", pair.reference},
              {"label", where.empty() ? what : what + ": " + where},
              {"metric", "psnr"},
              {"difference", Json()},
              {"p_value", Json()},
              {"p_holm", Json()},
              {"effect", Json()},
              {"images", 0},
              {"seeds", study.seeds},
              {"test", "no pairs"},
              {"told", false},
              {"needed", Json()},
              {"at_equal_margin", Json()}};
  if (empty(difference)) return row;
  differences = stats::image_means(difference);
  const std::vector<double> zeros(differences.size(), 0.0);
  const auto test = stats::compare_paired(differences, zeros, {.resamples = 1});
  row["difference"] = to_json(stats::mean_interval(difference));
  row["images"] = differences.size();
  row["p_value"] = test.p_value;
  row["effect"] = test.rank_biserial;
  row["test"] = test.test;
  const auto margin =
      minus(crossed(study, cells[pair.group], "margin"), crossed(study, cells[pair.reference], "margin"));
  const auto equal = stats::intercept_interval(margin, difference);
  if (std::isfinite(equal.value)) row["at_equal_margin"] = to_json(equal);
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
    row["told"] = corrected[i] < kLevel && (low > 0 || high < 0);
    if (row["told"]) continue;
    const auto needed = stats::pairs_needed(differences[i], 0.8, kLevel / static_cast<double>(p.size()));
    if (needed && *needed > study.images) row["needed"] = *needed;  // else it is for other reasons that nothing is told
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

// What a comparison, called by a name, says in words.
std::string verdict(const Json& c, const std::string& name) {
  if (c["difference"].is_null()) return fmt::format("{}: no image came out.", name);
  const double value = c["difference"]["value"], low = c["difference"]["low"], high = c["difference"]["high"];
  std::string text = fmt::format("{}: {:+.1f} dB [{:+.1f}, {:+.1f}]", name, value, low, high);
  if (!c["told"]) text += ", which is not told from nothing";
  if (!c["needed"].is_null()) text += fmt::format(" (about {} images would)", c["needed"].get<std::int64_t>());
  return text + ".";
}

constexpr std::size_t kFew = 3;  // comparisons that a headline names one by one

// The comparison that a study is about. Of a few the first that says something; of many the widest that is told, if any
// is, and of networks that learnt something, if any did.
std::optional<std::size_t> main_contrast(const Json& contrasts, const std::set<std::size_t>& untaught) {
  std::optional<std::size_t> main;
  const auto rank = [&](const Json& c) {
    const double size = c["difference"].is_null() ? -1.0 : std::abs(c["difference"]["value"].get<double>());
    const bool few = contrasts.size() <= kFew;
    return std::tuple(untaught.count(c["group"]) + untaught.count(c["reference"]) == 0, !few && c["told"].get<bool>(),
                      few ? std::min(size, 0.0) : size);
  };
  for (std::size_t c = 0; c < contrasts.size(); ++c) {
    if (!main || rank(contrasts[*main]) < rank(contrasts[c])) main = c;
  }
  return main;
}

std::string headline(const Study& study, const Json& groups, const Json& contrasts, const Json& main,
                     const std::set<std::size_t>& untaught) {
  if (study.images == 0) return {};
  std::string text;
  if (!contrasts.empty()) {
    std::int64_t more = 0, less = 0, open = 0;
    for (const auto& c : contrasts) {
      ++(!c["told"] ? open : c["difference"]["value"].get<double>() > 0 ? more : less);
    }
    if (contrasts.size() <= kFew) {
      std::string said;  // what is compared, named again only where it changes
      for (const auto& c : contrasts) {
        const auto [what, where] = contrast_name(study, {c["group"], c["reference"]});
        text += verdict(c, what == said ? where : c["label"].get<std::string>()) + " ";
        said = what;
      }
    } else {
      text = fmt::format(
          "{} That is the largest difference{}{}. Of {} comparisons {} give away more than their reference, {} less, and "
          "{} cannot be told. ",
          verdict(main, main["label"]), main["told"] ? " of those told" : "",
          untaught.empty() ? "" : ", networks that learnt nothing left out", contrasts.size(), more, less, open);
    }
    text += fmt::format("n = {} images x {} training{}.", study.images, study.seeds, study.seeds == 1 ? "" : "s");
    return text;
  }
  const auto mean = [](const Json& group) {
    const Json& m = group["metrics"]["psnr"]["mean"];
    return m.is_null() ? -std::numeric_limits<double>::infinity() : m["value"].get<double>();
  };
  const auto by_mean = [&](const Json& a, const Json& b) { return mean(a) < mean(b); };
  const auto [worst, best] = std::minmax_element(groups.begin(), groups.end(), by_mean);
  if (best == groups.end() || !std::isfinite(mean(*best))) return "No image came out.";
  const auto shown = [](const Json& g) {
    const Json& m = g["metrics"]["psnr"]["mean"];
    return m.is_null() ? g["label"].get<std::string>() + ": nothing"
                       : fmt::format("{}: {:.1f} dB [{:.1f}, {:.1f}]", g["label"].get<std::string>(),
                                     m["value"].get<double>(), m["low"].get<double>(), m["high"].get<double>());
  };
  return fmt::format("Most comes back with {}; least with {}. n = {} images x {} training{}.", shown(*best),
                     shown(*worst), study.images, study.seeds, study.seeds == 1 ? "" : "s");
}

}  // namespace

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
          metric("gain", "Gain over knowing nothing", "dB", "higher"),
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
  return {{"metrics", metrics()},
          {"groups", groups},
          {"contrasts", contrasts},
          {"main_contrast", main ? Json(*main) : Json()},
          {"diagnoses", diagnosis_rows(cells)},
          {"headline", headline(study, groups, contrasts, main ? contrasts[*main] : Json(), untaught)}};
}

}  // namespace pellucid::study
