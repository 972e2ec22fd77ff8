// A run folder's result.json as one self-contained HTML page. The report computes nothing: every figure is in the file.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <string>

namespace pellucid::report {

/// The page for a result of schema "pellucid.comparison/1" or "pellucid.study/2" (or "/1").
///
/// The page loads nothing: styles, charts and images are inside. A comparison's page holds no script; a study's holds two, named by their
/// hashes in its content security policy, which draw its charts again with tooltips. All text of the result is escaped. The same input
/// gives the same bytes.
///
/// @param run_folder where the image files that a comparison names are; they must be PNG files inside it.
/// @throws Error(kData) for another schema, saying which was got and expected.
/// @throws Error(kData) for a field that is missing or of the wrong type, naming result.json and the field.
/// @throws Error(kData) for an id that names no model, attack or image of a comparison, or a reconstruction given twice.
/// @throws Error(kData) for an image file of a comparison that is missing, outside the run folder or not a PNG, naming it and the field.
/// @throws Error(kData) for a study as `open_study`, and for a picture in it that is not a PNG in base64, naming the field.
[[nodiscard]] std::string render(const core::Json& result, const std::filesystem::path& run_folder);

/// Renders `run_folder`/result.json to `run_folder`/report.html and returns the latter's path. Of a study also results.csv, table.tex and
/// events/ are written (tidy.h).
/// @throws Error(kData) if result.json is missing or not JSON, and as `render`.
/// @throws Error(kIo) if a file cannot be written.
std::filesystem::path write_report(const std::filesystem::path& run_folder);

}  // namespace pellucid::report
