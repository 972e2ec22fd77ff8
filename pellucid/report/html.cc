#include "pellucid/report/html.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/report/embedded.h"
#include "pellucid/report/sections.h"
#include "pellucid/report/study_sections.h"
#include "pellucid/report/tidy.h"

#include <fmt/format.h>

namespace pellucid::report {
namespace {

constexpr char kComparison[] = "pellucid.comparison/1", kStudy[] = "pellucid.study/2";

std::string render_comparison(const Comparison& c) {
  return whole_page({.title = c.root["title"].html(),
                     .header = headline_section(c),
                     .sections = {{"models", "Models", "The models", key_figures_section(c)},
                                  {"pictures", "Pictures", "What was read back", gallery_section(c)},
                                  {"results", "Results", "Results", results_section(c)},
                                  {"every-image", "Every image", "Every image", every_image_section(c)},
                                  {"figures", "Figures", "Figures", figures_section(c)},
                                  {"settings", "Settings", "Settings and environment", settings_section(c)},
                                  {"guide", "How to read this", "How to read this", guide(c.root)}},
                     .footer = page_footer(c.root)});
}

std::string render_study(const Study& s) {
  return whole_page({.title = s.root["title"].html(),
                     .header = study_header(s),
                     .sections = study_sections(s),
                     .footer = page_footer(s.root),
                     .scripts = {kChartJs, kStudyJs}});
}

}  // namespace

std::string attack_tabs(const Comparison& c, const std::string& group, const std::function<std::string(std::size_t attack)>& panel) {
  std::vector<std::string> labels;
  for (const Node& attack : c.attacks) labels.push_back(attack["label"].html());
  return tabs(labels, group, "Attack", panel);
}

std::string render(const core::Json& result, const std::filesystem::path& run_folder) {
  const Node schema = Node(result, (run_folder / "result.json").string())["schema"];
  if (schema.text() == kComparison) return render_comparison(open_comparison(result, run_folder));
  if (is_study(schema.text())) return render_study(open_study(result, run_folder));
  schema.fail(fmt::format("\"{}\" or \"{}\"", kComparison, kStudy));
}

std::filesystem::path write_report(const std::filesystem::path& run_folder) {
  const std::filesystem::path source = run_folder / "result.json";
  if (std::error_code unreadable; !std::filesystem::exists(source, unreadable)) {
    throw core::Error(core::ErrorKind::kData, "{}: got no such file, expected the result of a finished run",
                      source.string());
  }
  const core::Json result = core::read_json(source);
  const std::filesystem::path target = run_folder / "report.html";
  core::write_file(target, render(result, run_folder));
  if (is_study(result["schema"].get<std::string>())) {
    const Study study = open_study(result, run_folder);
    core::write_file(run_folder / "results.csv", csv(study));
    core::write_file(run_folder / "table.tex", latex(study));
    write_events(study, run_folder / "events");
  }
  return target;
}

}  // namespace pellucid::report
