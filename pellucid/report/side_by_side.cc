#include "pellucid/report/side_by_side.h"

#include "pellucid/report/format.h"
#include "pellucid/report/page.h"
#include "pellucid/report/study.h"

#include <fmt/format.h>

#include <algorithm>

namespace pellucid::report {
namespace {

// Rows of two names each and a text, in the file's order.
struct Entry {
  std::string key, first, second, text;
};

// What is looked at of a run.
struct Summary {
  std::vector<Entry> means, contrasts, settings;
};

std::string in_brackets(const Interval& value, const std::string& unit) {
  return fmt::format("{} {}", metric(value.value, unit), bounds(value, [&](Value end) { return metric(end, unit); }));
}

std::string contrast_text(const Node& node, const std::string& unit) {
  const Interval difference = interval(node["difference"]);
  auto format = [&](Value value) { return signed_metric(value, unit); };
  return fmt::format("{} {}, p {}", format(difference.value), bounds(difference, format),
                     p_value(node["p_holm"].number()));
}

void add_settings(std::vector<Entry>& settings, const std::string& table, const Node& node) {
  for (const auto& [key, value] : node.fields()) {
    const std::string name = table + "." + key;
    if (value.is_object()) {
      add_settings(settings, name, value);
    } else {
      settings.push_back({name, name, "", value.as_written()});
    }
  }
}

std::string levels_key(const Study& s, const StudyGroup& group) {
  std::vector<std::string> parts;
  for (std::size_t axis = 0; axis < s.axes.size(); ++axis)
    parts.push_back(s.axes[axis].name + "=" + s.axes[axis].levels[group.levels[axis]].label);
  std::sort(parts.begin(), parts.end());
  return fmt::format("{}", fmt::join(parts, "\n"));
}

Summary summarise(const RunResult& run) {
  const Study s = open_study(run.result, run.folder);
  Summary summary;
  for (const StudyGroup& group : s.groups) {
    for (const StudyMetric& m : main_metrics(s)) {
      const Interval value = mean(group, m);
      if (value.value)
        summary.means.push_back(
            {levels_key(s, group) + "\n" + m.key, group.label(), m.title(), in_brackets(value, m.unit)});
    }
  }
  for (const Node& node : s.root["contrasts"].items()) {
    const StudyMetric& m = s.metric(node["metric"]);
    const std::string key =
        levels_key(s, s.groups[s.group(node["group"])]) + "\n-\n" + levels_key(s, s.groups[s.group(node["reference"])]);
    summary.contrasts.push_back({key + "\n" + m.key, node["label"].text(), m.title(), contrast_text(node, m.unit)});
  }
  for (const char* table : {"config", "data", "environment"}) add_settings(summary.settings, table, s.root[table]);
  return summary;
}

// What A has in A's order, then what only B has.
std::vector<std::vector<std::string>> matched(const std::vector<Entry>& a, const std::vector<Entry>& b,
                                              bool two_names) {
  auto find = [](const std::vector<Entry>& list, const std::string& key) {
    return std::find_if(list.begin(), list.end(), [&](const Entry& entry) { return entry.key == key; });
  };
  std::vector<std::vector<std::string>> rows;
  auto add = [&](const Entry& entry, const std::string& left, const std::string& right) {
    rows.push_back(two_names ? std::vector<std::string>{entry.first, entry.second, left, right}
                             : std::vector<std::string>{entry.first, left, right});
  };
  for (const Entry& entry : a) {
    const auto other = find(b, entry.key);
    add(entry, entry.text, other == b.end() ? std::string(kNothing) : other->text);
  }
  for (const Entry& entry : b) {
    if (find(a, entry.key) == a.end()) add(entry, std::string(kNothing), entry.text);
  }
  return rows;
}

std::string html_table(const TextTable& table) {
  std::vector<std::string> names;
  for (const std::string& name : table.rows.front()) names.push_back(escape(name));
  std::string body;
  for (std::size_t r = 1; r < table.rows.size(); ++r) {
    body += "<tr>";
    for (std::size_t c = 0; c < table.rows[r].size(); ++c) {
      body += (c == 0 ? "<th scope=\"row\">" : "<td>") + escape(table.rows[r][c]) + (c == 0 ? "</th>" : "</td>");
    }
    body += "</tr>\n";
  }
  return scroll_box(escape(table.title),
                    "<table class=\"results wide\">" + table_head(names) + "<tbody>" + body + "</tbody></table>\n");
}

}  // namespace

std::vector<TextTable> side_by_side(const RunResult& a, const RunResult& b) {
  const Summary left = summarise(a), right = summarise(b);
  const std::string name_a = "A: " + a.folder.string(), name_b = "B: " + b.folder.string();
  std::vector<TextTable> tables;
  auto add = [&](const char* title, std::vector<std::string> head, std::vector<std::vector<std::string>> rows) {
    if (rows.empty()) return;
    head.insert(head.end(), {name_a, name_b});
    rows.insert(rows.begin(), std::move(head));
    tables.push_back({title, std::move(rows)});
  };
  add("Means", {"Group", "Metric"}, matched(left.means, right.means, true));
  add("Contrasts", {"Contrast", "Metric"}, matched(left.contrasts, right.contrasts, true));
  auto settings = matched(left.settings, right.settings, false);
  std::erase_if(settings, [](const auto& row) { return row[1] == row[2]; });
  add("Settings that differ", {"Setting"}, std::move(settings));
  return tables;
}

std::string render_side_by_side(const RunResult& a, const RunResult& b) {
  std::vector<Section> sections;
  for (const TextTable& table : side_by_side(a, b)) {
    sections.push_back({fmt::format("table-{}", sections.size()), table.title, table.title, html_table(table)});
  }
  std::string runs;
  for (const auto& [run, letter] : {std::pair(&a, "A"), std::pair(&b, "B")}) {
    const Node root(run->result, (run->folder / "result.json").string());
    runs += fmt::format(
        "<article class=\"card\"><h3>{}: {}</h3>\n<p class=\"muted\"><code>{}</code>, {}</p>\n<p>{}</p></article>\n",
        letter, root["title"].html(), escape(run->folder.string()), root["environment"]["date"].html(),
        root["headline"].html());
  }
  return whole_page(
      {.title = "Two runs side by side",
       .header = "<header>\n<p class=\"brand\">Pellucid</p>\n<h1>Two runs side by side</h1>\n<div class=\"cards\">\n" +
                 runs + "</div></header>\n",
       .sections = std::move(sections),
       .footer = "Every figure on this page is in the two runs' result.json."});
}

}  // namespace pellucid::report
