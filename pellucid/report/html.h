// A run folder's result.json as one self-contained HTML page. The report computes nothing: every figure is in the file.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <string>

namespace pellucid::report {

/// The page for a result of a study.
///
/// The page loads nothing and runs nothing: styles, charts and images are inside. All text of the result is escaped.
/// The same input gives the same bytes.
///
/// @param run_folder for messages.
/// @throws Error(kData) as `open_study`, and for a picture that is not a PNG in base64, naming the field.
[[nodiscard]] std::string render(const core::Json& result, const std::filesystem::path& run_folder);

/// Renders `run_folder`/result.json to `run_folder`/report.html and returns the latter's path. Beside it
/// results.csv, table.tex and events/ are written (tidy.h). Each follows from result.json alone: a file that holds what
/// it should is left as it is, any other (missing, damaged, of another result or version) is written.
/// @throws Error(kData) if result.json is missing, and as `core::read_sealed` and `render`.
/// @throws Error(kIo) if a file cannot be written.
std::filesystem::path write_report(const std::filesystem::path& run_folder);

}  // namespace pellucid::report
