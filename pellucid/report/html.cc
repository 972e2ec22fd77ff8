#include "pellucid/report/html.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/report/embedded.h"
#include "pellucid/report/sections.h"

#include <fmt/format.h>

namespace pellucid::report {
namespace {

// Nothing but what is in the file may load or run, whatever text the result brings along.
constexpr char kPolicy[] =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

std::string guide_section(const Comparison& c) {
  std::string conventions;
  for (const Node& convention : c.root["conventions"].items()) conventions += "<li>" + convention.html() + "</li>\n";
  if (!conventions.empty()) conventions = "<h3>Conventions of this run</h3>\n<ul>\n" + conventions + "</ul>\n";
  return std::string(kGuideHtml) + conventions;
}

struct Section {
  const char* id;
  const char* link;
  const char* title;
  std::string (*content)(const Comparison&);
};

constexpr Section kSections[] = {
    {"models", "Models", "The models", key_figures_section},
    {"pictures", "Pictures", "What was read back", gallery_section},
    {"results", "Results", "Results", results_section},
    {"every-image", "Every image", "Every image", every_image_section},
    {"figures", "Figures", "Figures", figures_section},
    {"settings", "Settings", "Settings and environment", settings_section},
    {"guide", "How to read this", "How to read this", guide_section},
};

}  // namespace

std::string attack_tabs(const Comparison& c, const std::string& group,
                        const std::function<std::string(std::size_t attack)>& panel) {
  std::string html;
  for (std::size_t i = 0; i < c.attacks.size(); ++i) {
    const std::string label = c.attacks[i]["label"].html();
    if (c.attacks.size() > 1) {
      html += fmt::format(R"(<input type="radio" name="{0}" id="{0}-{1}"{2}><label for="{0}-{1}">{3}</label>
)",
                          group, i, i == 0 ? " checked" : "", label);
    }
    html += "<div class=\"panel\"><h3>" + label + "</h3>\n" + panel(i) + "</div>\n";
  }
  if (c.attacks.size() == 1) return html;
  return "<div class=\"tabs\" role=\"group\" aria-label=\"Attack\">\n" + html + "</div>\n";
}

std::string render(const core::Json& result, const std::filesystem::path& run_folder) {
  const Comparison c = open_comparison(result, run_folder);
  std::string page = fmt::format(R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{}</title>
<style>
{}</style></head><body>
<main>
)",
                                 kPolicy, c.root["title"].html(), kReportCss);
  std::string links, sections;
  for (const Section& section : kSections) {
    links += fmt::format("<a href=\"#{}\">{}</a>", section.id, section.link);
    sections +=
        fmt::format("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", section.id, section.title, section.content(c));
  }
  page += headline_section(c) + "<nav aria-label=\"Sections\">" + links + "</nav>\n" + sections;
  page += fmt::format(
      "<footer class=\"muted small\">Pellucid {}. Every figure on this page is in result.json beside "
      "it.</footer>\n</main></body></html>\n",
      c.root["environment"]["pellucid"].html());
  return page;
}

std::filesystem::path write_report(const std::filesystem::path& run_folder) {
  const std::filesystem::path source = run_folder / "result.json";
  if (std::error_code unreadable; !std::filesystem::exists(source, unreadable)) {
    throw core::Error(core::ErrorKind::kData, "{}: got no such file, expected the result of a finished run",
                      source.string());
  }
  const std::filesystem::path target = run_folder / "report.html";
  core::write_file(target, render(core::read_json(source), run_folder));
  return target;
}

}  // namespace pellucid::report
