// What the pages are made of: the frame, the answer on top, tabs, tables that scroll, things folded away.
#pragma once

#include "pellucid/report/node.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pellucid::report {

/// A part of a page with its own heading and link. All but the title of `Page` is HTML.
struct Section {
  std::string id, link, title, content;
};

struct Page {
  std::string title;  ///< HTML, in the browser's tab
  std::string header;
  std::vector<Section> sections;
  std::string footer;
};

/// A whole page that loads nothing and, by its content security policy, runs nothing.
[[nodiscard]] std::string whole_page(const Page& page);

/// Title, the answer in large type, what it rests on, the sentences below it, and the warnings.
/// @param root a result with environment.date, title, headline, warnings and perhaps a summary.
/// @param question, evidence HTML, put under the title and under the answer.
[[nodiscard]] std::string page_header(const Node& root, const std::string& question, const std::string& evidence);
/// "Every figure on this page is in result.json", with the version that wrote it.
[[nodiscard]] std::string page_footer(const Node& root);

/// A paired difference with its interval in words and drawn.
/// @param text, details HTML. @param label, unit of the metric.
[[nodiscard]] std::string key_interval(const std::string& text, const std::string& label, const std::string& unit,
                                       const Interval& difference, const std::string& details);

/// One panel for each label, of which the screen shows the chosen one and paper shows all; needs no script.
/// @param labels HTML. @param group unique on the page. @param name what is chosen, for screen readers.
/// @param panel makes the content, by its position.
[[nodiscard]] std::string tabs(const std::vector<std::string>& labels, const std::string& group,
                               const std::string& name, const std::function<std::string(std::size_t)>& panel);

/// A wide table scrolls in its own box, which the keyboard reaches.
[[nodiscard]] std::string scroll_box(const std::string& name, const std::string& table);
/// The row of column headings.
[[nodiscard]] std::string table_head(const std::vector<std::string>& names);
/// An estimate in bold and its interval.
[[nodiscard]] std::string estimate(const Interval& value, const std::string& unit);

/// What the reader unfolds. Paper shows it.
[[nodiscard]] std::string folded(const std::string& summary, const std::string& content);
/// The scalars of a table as rows, then its tables under their TOML names.
[[nodiscard]] std::string settings_table(const std::string& name, const Node& table);

/// "How to read this", with the conventions of the run.
[[nodiscard]] std::string guide(const Node& root);

/// "not_applicable" as a reader says it, escaped.
[[nodiscard]] std::string status_text(const Node& status);
/// What stands where a picture would.
[[nodiscard]] std::string missing_picture(const std::string& why);

/// The CSS class that carries the colour of a model or a line; they begin again after the last.
[[nodiscard]] std::string series_class(std::size_t index);

}  // namespace pellucid::report
