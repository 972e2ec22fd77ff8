// A study's charts: metrics along x, the trade-off with accuracy, every cell by group, training curves, PSNR against
// margin.
#include "pellucid/report/format.h"
#include "pellucid/report/study_sections.h"
#include "pellucid/report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pellucid::report {
namespace {

constexpr const char* kDashes[] = {"", " dashed", " dotted"};

// "24.10 dB [23.2, 25.0]".
std::string in_words(const Interval& value, const std::string& unit) {
  auto text = [&](Value v) { return unit == "%" ? percent(v) : metric(v, unit); };
  return fmt::format("{}{} {}", text(value.value), unit.empty() || unit == "%" ? "" : " " + unit, bounds(value, text));
}

// The place in `labels` of a label, which is added where it is new.
std::size_t place_of(std::vector<std::string>& labels, const std::string& label) {
  const auto found = std::find(labels.begin(), labels.end(), label);
  if (found != labels.end()) return static_cast<std::size_t>(found - labels.begin());
  labels.push_back(label);
  return labels.size() - 1;
}

// Lines that differ in the compared level differ in colour, those that differ in anything else in dashes; without a
// compared axis (or along it) colours simply follow each other.
struct Styles {
  const Study& s;
  std::vector<std::string> others = {};

  std::string of(const StudyGroup& group) {
    const bool coloured = s.compare && s.compare != s.x;
    const std::size_t other = place_of(others, label_without(s, group, {s.x, s.compare}));
    return coloured ? series_class(group.levels[*s.compare]) + kDashes[other % std::size(kDashes)]
                    : series_class(other);
  }
};

// Where the levels of x stand: at their values where each has one, else one after the other.
std::vector<Tick> level_ticks(const StudyAxis& axis) {
  const bool placed =
      std::all_of(axis.levels.begin(), axis.levels.end(), [](const auto& level) { return level.x.has_value(); });
  std::vector<Tick> marks;
  for (std::size_t i = 0; i < axis.levels.size(); ++i) {
    marks.push_back({placed ? *axis.levels[i].x : static_cast<double>(i), axis.levels[i].label});
  }
  return marks;
}

std::vector<Tick> in_order(std::vector<Tick> marks) {
  std::stable_sort(marks.begin(), marks.end(), [](const Tick& a, const Tick& b) { return a.value < b.value; });
  return marks;
}

// The groups on a line, left to right, each with its place on x.
struct Series {
  std::string label;
  std::vector<std::pair<double, const StudyGroup*>> groups;
};

std::vector<Series> series_along_x(const Study& s) {
  std::vector<std::string> labels;
  std::vector<Series> series;
  const std::vector<Tick> marks = level_ticks(s.axes[*s.x]);
  for (const StudyGroup& group : s.groups) {
    const std::string label = label_without(s, group, {s.x});
    const std::size_t place = place_of(labels, label);
    if (place == series.size()) series.push_back({label, {}});
    series[place].groups.emplace_back(marks[group.levels[*s.x]].value, &group);
  }
  for (Series& one : series) std::sort(one.groups.begin(), one.groups.end());
  return series;
}

// A line through one estimate of each group of the series.
Line line_of(const Series& series, std::string label, std::string style, const std::string& unit,
             const std::function<Interval(const StudyGroup&)>& estimate_of,
             const std::function<std::string(const StudyGroup&)>& n) {
  Line line{.label = std::move(label), .style = std::move(style), .x = {}, .y = {}};
  for (const auto& [x, group] : series.groups) {
    const Interval value = estimate_of(*group);
    line.x.push_back(x);
    line.y.push_back(value.value);
    line.low.push_back(value.low);
    line.high.push_back(value.high);
    line.notes.push_back(
        fmt::format("{}, {}: {}, n = {}", line.label, group->label(), in_words(value, unit), n(*group)));
  }
  return line;
}

std::string sample(const StudyGroup& group, const std::string& item) {
  return fmt::format("{} × {}", counted(group.node["images"].number(), item),
                     counted(group.node["seeds"].number(), "seed"));
}

bool any_value(const Study& s, const StudyMetric& metric) {
  return std::any_of(s.groups.begin(), s.groups.end(),
                     [&](const StudyGroup& group) { return mean(group, metric).value.has_value(); });
}

std::string metric_chart(const Study& s, const StudyMetric& m) {
  const StudyAxis& axis = s.axes[*s.x];
  LineChart chart{
      .frame = {.id = "metric-" + escape(m.key),
                .title = fmt::format("Mean {} by {}", m.label, axis.title),
                .description = "One line for each combination of the other axes; bands are intervals of the mean.",
                .x_label = axis.title,
                .y_label = m.title(),
                .legend = {}},
      .lines = {},
      .x_ticks = in_order(level_ticks(axis))};
  Styles styles{s};
  for (const Series& series : series_along_x(s)) {
    const std::string style = styles.of(*series.groups.front().second);
    Line line = line_of(
        series, series.label, style, m.unit, [&](const StudyGroup& group) { return mean(group, m); },
        [&](const StudyGroup& group) { return sample(group, s.item); });
    chart.frame.legend.push_back({series.label, style});
    chart.lines.push_back(std::move(line));
  }
  return line_chart(chart);
}

bool has_accuracy(const Study& s) {
  return std::any_of(s.groups.begin(), s.groups.end(),
                     [](const StudyGroup& g) { return g.node.has("natural") || g.node.has("robust"); });
}

std::string trade_off_chart(const Study& s, const Series& series, std::size_t number) {
  const StudyAxis& axis = s.axes[*s.x];
  LineChart chart{.frame = {.id = fmt::format("trade-off-{}", number),
                            .title = fmt::format("Accuracy and leakage by {}", axis.title),
                            .description = "Left axis: accuracy on clean and on attacked test images. Right axis: the "
                                           "mean score of the reconstructions.",
                            .x_label = axis.title,
                            .y_label = "accuracy",
                            .legend = {}},
                  .lines = {},
                  .x_ticks = in_order(level_ticks(axis)),
                  .right_label = s.metrics.front().title()};
  for (const auto& [field, label] :
       {std::pair("natural", "accuracy, clean"), std::pair("robust", "accuracy, attacked")}) {
    chart.lines.push_back(line_of(
        series, label, series_class(chart.lines.size()), "%",
        [field = field](const StudyGroup& group) { return interval(group.node[field]); },
        [field = field](const StudyGroup& group) {
          return group.node.has(field) ? count(group.node[field]["n"].number()) : std::string(kNothing);
        }));
  }
  const StudyMetric& psnr = s.metrics.front();
  chart.lines.push_back(line_of(
      series, "mean " + psnr.label, series_class(2) + " dashed", psnr.unit,
      [&](const StudyGroup& group) { return mean(group, psnr); },
      [&](const StudyGroup& group) { return sample(group, s.item); }));
  chart.lines.back().right = true;
  for (Line& line : chart.lines) {
    chart.frame.legend.push_back({line.label, line.style});
  }
  return line_chart(chart);
}

std::string cell_note(const Study& s, const Node& cell) {
  const StudyMetric& tested = s.metrics.front();
  return fmt::format("{} {}, seed {}, {}: {}, cell {}", s.item, cell["image"].whole(), cell["seed"].whole(),
                     s.groups[s.group(cell["group"])].label(), with_unit(cell[tested.key].number(), tested, 1),
                     cell["cell"].text());
}

// Dots of one group keep apart: each a step of the golden ratio from the last.
double apart(std::size_t i) {
  const double turn = static_cast<double>(i) * 0.6180339887498949;
  return 0.36 * (turn - std::floor(turn)) - 0.06;
}

std::string distribution_chart(const Study& s) {
  const StudyMetric& psnr = s.metrics.front();
  LineChart chart{.frame = {.id = "distribution",
                            .title = fmt::format("{} of every cell, by group", psnr.label),
                            .description = "One dot a cell. The large mark is the group's mean, the bar its interval.",
                            .x_label = "",
                            .y_label = psnr.title(),
                            .legend = {}},
                  .lines = {},
                  .rows = true};
  Styles styles{s};
  std::vector<Line> means;
  for (std::size_t g = 0; g < s.groups.size(); ++g) {
    const StudyGroup& group = s.groups[g];
    const auto row = static_cast<double>(g);
    const std::string style = series_class(s.compare ? group.levels[*s.compare] : g);
    const Interval value = mean(group, psnr);
    chart.x_ticks.push_back({row, group.label()});
    chart.lines.push_back({.label = group.label(), .style = style, .x = {}, .y = {}, .joined = false});
    means.push_back({.label = group.label() + ", mean",
                     .style = style + " mean",
                     .x = {row + 0.12},
                     .y = {value.value},
                     .low = {value.low},
                     .high = {value.high},
                     .notes = {fmt::format("{}: mean {}, n = {}", group.label(), in_words(value, psnr.unit),
                                           sample(group, s.item))},
                     .joined = false});
  }
  for (const Node& cell : s.cells) {
    const std::size_t g = s.group(cell["group"]);
    Line& line = chart.lines[g];
    line.x.push_back(static_cast<double>(g) + 0.06 + apart(line.x.size()));
    line.y.push_back(cell[psnr.key].number());
    line.notes.push_back(cell_note(s, cell));
  }
  chart.lines.insert(chart.lines.end(), means.begin(), means.end());
  return line_chart(chart);
}

std::string margin_chart(const Study& s) {
  const std::size_t axis = s.compare.value_or(0);
  const StudyMetric& psnr = s.metrics.front();
  LineChart chart{
      .frame =
          {.id = "margin",
           .title = fmt::format("{} against margin", psnr.label),
           .description =
               "One dot a cell. A sure network (a large margin) shares a small gradient: compare at the same margin.",
           .x_label = "margin",
           .y_label = psnr.title(),
           .legend = {}},
      .lines = {},
      .counted = false};
  for (std::size_t level = 0; level < s.axes[axis].levels.size(); ++level) {
    const std::string label = s.axes[axis].levels[level].label;
    chart.frame.legend.push_back({label, series_class(level)});
    chart.lines.push_back({.label = label, .style = series_class(level), .x = {}, .y = {}, .joined = false});
  }
  for (const Node& cell : s.cells) {
    Line& line = chart.lines[s.groups[s.group(cell["group"])].levels[axis]];
    line.x.push_back(cell["margin"].number());
    line.y.push_back(cell[psnr.key].number());
    line.notes.push_back(fmt::format("{}, margin {}", cell_note(s, cell), decimals(cell["margin"].number(), 2)));
  }
  return line_chart(chart);
}

// The trainings that differ in nothing but the seed look the same.
std::string training_label(const Node& training) {
  std::vector<std::string> labels;
  for (const auto& [axis, label] : training["levels"].fields()) labels.push_back(label.text());
  return labels.empty() ? training["label"].text() : fmt::format("{}", fmt::join(labels, ", "));
}

std::string training_chart(const Study& s) {
  LineChart chart{
      .frame = {.id = "training",
                .title = "Accuracy by epoch",
                .description =
                    "Full lines: clean test images. Dashed: the same images under the evasion attack. One line a seed.",
                .x_label = "epoch",
                .y_label = "accuracy",
                .legend = {}},
      .lines = {}};
  std::vector<std::string> labels;
  for (const Node& training : s.root["trainings"].items()) {
    if (training["curve"].is_null()) continue;
    const Node curve = training["curve"];
    const std::string label = training_label(training);
    const std::size_t entry = place_of(labels, label);
    if (entry == chart.frame.legend.size()) chart.frame.legend.push_back({label, series_class(entry)});
    const std::vector<Value> epochs = curve["epoch"].numbers();
    for (const auto& [field, kind, dash] :
         {std::tuple("natural", "clean", ""), std::tuple("robust", "attacked", " dashed")}) {
      Line line{.label = fmt::format("{}, {}", training["label"].text(), kind),
                .style = series_class(entry) + dash,
                .x = epochs,
                .y = curve[field].numbers()};
      if (line.y.size() != epochs.size())
        curve[field].fail(fmt::format("as many values as epoch has: {}", epochs.size()));
      for (std::size_t i = 0; i < epochs.size(); ++i) {
        line.notes.push_back(fmt::format("{}, epoch {}: {}", line.label, count(epochs[i]), percent(line.y[i])));
      }
      chart.lines.push_back(std::move(line));
    }
  }
  return chart.lines.empty() ? "" : line_chart(chart);
}

}  // namespace

std::string study_charts(const Study& s) {
  std::string first, others;  // a row of charts each
  if (s.x && !s.groups.empty()) {
    std::vector<StudyMetric> metrics;
    std::copy_if(s.metrics.begin(), s.metrics.end(), std::back_inserter(metrics),
                 [&](const StudyMetric& m) { return any_value(s, m); });
    std::vector<std::string> labels;
    for (const StudyMetric& metric : metrics) labels.push_back(escape(metric.label));
    first += "<div><h3>Leakage</h3>\n" +
             tabs(labels, "metric", "Metric", [&](std::size_t i) { return metric_chart(s, metrics[i]); }) + "</div>\n";
  }
  if (s.x && has_accuracy(s)) {
    const std::vector<Series> series = series_along_x(s);
    std::vector<std::string> labels;
    for (const Series& one : series) labels.push_back(escape(one.label));
    first += "<div><h3>Leakage and accuracy</h3>\n" +
             tabs(labels, "trade-off", "Groups", [&](std::size_t i) { return trade_off_chart(s, series[i], i); }) +
             "</div>\n";
  }
  const auto is_margin = [](const StudyMetric& metric) { return metric.key == "margin"; };
  if (!s.cells.empty() && std::any_of(s.metrics.begin(), s.metrics.end(), is_margin)) others += margin_chart(s);
  others += training_chart(s);
  if (!s.x && !s.cells.empty()) {  // a tall chart: the others stand beside it, one above the other
    first = "<div>\n" + distribution_chart(s) + "</div>\n<div class=\"stack\">\n" + others + "</div>\n";
    others = "";
  }
  std::string html;
  for (const std::string& charts : {first, others}) {
    if (!charts.empty()) html += "<div class=\"charts\">\n" + charts + "</div>\n";
  }
  return html;
}

}  // namespace pellucid::report
