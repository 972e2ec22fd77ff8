// A study's tables.
#include "pellucid/report/format.h"
#include "pellucid/report/study_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pellucid::report {
namespace {

constexpr std::size_t kMostCells = 2000;

std::string sample_heading(const Study& s) { return capital(s.item) + "s × seeds"; }

// "64 × 3": images and seeds.
std::string sample(const Node& node) {
  return fmt::format("{} × {}", count(node["images"].number()), count(node["seeds"].number()));
}

std::string accuracy(const Node& node) {
  const Interval fraction = interval(node);
  const std::string n = node.is_null() ? "" : fmt::format(" title=\"n = {}\"", count(node["n"].number()));
  return fmt::format("<td{}><b>{}</b> <span class=\"bounds\">{}</span></td>", n, percent(fraction.value),
                     bounds(fraction, percent));
}

std::string heading(const StudyMetric& metric) {
  std::string html = escape(metric.label);
  if (!metric.unit.empty()) html += " <span class=\"muted\">" + escape(metric.unit) + "</span>";
  return html + (metric.better.empty() ? "" : metric.better == "higher" ? " ↑" : " ↓");
}

std::string metric_cell(const StudyGroup& group, const StudyMetric& m, const std::vector<Node>& published) {
  std::string talk;
  for (const Node& row : published) {
    if (!row["values"].has(m.key)) continue;
    talk += fmt::format(" <span class=\"published\" title=\"{}\">talk: {}</span>", row["label"].html(),
                        metric(row["values"][m.key].number(), m.unit));
  }
  return "<td>" + estimate(mean(group, m), m.unit) + talk + "</td>";
}

std::string row_of(const std::string& name, const std::string& cells) {
  return "<tr><th scope=\"row\">" + name + "</th>" + cells + "</tr>\n";
}

std::string td(const std::string& content) { return "<td>" + content + "</td>"; }

std::string difference_cell(const Node& node, const std::string& unit) {
  const Interval difference = interval(node);
  auto format = [&](Value value) { return signed_metric(value, unit); };
  return fmt::format("<td><b>{}</b> <span class=\"bounds\">{}</span></td>", format(difference.value),
                     bounds(difference, format));
}

// The difference at an equal covariate, with how many pairs overlap and what follows from that.
std::string at_equal_cell(const Node& node, const std::string& unit) {
  if (node.is_null()) return "<td></td>";
  if (!node.has("overlap")) return difference_cell(node, unit);  // of before
  const std::string overlap =
      fmt::format("{} of {} overlap", count(node["overlap"].number()), count(node["pairs"].number()));
  if (node["value"].is_null())
    return fmt::format("<td title=\"{}\">none <span class=\"bounds\">{}</span></td>", node["note"].html(), overlap);
  const bool extrapolated = !node["note"].text().empty();
  std::string cell = difference_cell(node, unit);
  cell.insert(cell.size() - 5, fmt::format(" <span class=\"bounds\"{}>{}{}</span>",
                                           extrapolated ? fmt::format(" title=\"{}\"", node["note"].html()) : "",
                                           extrapolated ? "extrapolated: " : "", overlap));
  return cell;
}

std::string ratio_cell(const Node& node) {
  const Interval ratio = interval(node);
  return fmt::format("<td>{} <span class=\"bounds\">{}</span></td>", significant(ratio.value),
                     bounds(ratio, significant));
}

// Under the heading "p" no equals sign is needed.
std::string p_cell(const Node& p) {
  const std::string text = p_value(p.number());
  return escape(text.starts_with("= ") ? text.substr(2) : text);
}

std::string cell_value(const Node& cell, const StudyMetric& m) {
  return m.digits < 0 ? metric(cell[m.key].number(), m.unit) : decimals(cell[m.key].number(), m.digits + 1);
}

std::string column_value(Value value, const StudyColumn& column) {
  if (column.key == "p_true") return escape(probability(value));
  return value && *value == std::floor(*value) ? count(value) : significant(value);
}

// The heading of a mean that is taken of the errors and not of the decibels.
StudyMetric of_mean_error(StudyMetric psnr) {
  psnr.label += " of the mean error";
  return psnr;
}

bool any_has(const std::vector<Node>& nodes, const std::string& field) {
  return std::any_of(nodes.begin(), nodes.end(), [&](const Node& node) { return node.has(field); });
}

}  // namespace

std::string groups_table(const Study& s) {
  std::vector<Node> nodes;
  for (const StudyGroup& group : s.groups) nodes.push_back(group.node);
  const bool natural = any_has(nodes, "natural"), robust = any_has(nodes, "robust");
  const std::vector<StudyMetric> metrics = main_metrics(s);
  std::vector<std::string> names = {"Group"};
  const bool mean_error = any_has(nodes, "psnr_of_mean_error");
  for (const StudyMetric& metric : metrics) {
    names.push_back(heading(metric));
    if (mean_error && &metric == &metrics.front()) names.push_back(heading(of_mean_error(metric)));
  }
  if (natural) names.push_back("Accuracy, clean");
  if (robust) names.push_back("Accuracy, attacked");
  names.insert(names.end(), {sample_heading(s), "Failed"});

  std::string body;
  bool talk = false;
  for (const StudyGroup& group : s.groups) {
    const std::vector<Node> published = published_beside(s, group);
    talk = talk || !published.empty();
    std::string cells;
    for (const StudyMetric& metric : metrics) {
      cells += metric_cell(group, metric, published);
      if (mean_error && &metric == &metrics.front())
        cells += td(estimate(interval(group.node["psnr_of_mean_error"]), metric.unit));
    }
    if (natural) cells += accuracy(group.node["natural"]);
    if (robust) cells += accuracy(group.node["robust"]);
    cells += td(sample(group.node)) +
             td(fmt::format("{} of {}", count(group.node["failed"].number()), count(group.node["cells"].number())));
    body += row_of(escape(group.label()), cells);
  }
  std::string note;
  if (talk) {
    const Node published = s.root["published"];
    note = fmt::format(
        "<p class=\"small muted\"><span class=\"published\">talk:</span> not measured here, but published: {}. "
        "{}</p>\n",
        published["source"].html(), published["note"].html());
  }
  return "<p class=\"lede\">Means with their intervals in brackets. An arrow points to the better reconstruction, that "
         "is, to more "
         "leakage.</p>\n" +
         scroll_box("Results",
                    "<table class=\"results wide\">" + table_head(names) + "<tbody>" + body + "</tbody></table>\n") +
         note;
}

std::string contrasts_table(const Study& s) {
  const std::vector<Node> contrasts = s.root["contrasts"].items();
  const auto has = [&](const char* field) { return any_has(contrasts, field); };
  const bool mean_error = has("of_mean_error"), loss = has("loss_ratio"), needed = has("needed");
  const bool at_loss = has("at_equal_loss"), at_margin = has("at_equal_margin");
  std::vector<std::string> names = {"Contrast", "Difference, " + heading(s.metrics.front()), "p", "p, Holm"};
  if (at_loss) names.push_back("At equal loss");
  if (loss) names.push_back("Matching loss, ratio");
  if (mean_error) names.push_back("Of the mean error");
  std::vector<StudyMetric> others;  // whose differences stand beside the tested one
  std::copy_if(s.metrics.begin() + 1, s.metrics.end(), std::back_inserter(others),
               [&](const StudyMetric& m) { return has(m.key.c_str()); });
  for (const StudyMetric& m : others) names.push_back(escape(m.label));
  names.push_back("Effect");
  if (at_margin) names.push_back("At equal margin");
  names.push_back(sample_heading(s));
  if (needed) names.push_back(capital(s.item) + "s needed");

  std::string body;
  std::vector<std::string> tests;
  for (const Node& contrast : contrasts) {
    (void)s.group(contrast["group"]);
    (void)s.group(contrast["reference"]);
    const StudyMetric& m = s.metric(contrast["metric"]);
    const std::string test = contrast["test"].html();
    const bool compared = !contrast["difference"].is_null();
    if (compared && std::find(tests.begin(), tests.end(), test) == tests.end()) tests.push_back(test);
    std::string cells = difference_cell(contrast["difference"], m.unit);
    cells += td(p_cell(contrast["p_value"])) + td("<b>" + p_cell(contrast["p_holm"]) + "</b>");
    if (at_loss) cells += at_equal_cell(contrast["at_equal_loss"], m.unit);
    if (loss) cells += ratio_cell(contrast["loss_ratio"]);
    if (mean_error) cells += difference_cell(contrast["of_mean_error"], m.unit);
    for (const StudyMetric& other : others) cells += difference_cell(contrast[other.key], other.unit);
    cells += td(decimals(contrast["effect"].number(), 2));
    if (at_margin) cells += at_equal_cell(contrast["at_equal_margin"], m.unit);
    cells += td(sample(contrast));
    if (needed) cells += td(contrast["needed"].is_null() ? "" : count(contrast["needed"].number()));
    body += row_of(contrast["label"].html(), cells);
  }
  if (tests.empty()) tests.push_back(fmt::format("No {} came out on both sides", escape(s.item)));
  return fmt::format(
      "<p class=\"lede\">Differences {} by {}, with their intervals; only those in mean {} are tested. {}.</p>\n{}",
      escape(s.item), escape(s.item), escape(s.metrics.front().label), fmt::join(tests, "; "),
      scroll_box("Contrasts",
                 "<table class=\"results wide\">" + table_head(names) + "<tbody>" + body + "</tbody></table>\n"));
}

std::string trainings_table(const Study& s) {
  std::string body;
  for (const Node& training : s.root["trainings"].items()) {
    const std::string reason = training["reason"].html();
    const std::string status = status_text(training["status"]) + (reason.empty() ? "" : ": " + reason);
    body +=
        row_of(training["label"].html(),
               accuracy(training["natural"]) + accuracy(training["robust"]) +
                   td(count(training["kept_epoch"].number())) + td(status) +
                   td(fmt::format("{}, {} parameters <code class=\"bounds\">{}</code>", training["architecture"].html(),
                                  count(training["parameters"].number()), training["id"].html())) +
                   "<td class=\"prose\">" + training["description"].html() + "</td><td class=\"prose\">" +
                   training["robust_attack"].html() + "</td>");
  }
  return scroll_box("Trainings", "<table class=\"results wide\">" +
                                     table_head({"Training", "Accuracy, clean", "Accuracy, attacked", "Kept epoch",
                                                 "Status", "Network and id", "Method", "Judged by"}) +
                                     "<tbody>" + body + "</tbody></table>\n");
}

std::string cells_table(const Study& s) {
  std::vector<std::string> names = {"Cell", "Group", "Seed", capital(s.item), "Status"};
  const std::vector<StudyMetric> metrics = main_metrics(s);
  for (const StudyMetric& metric : metrics) names.push_back(heading(metric));
  for (const StudyColumn& column : s.columns) names.push_back(escape(column.label));
  names.push_back("Diagnoses");
  std::string body;
  for (std::size_t i = 0; i < std::min(s.cells.size(), kMostCells); ++i) {
    const Node& cell = s.cells[i];
    const std::string reason = cell["reason"].html();
    std::string cells = td(escape(s.groups[s.group(cell["group"])].label())) + td(count(cell["seed"].number())) +
                        td(count(cell["image"].number())) +
                        td(status_text(cell["status"]) + (reason.empty() ? "" : ": " + reason));
    for (const StudyMetric& metric : s.metrics) (void)cell[metric.key];  // a cell that lacks one is damaged
    for (const StudyMetric& metric : metrics) cells += td(cell_value(cell, metric));
    for (const StudyColumn& column : s.columns) cells += td(column_value(cell[column.key].number(), column));
    std::vector<std::string> diagnoses;
    for (const Node& diagnosis : cell["diagnoses"].items()) diagnoses.push_back(status_text(diagnosis));
    body +=
        row_of("<code>" + cell["cell"].html() + "</code>", cells + td(fmt::format("{}", fmt::join(diagnoses, ", "))));
  }
  const std::string first = s.cells.size() > kMostCells ? fmt::format("The first {} of {} cells; ", count(kMostCells),
                                                                      count(static_cast<double>(s.cells.size())))
                                                        : "";
  const std::string note = fmt::format("<p>{}results.csv has every {} and every score.</p>\n", first, escape(s.item));
  return note + scroll_box("Every cell", "<table class=\"every-image wide\">" + table_head(names) + "<tbody>" + body +
                                             "</tbody></table>\n");
}

}  // namespace pellucid::report
