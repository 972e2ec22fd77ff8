// A study result, checked and indexed: axes, groups and cells, and which belongs to which.
#pragma once

#include "pellucid/report/node.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pellucid::report {

/// What is varied, as a chart's axis and as the words of a group.
struct StudyAxis {
  struct Level {
    std::string label;
    Value x;
  };
  std::string name, title;
  std::vector<Level> levels;
};

struct StudyMetric {
  std::string key, label, unit;
  std::string better;  ///< "higher", "lower" or ""
  int digits = -1;     ///< decimals of a mean, one more of a cell; -1: three significant digits
  bool main = false;   ///< stands in the table of groups
  bool oracle = false;

  /// "PSNR, dB".
  [[nodiscard]] std::string title() const { return unit.empty() ? label : label + ", " + unit; }
};

/// What else stands with each cell.
struct StudyColumn {
  std::string key, label;
};

struct StudyGroup {
  Node node;
  std::vector<std::size_t> levels;  ///< a level of each axis

  [[nodiscard]] std::string label() const { return node["label"].text(); }
};

/// The parts of result.json that the sections look things up in. It points into the document.
struct Study {
  Node root;
  std::vector<StudyAxis> axes;
  std::optional<std::size_t> x, compare;  ///< axes: along which charts run, and whose levels are compared
  std::vector<StudyMetric> metrics;       ///< the one that is tested first
  std::vector<StudyColumn> columns;
  std::string item = "image";  ///< what is reconstructed
  std::vector<StudyGroup> groups;
  std::vector<Node> cells;

  /// The place in `groups` that an entry's id means. @throws Error(kData) if no group has that id.
  [[nodiscard]] std::size_t group(const Node& id) const;
  /// The metric that an entry names by its key. @throws Error(kData) if it is none of the study's.
  [[nodiscard]] const StudyMetric& metric(const Node& key) const;

  std::map<std::int64_t, std::size_t> group_places = {};  ///< by id
};

/// Of schema "pellucid.study/2", or "pellucid.study/1" of before (without what it lacks).
/// @param folder for messages.
/// @throws Error(kData) for another schema, saying which was got and expected, and of a demo of before what to do.
/// @throws Error(kData) for a field that is missing or of the wrong type, naming it.
/// @throws Error(kData) for no axis or metric, an axis, level, metric or group given twice, and two groups of the same
/// levels.
/// @throws Error(kData) for x or compare that names no axis, a group's level that its axis lacks, and a cell of no
/// group.
[[nodiscard]] Study open_study(const core::Json& result, const std::filesystem::path& folder);

/// A score with its unit: "24.1 dB". @param more decimals beyond the metric's, for what is no mean.
[[nodiscard]] std::string with_unit(Value value, const StudyMetric& metric, int more = 0);

/// The mean of a metric over a group.
[[nodiscard]] Interval mean(const StudyGroup& group, const StudyMetric& metric);

/// The metrics that tables have room for: scores of the images, and none that needs the truth to choose.
[[nodiscard]] std::vector<StudyMetric> main_metrics(const Study& study);

/// The labels of a group's levels, but for those of the axes left out: "adversarial, residual"; "all" where none is
/// left.
[[nodiscard]] std::string label_without(const Study& study, const StudyGroup& group,
                                        const std::vector<std::optional<std::size_t>>& left_out);

/// The talk's rows whose levels are all among the group's.
[[nodiscard]] std::vector<Node> published_beside(const Study& study, const StudyGroup& group);

}  // namespace pellucid::report
