#include "pellucid/report/page.h"

#include "pellucid/core/file.h"
#include "pellucid/report/embedded.h"
#include "pellucid/report/format.h"
#include "pellucid/report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>

namespace pellucid::report {
namespace {

constexpr std::size_t kSeriesColours = 6;  // as many as report.css defines

// Nothing but what is in the file may load or run, whatever text the result brings along.
constexpr const char* kPolicy =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

}  // namespace

std::string whole_page(const Page& page) {
  std::string links, sections;
  for (const Section& section : page.sections) {
    links += fmt::format("<a href=\"#{}\">{}</a>\n", section.id, section.link);
    sections +=
        fmt::format("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", section.id, section.title, section.content);
  }
  return fmt::format(R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{css}</style></head><body>
<main>
{header}<nav aria-label="Sections">{links}</nav>
{sections}<footer class="muted small">{footer}</footer>
</main>
</body></html>
)",
                     fmt::arg("policy", kPolicy), fmt::arg("title", page.title), fmt::arg("css", kReportCss),
                     fmt::arg("header", page.header), fmt::arg("links", links), fmt::arg("sections", sections),
                     fmt::arg("footer", page.footer));
}

std::string page_header(const Node& root, const std::string& question, const std::string& evidence) {
  std::string warnings;
  for (const Node& warning : root["warnings"].items()) warnings += "<li>" + warning.html() + "</li>\n";
  std::string summary;
  if (root.has("summary")) {
    for (const Node& sentence : root["summary"].items()) summary += "<li>" + sentence.html() + "</li>\n";
  }
  if (!summary.empty()) summary = "<ul class=\"summary\">\n" + summary + "</ul>\n";
  if (!warnings.empty()) {
    warnings = "<aside class=\"warnings\" aria-label=\"Warnings\"><h2>Read this first</h2><ul>\n" + warnings +
               "</ul></aside>\n";
  }
  return fmt::format(R"(<header>
<p class="brand">Pellucid <span class="muted">privacy audit report, <time>{}</time></span></p>
<h1>{}</h1>
{}<p class="headline">{}</p>
{}{}{}</header>
)",
                     root["environment"]["date"].html(), root["title"].html(), question, root["headline"].html(),
                     evidence, summary, warnings);
}

std::string page_footer(const Node& root) {
  return fmt::format("Pellucid {}. Every figure on this page is in result.json beside it.",
                     root["environment"]["pellucid"].html());
}

std::string key_interval(const std::string& text, const std::string& label, const std::string& unit,
                         const Interval& difference, const std::string& details) {
  auto format = [&](Value value) { return signed_metric(value, unit); };
  std::string chart;
  if (difference.value && difference.low && difference.high) {
    chart = interval_chart(difference, fmt::format("Difference in {}: {} {} {}", label, format(difference.value), unit,
                                                   bounds(difference, format)));
  }
  return fmt::format(
      R"(<div class="key-interval"><p>{}:
<span class="nowrap"><strong>{} {}</strong> {}</span>
<span class="muted">{}</span></p>{}</div>
)",
      text, format(difference.value), escape(unit), bounds(difference, format), details, chart);
}

std::string tabs(const std::vector<std::string>& labels, const std::string& group, const std::string& name,
                 const std::function<std::string(std::size_t)>& panel) {
  std::string html;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels.size() > 1) {
      html += fmt::format(R"(<input type="radio" name="{0}" id="{0}-{1}"{2}><label for="{0}-{1}">{3}</label>
)",
                          group, i, i == 0 ? " checked" : "", labels[i]);
    }
    html += "<div class=\"panel\"><h3>" + labels[i] + "</h3>\n" + panel(i) + "</div>\n";
  }
  if (labels.size() <= 1) return html;
  return fmt::format("<div class=\"tabs\" role=\"group\" aria-label=\"{}\">\n{}</div>\n", name, html);
}

std::string scroll_box(const std::string& name, const std::string& table) {
  return fmt::format(R"(<div class="scroll" role="region" tabindex="0" aria-label="{}">
{}</div>
)",
                     name, table);
}

std::string table_head(const std::vector<std::string>& names) {
  std::string head;
  for (const std::string& name : names) head += "<th scope=\"col\">" + name + "</th>";
  return "<thead><tr>" + head + "</tr></thead>\n";
}

std::string estimate(const Interval& value, const std::string& unit) {
  return fmt::format("<b>{}</b> <span class=\"bounds\">{}</span>", metric(value.value, unit),
                     bounds(value, [&](Value end) { return metric(end, unit); }));
}

std::string folded(const std::string& summary, const std::string& content) {
  return "<details><summary>" + summary + "</summary>\n" + content + "</details>\n";
}

std::string settings_table(const std::string& name, const Node& table) {
  std::string rows, inner;
  for (const auto& [key, value] : table.fields()) {
    if (value.is_object()) {
      inner += settings_table(name.empty() ? escape(key) : name + "." + escape(key), value);
    } else {
      rows += "<div><dt>" + escape(key) + "</dt><dd>" + escape(value.as_written()) + "</dd></div>\n";
    }
  }
  if (!rows.empty()) {
    rows = (name.empty() ? "" : "<h4><code>[" + name + "]</code></h4>\n") +
           ("<dl class=\"settings\">\n" + rows + "</dl>\n");
  }
  return rows + inner;
}

std::string guide(const Node& root) {
  std::string conventions;
  for (const Node& convention : root["conventions"].items()) conventions += "<li>" + convention.html() + "</li>\n";
  if (!conventions.empty()) conventions = "<h3>Conventions of this run</h3>\n<ul>\n" + conventions + "</ul>\n";
  return fmt::format("{}{}", kGuideHtml, conventions);
}

std::string status_text(const Node& status) {
  std::string text = status.html();
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string missing_picture(const std::string& why) { return "<div class=\"missing\"><span>" + why + "</span></div>"; }

std::string series_class(std::size_t index) { return fmt::format("series-{}", index % kSeriesColours); }

}  // namespace pellucid::report
