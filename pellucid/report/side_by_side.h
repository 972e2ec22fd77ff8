// Two runs beside each other: what was measured in both, and the settings that differ.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <string>
#include <vector>

namespace pellucid::report {

/// Plain text in columns, the first row as headings.
struct TextTable {
  std::string title;
  std::vector<std::vector<std::string>> rows;
};

/// A run to compare: its folder and the result.json inside.
struct RunResult {
  std::filesystem::path folder;
  core::Json result;
};

/// Means, contrasts and differing settings of two results. Groups are matched by their levels; a group that one run
/// lacks shows a dash there.
/// @throws Error(kData) as `open_study`.
[[nodiscard]] std::vector<TextTable> side_by_side(const RunResult& a, const RunResult& b);

/// The same as a page, with both headlines on top.
[[nodiscard]] std::string render_side_by_side(const RunResult& a, const RunResult& b);

}  // namespace pellucid::report
