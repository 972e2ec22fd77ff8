#include "pellucid/report/tidy.h"

#include "pellucid/core/events.h"
#include "pellucid/report/format.h"

#include <fmt/format.h>

#include <algorithm>

namespace pellucid::report {
namespace {

std::string quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string safe = "\"";
  for (const char c : text) safe += c == '"' ? "\"\"" : std::string(1, c);
  return safe + "\"";
}

std::string plain(Value value) { return value ? fmt::format("{}", *value) : ""; }

std::string line_of(const std::vector<std::string>& cells) { return fmt::format("{}\r\n", fmt::join(cells, ",")); }

// The text with each key of `pairs` replaced, the first that fits.
std::string replaced(std::string_view text, const std::vector<std::pair<std::string_view, std::string_view>>& pairs) {
  std::string result;
  while (!text.empty()) {
    const auto found = std::find_if(pairs.begin(), pairs.end(), [&](const auto& pair) { return text.starts_with(pair.first); });
    result += found == pairs.end() ? text.substr(0, 1) : found->second;
    text.remove_prefix(found == pairs.end() ? 1 : found->first.size());
  }
  return result;
}

std::string latex_text(std::string_view text) {
  return replaced(text, {{"\\", "\\textbackslash{}"}, {"{", "\\{"}, {"}", "\\}"}, {"$", "\\$"}, {"&", "\\&"}, {"#", "\\#"}, {"%", "\\%"},
                         {"_", "\\_"}, {"~", "\\textasciitilde{}"}, {"^", "\\textasciicircum{}"}, {"<", "\\textless{}"},
                         {">", "\\textgreater{}"}, {"|", "\\textbar{}"}, {"\"", "''"}, {"\n", " "}, {"\r", " "}});
}

// A number of format.h in math mode: "1.30×10⁻⁵" is $1.30\times10^{-5}$.
std::string latex_number(const std::string& text) {
  const auto power = text.find("×10");
  std::string number = replaced(text.substr(0, power), {{"−", "-"}, {"–", "\\text{--}"}});
  if (power != std::string::npos) {
    number += "\\times10^{" + replaced(std::string_view(text).substr(power + 4),
                                       {{"⁻", "-"}, {"⁰", "0"}, {"¹", "1"}, {"²", "2"}, {"³", "3"}, {"⁴", "4"},
                                        {"⁵", "5"}, {"⁶", "6"}, {"⁷", "7"}, {"⁸", "8"}, {"⁹", "9"}}) +
              "}";
  }
  return number;
}

std::string latex_estimate(const Interval& value, const std::string& unit) {
  if (!value.value) return "--";
  auto number = [&](Value v) { return latex_number(metric(v, unit)); };
  const std::string text = fmt::format("${}$", number(value.value));
  if (!value.low || !value.high) return text;
  return fmt::format("{} {{\\footnotesize$[{}, {}]$}}", text, number(value.low), number(value.high));
}

// "64" or "32 to 64": what the groups have of something.
std::string range_of(const Study& study, const char* field) {
  std::vector<std::int64_t> counts;
  for (const StudyGroup& group : study.groups) counts.push_back(group.node[field].whole());
  if (counts.empty()) return "0";
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return *least == *most ? fmt::format("{}", *least) : fmt::format("{} to {}", *least, *most);
}

}  // namespace

std::string csv(const Study& study) {
  std::vector<std::string> names = {"cell", "group"};
  for (const StudyAxis& axis : study.axes) names.push_back(quoted(axis.name));
  names.insert(names.end(), {"seed", "image", "label", "status", "reason"});
  for (const StudyMetric& metric : study.metrics) names.push_back(quoted(metric.key));
  names.insert(names.end(), {"p_true", "guess_psnr", "restart", "restarts", "diagnoses"});
  std::string text = line_of(names);
  for (const Node& cell : study.cells) {
    const StudyGroup& group = study.groups[study.group(cell["group"])];
    std::vector<std::string> values = {quoted(cell["cell"].text()), quoted(group.label())};
    for (std::size_t axis = 0; axis < study.axes.size(); ++axis) values.push_back(quoted(study.axes[axis].levels[group.levels[axis]].label));
    for (const char* name : {"seed", "image", "label"}) values.push_back(plain(cell[name].number()));
    for (const char* name : {"status", "reason"}) values.push_back(quoted(cell[name].text()));
    for (const StudyMetric& metric : study.metrics) values.push_back(plain(cell[metric.key].number()));
    for (const char* name : {"p_true", "guess_psnr", "restart", "restarts"}) values.push_back(plain(cell[name].number()));
    std::vector<std::string> diagnoses;
    for (const Node& diagnosis : cell["diagnoses"].items()) diagnoses.push_back(diagnosis.text());
    values.push_back(quoted(fmt::format("{}", fmt::join(diagnoses, ";"))));
    text += line_of(values);
  }
  return text;
}

std::string latex(const Study& study) {
  const std::vector<StudyMetric> metrics = main_metrics(study);
  std::string head = "Group", body;
  std::vector<std::string> caption = {study.root["title"].text(), "Means and, in brackets, their intervals;", range_of(study, "images"), "images and",
                                      range_of(study, "seeds"), "training seeds a group."};
  for (const StudyMetric& metric : metrics) {
    head += " & " + latex_text(metric.unit.empty() ? metric.label : fmt::format("{} ({})", metric.label, metric.unit));
  }
  for (const StudyGroup& group : study.groups) {
    body += latex_text(group.label());
    for (const StudyMetric& metric : metrics) body += " & " + latex_estimate(mean(group, metric), metric.unit);
    body += " \\\\\n";
  }
  for (const Node& convention : study.root["conventions"].items()) {
    if (convention.text().find("nterval") != std::string::npos) caption.push_back(convention.text());
  }
  return fmt::format(R"(% Needs \usepackage{{amsmath, booktabs}}.
\begin{{table}}
\centering
\caption{{{}}}
\begin{{tabular}}{{l{}}}
\toprule
{} \\
\midrule
{}\bottomrule
\end{{tabular}}
\end{{table}}
)",
                     latex_text(fmt::format("{}", fmt::join(caption, " "))), std::string(metrics.size(), 'r'), head, body);
}

void write_events(const Study& study, const std::filesystem::path& folder) {
  if (!study.x) return;
  if (std::error_code none; std::filesystem::exists(folder, none) && !std::filesystem::is_empty(folder, none)) return;
  core::EventFile events(folder);
  for (const StudyMetric& metric : study.metrics) {
    for (const StudyGroup& group : study.groups) {
      const Value value = mean(group, metric).value;
      const std::string tag = fmt::format("{}/mean/{}", metric.key, label_without(study, group, {study.x}));
      if (value) events.scalar(tag, static_cast<std::int64_t>(group.levels[*study.x]), *value);
    }
  }
}

}  // namespace pellucid::report
