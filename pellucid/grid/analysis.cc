#include "pellucid/grid/analysis.h"

#include "pellucid/grid/contrast.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

namespace pellucid::grid {
namespace {

using core::Json;

Json summary(const stats::Crossed& sample) {
  if (empty(sample)) return {{"mean", Json()}, {"median", Json()}, {"min", Json()}, {"max", Json()}};
  double low = std::nan(""), high = std::nan("");
  for (const double x : sample.values) low = std::fmin(low, x), high = std::fmax(high, x);
  return {{"mean", to_json(stats::mean_interval(sample, kSummary))},
          {"median", to_json(stats::median_interval(sample, kSummary))},
          {"min", low},
          {"max", high}};
}

Json group_rows(const System& system, const Study& study, const Groups& cells) {
  Json rows = Json::array();
  const auto scores = metrics(study, system);
  const auto pooled = tests_first_metric(study, system) ? system.pooled() : std::nullopt;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const auto failed = std::count_if(cells[g].begin(), cells[g].end(),
                                      [&](const Cell* c) { return !c->reading.score(scores.front().key); });
    Json row = {{"id", g},
                {"label", describe(study, study.groups[g])},
                {"levels", labels(study, study.groups[g])},
                {"images", study.items},
                {"seeds", study.seeds},
                {"cells", cells[g].size()},
                {"failed", failed},
                {"metrics", Json::object()}};
    for (const auto& metric : scores) {
      if (metric.summed) row["metrics"][metric.key] = summary(crossed(study, cells[g], metric.key));
    }
    if (pooled) {
      const auto sample = pooled_sample(study, cells[g], *pooled);
      row[pooled->in_group] =
          empty(sample) ? Json() : through(pooled->transform, stats::mean_interval(sample, kSummary));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

Json diagnosis_rows(const std::vector<Cell>& cells) {
  struct Found {
    std::int64_t cells = 0;
    std::string sentence;
  };
  std::map<std::string, Found> found;
  const auto count = [&](const std::string& code, const std::string& sentence) {
    auto& f = found[code];
    if (f.cells++ == 0) f.sentence = sentence;
  };
  for (const auto& cell : cells) {
    if (cell.reading.status == record::Status::kFailed) count("failed", cell.reading.reason);
    for (const auto& d : cell.reading.diagnoses) count(d.code, d.sentence);
  }
  Json rows = Json::array();
  for (const auto& [code, f] : found) rows.push_back({{"code", code}, {"cells", f.cells}, {"sentence", f.sentence}});
  std::stable_sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) { return a["cells"] > b["cells"]; });
  return rows;
}

std::string in_brackets(const record::Metric& m, const Json& i) {
  record::Metric bounds = m;
  bounds.unit = "";
  return fmt::format("{} [{}, {}]", record::to_text(m, i["value"], true), record::to_text(bounds, i["low"], true),
                     record::to_text(bounds, i["high"], true));
}

std::string sample(const System& system, const Study& study) {
  const auto& words = system.words();
  return fmt::format("{} {} x {} {}", study.items, words.items(), study.seeds,
                     study.seeds == 1 ? words.repetition : words.repetitions());
}

// A contrast as a sentence. @param more in brackets at the end; may be empty.
std::string verdict(const System& system, const Study& study, const Json& c, const std::string& more) {
  const auto name = c["label"].get<std::string>();
  if (c["difference"].is_null())
    return fmt::format("{}: no {} could be reconstructed on both sides.", name, system.words().item);
  const auto settings = [&](const char* side) { return study.groups[c[side].get<std::size_t>()].settings; };
  const auto within =
      tests_first_metric(study, system) ? system.budget(settings("group"), settings("reference")) : std::string();
  return fmt::format("{}: {}{}{}{}.", name, in_brackets(metrics(study, system).front(), c["difference"]),
                     within.empty() ? "" : fmt::format(" within {}", within),
                     c["significant"] ? "" : ", not significant", more.empty() ? "" : fmt::format(" ({})", more));
}

constexpr std::size_t kFew = 3;  // contrasts that a summary names one by one

// The contrast that a study is about. Of a few the first that has a difference; of many the largest significant one, if
// any is, and of subjects that say something, if any do.
std::optional<std::size_t> main_contrast(const Json& contrasts, const std::set<std::size_t>& meaningless) {
  std::optional<std::size_t> main;
  const auto rank = [&](const Json& c) {
    const double size = c["difference"].is_null() ? -1.0 : std::abs(c["difference"]["value"].get<double>());
    const bool few = contrasts.size() <= kFew;
    return std::tuple(meaningless.count(c["group"]) + meaningless.count(c["reference"]) == 0,
                      !few && c["significant"].get<bool>(), few ? std::min(size, 0.0) : size);
  };
  for (std::size_t c = 0; c < contrasts.size(); ++c) {
    if (!main || rank(contrasts[*main]) < rank(contrasts[c])) main = c;
  }
  return main;
}

// Where nothing is compared: the groups with the highest and the lowest mean.
std::string headline_of_groups(const System& system, const Study& study, const Json& groups) {
  const auto tested = metrics(study, system).front();
  const auto mean = [&](const Json& group) {
    const Json& m = group["metrics"][tested.key]["mean"];
    return m.is_null() ? std::nan("") : m["value"].get<double>();
  };
  const Json *best = nullptr, *worst = nullptr;
  for (const auto& group : groups) {
    if (std::isnan(mean(group))) continue;
    if (best == nullptr || mean(group) > mean(*best)) best = &group;
    if (worst == nullptr || mean(group) < mean(*worst)) worst = &group;
  }
  if (best == nullptr) return fmt::format("No {} could be reconstructed.", system.words().item);
  const auto shown = [&](const Json& group) {
    return fmt::format("{}, {}", group["label"].get<std::string>(), record::to_text(tested, mean(group)));
  };
  return fmt::format("Highest mean {}: {}; lowest: {} ({}).", tested.label, shown(*best), shown(*worst),
                     sample(system, study));
}

// What stands below the headline: the other contrasts, or how many there are of each kind, and the main one at equal
// values of the covariates.
Json summary_of(const System& system, const Study& study, const Json& contrasts, std::size_t main,
                const std::set<std::size_t>& meaningless) {
  Json list = Json::array();
  if (contrasts.size() > kFew) {
    std::int64_t more = 0, less = 0, open = 0;
    for (const auto& c : contrasts) {
      ++(!c["significant"] ? open : c["difference"]["value"].get<double>() > 0 ? more : less);
    }
    list.push_back(fmt::format(
        "The largest{} of {} differences{}: {} significant and positive, {} significant and negative, {} not "
        "significant.",
        contrasts[main]["significant"] ? " significant one" : "", contrasts.size(),
        meaningless.empty() ? "" : fmt::format(" ({}s that learnt nothing left out)", system.words().subject), more,
        less, open));
  } else {
    for (std::size_t c = 0; c < contrasts.size(); ++c) {
      if (c != main) list.push_back(verdict(system, study, contrasts[c], ""));
    }
  }
  for (const auto& covariate : system.covariates()) {
    const Json equal = contrasts[main].value(covariate.key, Json());
    if (covariate.label.empty() || equal.is_null() || equal["value"].is_null()) continue;
    const auto note = equal["note"].get<std::string>();
    list.push_back(fmt::format("At equal {} the difference is {}{}.", covariate.label,
                               in_brackets(system.metrics().front(), equal), note.empty() ? "" : "; " + note));
  }
  const Json& needed = contrasts[main]["needed"];
  if (!needed.is_null())
    list.push_back(fmt::format("About {} {} would be needed to detect a difference of this size with 80 % power.",
                               needed.get<std::int64_t>(), system.words().items()));
  return list;
}

}  // namespace

Json to_json(const stats::Interval& i) { return {{"value", i.value}, {"low", i.low}, {"high", i.high}}; }

Json analyse(const System& system, const Study& study, const std::vector<Cell>& cells,
             const std::set<std::size_t>& meaningless) {
  Groups by_group(study.groups.size());
  for (const auto& cell : cells) by_group[cell.group].push_back(&cell);
  Json groups = Json::array(), contrasts = Json::array(), scores = Json::array();
  if (study.items > 0) {
    groups = group_rows(system, study, by_group);
    contrasts = contrast_rows(system, study, by_group);
  }
  for (const auto& metric : metrics(study, system)) {
    const auto has = [&](const Cell& cell) { return cell.reading.score(metric.key).has_value(); };
    if (metric.optional && std::none_of(cells.begin(), cells.end(), has)) continue;
    if (metric.summed) scores.push_back(record::to_json(metric));
  }
  const auto main = main_contrast(contrasts, meaningless);
  Json headline = "", summary = Json::array();
  if (main) {
    headline = verdict(system, study, contrasts[*main], sample(system, study));
    summary = summary_of(system, study, contrasts, *main, meaningless);
  } else if (study.items > 0) {
    headline = headline_of_groups(system, study, groups);
  }
  return {{"metrics", scores},
          {"groups", groups},
          {"contrasts", contrasts},
          {"main_contrast", main ? Json(*main) : Json()},
          {"diagnoses", diagnosis_rows(cells)},
          {"headline", headline},
          {"summary", summary}};
}

}  // namespace pellucid::grid
