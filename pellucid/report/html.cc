#include "pellucid/report/html.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/sealed.h"
#include "pellucid/report/study_sections.h"
#include "pellucid/report/tidy.h"

namespace pellucid::report {
namespace {

std::string render_study(const Study& s) {
  return whole_page({.title = s.root["title"].html(),
                     .header = study_header(s),
                     .sections = study_sections(s),
                     .footer = page_footer(s.root)});
}

// Writes a file that is not there or holds something else.
void keep(const std::filesystem::path& path, const std::string& content) {
  std::error_code none;
  const bool stands =
      std::filesystem::is_regular_file(path, none) && std::filesystem::file_size(path, none) == content.size();
  if (!stands || core::read_text(path) != content) core::write_file(path, content);
}

}  // namespace

std::string render(const core::Json& result, const std::filesystem::path& run_folder) {
  return render_study(open_study(result, run_folder));
}

std::filesystem::path write_report(const std::filesystem::path& run_folder) {
  const std::filesystem::path source = run_folder / "result.json";
  if (std::error_code unreadable; !std::filesystem::exists(source, unreadable)) {
    throw core::Error(core::ErrorKind::kData, "{}: got no such file, expected the result of a finished run",
                      source.string());
  }
  const core::Json result = core::read_sealed(source);
  const std::filesystem::path target = run_folder / "report.html";
  const Study study = open_study(result, run_folder);
  std::vector<Output> outputs = {{target, render_study(study)},
                                 {run_folder / "results.csv", csv(study)},
                                 {run_folder / "table.tex", latex(study)}};
  if (auto events = event_file(study, run_folder / "events")) outputs.push_back(*std::move(events));
  for (const auto& [path, content] : outputs) keep(path, content);
  remove_other_events(run_folder / "events", outputs.back().path);
  return target;
}

}  // namespace pellucid::report
