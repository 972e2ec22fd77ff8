#include "pellucid/grid/contrast.h"

#include "pellucid/stats/multiple.h"
#include "pellucid/stats/paired.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::grid {
namespace {

using core::Json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kLevel = 0.05;        // of the tests
constexpr std::int64_t kOverlap = 30;  // pairs that an interpolation must rest on

stats::Crossed minus(stats::Crossed a, const stats::Crossed& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] -= b.values[i];
  return a;
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

// "adversarial minus standard: ig": what is compared, and at which levels of the other axes.
std::string name_of_contrast(const Study& study, const Pair& pair) {
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
  return where.empty() ? what : fmt::format("{}: {}", what, fmt::join(where, ", "));
}

// The difference where both groups have the same covariate: the intercept of a line, and how far the data carry it.
Json at_equal(const Covariate& c, const stats::Crossed& covariate, const stats::Crossed& difference) {
  std::int64_t pairs = 0, overlap = 0;
  for (std::size_t i = 0; i < covariate.values.size(); ++i) {
    if (std::isnan(covariate.values[i]) || std::isnan(difference.values[i])) continue;
    ++pairs;
    if (std::abs(covariate.values[i]) <= c.near * (1 + 1e-9)) ++overlap;
  }
  Json json = {{"value", Json()}, {"low", Json()},      {"high", Json()},
               {"pairs", pairs},  {"overlap", overlap}, {"note", ""}};
  if (overlap < kOverlap) {
    json["note"] = fmt::format("{}: {} of {} pairs {}, fewer than {}", c.needs_overlap ? "left out" : "extrapolated",
                               overlap, pairs, c.alike, kOverlap);
    if (c.needs_overlap) return json;
  }
  const auto equal = stats::intercept_interval(covariate, difference);
  if (std::isfinite(equal.value)) {
    json.update(to_json(equal));
  } else {
    json["note"] = "no line: fewer than three pairs, or all alike";
  }
  return json;
}

// @param differences receives the items' mean differences, where there are any.
Json contrast_row(const System& system, const Study& study, const Pair& pair, const Groups& cells,
                  std::vector<double>& differences) {
  const auto &group = cells[pair.group], &reference = cells[pair.reference];
  const auto between = [&](const std::string& score, const std::function<double(double)>& change = {}) {
    return minus(crossed(study, group, score, change), crossed(study, reference, score, change));
  };
  const auto scores = metrics(study, system);
  const auto& tested = scores.front();
  const bool first = tests_first_metric(study, system);
  const auto pooled = first ? system.pooled() : std::nullopt;
  const auto covariates = first ? system.covariates() : std::vector<Covariate>();
  Json row = {{"group", pair.group},
              {"reference", pair.reference},
              {"label", name_of_contrast(study, pair)},
              {"metric", tested.key},
              {"difference", Json()}};
  if (pooled) row[pooled->in_contrast] = Json();
  for (const auto& m : scores) {
    if (m.contrast) row[m.key] = Json();
  }
  for (const auto& c : covariates) {
    if (!c.ratio.empty()) row[c.ratio] = Json();
    row[c.key] = Json();
  }
  row.update({{"p_value", Json()},
              {"p_holm", Json()},
              {"effect", Json()},
              {"images", 0},
              {"seeds", study.seeds},
              {"test", "no pairs"},
              {"significant", false},
              {"needed", Json()}});
  const auto difference = between(tested.key);
  if (empty(difference)) return row;
  differences = stats::image_means(difference);
  const std::vector<double> zeros(differences.size(), 0.0);
  const auto test = stats::compare_paired(differences, zeros, {.resamples = 1});
  row["difference"] = to_json(stats::mean_interval(difference));
  row["images"] = differences.size();
  row["p_value"] = test.p_value;
  row["effect"] = test.rank_biserial;
  row["test"] = test.test;

  if (pooled) {
    const auto ratio =
        stats::mean_ratio_interval(pooled_sample(study, group, *pooled), pooled_sample(study, reference, *pooled));
    if (std::isfinite(ratio.value)) row[pooled->in_contrast] = through(pooled->of_ratio, ratio);
  }
  for (const auto& m : scores) {
    if (!m.contrast) continue;
    if (const auto of_metric = between(m.key); !empty(of_metric)) row[m.key] = to_json(stats::mean_interval(of_metric));
  }
  for (const auto& c : covariates) {
    if (c.comparable && !c.comparable(study.groups[pair.group].settings, study.groups[pair.reference].settings))
      continue;
    if (!c.ratio.empty()) {
      const auto positive = [](double x) { return x > 0 ? x : kNone; };
      const auto ratio = stats::mean_ratio_interval(crossed(study, group, c.score, positive),
                                                    crossed(study, reference, c.score, positive));
      if (std::isfinite(ratio.value)) row[c.ratio] = to_json(ratio);
    }
    row[c.key] = at_equal(c, between(c.score, c.transform), difference);
  }
  return row;
}

}  // namespace

stats::Crossed crossed(const Study& study, const std::vector<const Cell*>& cells, const std::string& score,
                       const std::function<double(double)>& change) {
  stats::Crossed sample{
      .images = static_cast<std::size_t>(study.items), .seeds = static_cast<std::size_t>(study.seeds), .values = {}};
  sample.values.assign(sample.images * sample.seeds, kNone);
  for (const Cell* cell : cells) {
    const auto value = cell->reading.score(score);
    if (!value) continue;
    sample.values[static_cast<std::size_t>(cell->place) * sample.seeds + static_cast<std::size_t>(cell->seed)] =
        change ? change(*value) : *value;
  }
  return sample;
}

bool empty(const stats::Crossed& sample) {
  return std::all_of(sample.values.begin(), sample.values.end(), [](double x) { return std::isnan(x); });
}

stats::Crossed pooled_sample(const Study& study, const std::vector<const Cell*>& cells, const Pooled& pooled) {
  return crossed(study, cells, pooled.of, [least = pooled.least](double x) { return std::max(x, least); });
}

Json through(double (*decreasing)(double), const stats::Interval& i) {
  return {{"value", decreasing(i.value)}, {"low", decreasing(i.high)}, {"high", decreasing(i.low)}};
}

Json contrast_rows(const System& system, const Study& study, const Groups& cells) {
  Json rows = Json::array();
  std::vector<double> p;
  std::vector<std::size_t> tested;
  std::vector<std::vector<double>> differences;
  for (const auto& pair : pairs(study)) {
    std::vector<double> of_pair;
    rows.push_back(contrast_row(system, study, pair, cells, of_pair));
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
    if (needed && *needed > study.items) row["needed"] = *needed;  // otherwise more items would not help
  }
  return rows;
}

}  // namespace pellucid::grid
