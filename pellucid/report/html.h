// A run folder's result.json as one self-contained HTML page. The report computes nothing: every figure is in the file.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <string>

namespace pellucid::report {

/// The page for a result of schema "pellucid.comparison/1".
///
/// The page loads nothing: styles, charts (SVG) and images (base64) are inside, and it holds no script. All text of the
/// result is escaped. The same input gives the same bytes.
///
/// @param run_folder where the image files that the result names are; they must be PNG files inside it.
/// @throws Error(kData) for another schema, saying which was got and expected.
/// @throws Error(kData) for a field that is missing or of the wrong type, naming result.json and the field.
/// @throws Error(kData) for an id that names no model, attack or image of the result, or a reconstruction given twice.
/// @throws Error(kData) for an image file that is missing, outside the run folder or not a PNG, naming it and the
/// field.
[[nodiscard]] std::string render(const core::Json& result, const std::filesystem::path& run_folder);

/// Renders `run_folder`/result.json to `run_folder`/report.html and returns the latter's path.
/// @throws Error(kData) if result.json is missing or not JSON, and as `render`.
/// @throws Error(kIo) if the page cannot be written.
std::filesystem::path write_report(const std::filesystem::path& run_folder);

}  // namespace pellucid::report
