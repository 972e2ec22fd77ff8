#include "pellucid/report/study.h"

#include "pellucid/core/error.h"
#include "pellucid/report/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace pellucid::report {
namespace {

constexpr char kSchema[] = "pellucid.study/2", kSchemaBefore[] = "pellucid.study/1",
               kDemoBefore[] = "pellucid.comparison/1";

// Of results that did not say which metrics tables have room for.
constexpr std::array kMainBefore = {"psnr", "gain", "ssim", "mse", "fmse_logits", "fmse_features"};

std::vector<StudyAxis> open_axes(const Node& list) {
  std::vector<StudyAxis> axes;
  std::set<std::string> names;
  for (const Node& node : list.items()) {
    StudyAxis axis{.name = node["name"].text(), .title = node["title"].text(), .levels = {}};
    if (!names.insert(axis.name).second) node["name"].fail("another name for each axis");
    std::set<std::string> labels;
    for (const Node& level : node["levels"].items()) {
      axis.levels.push_back({level["label"].text(), level["x"].number()});
      if (!labels.insert(axis.levels.back().label).second) level["label"].fail("another label for each level");
    }
    if (axis.levels.empty()) node["levels"].fail("one level or more");
    axes.push_back(std::move(axis));
  }
  if (axes.empty()) list.fail("one axis or more");
  return axes;
}

std::optional<std::size_t> axis_named(const std::vector<StudyAxis>& axes, const Node& name) {
  if (name.is_null()) return {};
  std::vector<std::string> names;
  for (const StudyAxis& axis : axes) {
    if (axis.name == name.text()) return names.size();
    names.push_back(axis.name);
  }
  name.fail("null or the name of an axis: " + core::join_choices(names));
}

std::vector<StudyMetric> open_metrics(const Node& list) {
  std::vector<StudyMetric> metrics;
  std::set<std::string> keys;
  for (const Node& node : list.items()) {
    metrics.push_back({.key = node["key"].text(),
                       .label = node["label"].text(),
                       .unit = node["unit"].text(),
                       .better = node["better"].text(),
                       .oracle = node["oracle"].boolean()});
    auto& metric = metrics.back();
    metric.main = node.has("main") ? node["main"].boolean()
                                   : std::find(kMainBefore.begin(), kMainBefore.end(), metric.key) != kMainBefore.end();
    metric.digits = node.has("digits")     ? static_cast<int>(node["digits"].whole())
                    : metric.unit == "dB"  ? 1
                    : metric.key == "ssim" ? 2
                                           : -1;
    if (metric.digits < -1 || metric.digits > 15) node["digits"].fail("-1 to 15");
    if (!keys.insert(metrics.back().key).second) node["key"].fail("another key for each metric");
    if (metrics.back().better != "higher" && metrics.back().better != "lower" && !metrics.back().better.empty()) {
      node["better"].fail("\"higher\", \"lower\" or \"\"");
    }
  }
  if (metrics.empty()) list.fail("one metric or more");
  return metrics;
}

std::vector<StudyColumn> open_columns(const Node& list) {
  std::vector<StudyColumn> columns;
  for (const Node& node : list.items()) columns.push_back({node["key"].text(), node["label"].text()});
  return columns;
}

std::vector<std::size_t> levels_of(const std::vector<StudyAxis>& axes, const Node& levels) {
  std::vector<std::size_t> places;
  for (const StudyAxis& axis : axes) {
    const Node label = levels[axis.name];
    const auto found = std::find_if(axis.levels.begin(), axis.levels.end(),
                                    [&](const auto& level) { return level.label == label.text(); });
    if (found == axis.levels.end()) label.fail("the label of a level of " + axis.name);
    places.push_back(static_cast<std::size_t>(found - axis.levels.begin()));
  }
  return places;
}

void check_schema(const Node& node, const std::filesystem::path& folder) {
  const std::string schema = node.text();
  if (schema == kSchema || schema == kSchemaBefore) return;
  if (schema != kDemoBefore) node.fail(fmt::format("\"{}\"", kSchema));
  throw core::Error(core::ErrorKind::kData,
                    "{}: $.schema: got \"{}\", the demo of an older version of Pellucid, expected \"{}\"; run "
                    "`pellucid demo` again with "
                    "another --out",
                    (folder / "result.json").string(), schema, kSchema);
}

}  // namespace

std::size_t Study::group(const Node& id) const {
  const auto found = group_places.find(id.whole());
  if (found == group_places.end()) id.fail("the id of a group");
  return found->second;
}

const StudyMetric& Study::metric(const Node& key) const {
  const auto found =
      std::find_if(metrics.begin(), metrics.end(), [name = key.text()](const auto& m) { return m.key == name; });
  if (found == metrics.end()) key.fail("the key of a metric");
  return *found;
}

Study open_study(const core::Json& result, const std::filesystem::path& folder) {
  const Node root(result, (folder / "result.json").string());
  check_schema(root["schema"], folder);
  Study s{.root = root,
          .axes = open_axes(root["axes"]),
          .x = {},
          .compare = {},
          .metrics = open_metrics(root["metrics"]),
          .columns = {},
          .groups = {},
          .cells = root["cells"].items()};
  s.columns = root.has("columns") ? open_columns(root["columns"])  // results of before have none
                                  : std::vector<StudyColumn>{{"label", "Label"},
                                                             {"p_true", "p(true)"},
                                                             {"guess_psnr", "PSNR of the mean image"},
                                                             {"restart", "Restart"},
                                                             {"restarts", "Restarts"}};
  if (root.has("words")) s.item = root["words"]["item"].text();
  s.x = axis_named(s.axes, root["x"]);
  s.compare = axis_named(s.axes, root["compare"]);
  std::set<std::vector<std::size_t>> taken;
  for (const Node& node : root["groups"].items()) {
    s.groups.push_back({node, levels_of(s.axes, node["levels"])});
    if (!taken.insert(s.groups.back().levels).second) node["levels"].fail("other levels for each group");
    if (!s.group_places.emplace(node["id"].whole(), s.groups.size() - 1).second)
      node["id"].fail("another id for each group");
  }
  for (const Node& cell : s.cells) (void)s.group(cell["group"]);
  return s;
}

std::string with_unit(Value value, const StudyMetric& m, int more) {
  const std::string number = m.digits < 0 ? metric(value, m.unit) : decimals(value, m.digits + more);
  return m.unit.empty() ? number : number + " " + m.unit;
}

Interval mean(const StudyGroup& group, const StudyMetric& metric) {
  return interval(group.node["metrics"][metric.key]["mean"]);
}

std::vector<StudyMetric> main_metrics(const Study& study) {
  std::vector<StudyMetric> metrics;
  std::copy_if(study.metrics.begin(), study.metrics.end(), std::back_inserter(metrics),
               [](const StudyMetric& metric) { return metric.main; });
  return metrics;
}

std::string label_without(const Study& study, const StudyGroup& group,
                          const std::vector<std::optional<std::size_t>>& left_out) {
  std::vector<std::string> labels;
  for (std::size_t axis = 0; axis < study.axes.size(); ++axis) {
    if (std::find(left_out.begin(), left_out.end(), axis) == left_out.end())
      labels.push_back(study.axes[axis].levels[group.levels[axis]].label);
  }
  return labels.empty() ? "all" : fmt::format("{}", fmt::join(labels, ", "));
}

std::vector<Node> published_beside(const Study& study, const StudyGroup& group) {
  std::vector<Node> rows;
  if (study.root["published"].is_null()) return rows;
  for (const Node& row : study.root["published"]["rows"].items()) {
    bool beside = true;
    for (const auto& [axis, label] : row["levels"].fields()) {
      beside = beside && group.node["levels"].has(axis) && group.node["levels"][axis].text() == label.text();
    }
    if (beside) rows.push_back(row);
  }
  return rows;
}

}  // namespace pellucid::report
