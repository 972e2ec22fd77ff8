// A study's numbers for other programs: a table of cells, a table for a paper, curves for TensorBoard.
#pragma once

#include "pellucid/report/study.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pellucid::report {

/// A file and what it holds.
struct Output {
  std::filesystem::path path;
  std::string content;
};

/// One row a cell (RFC 4180, CRLF): cell, group, a column for each axis, seed, the item, status, reason, every
/// metric, p_true, guess_psnr, restart, restarts and diagnoses (';' between them). Null is empty; numbers have all
/// digits of the result. Text that a spreadsheet would take for a formula (it begins with = + - @, their full-width
/// forms, a tab or a line break, and is no number) has a ' before it (OWASP, "CSV Injection").
/// @throws Error(kData) for a field of a cell that is missing or of the wrong type.
[[nodiscard]] std::string csv(const Study& study);

/// A booktabs table of groups by main metrics, each a mean and its interval; the caption has the numbers of images and
/// seeds and what the result says of its intervals. It is ASCII and compiles under pdfLaTeX, XeLaTeX and LuaLaTeX,
/// whatever the text: Latin letters, Greek and common symbols become LaTeX's own, any other character its number,
/// [U+732B].
/// @throws Error(kData) for a field of a group that is missing or of the wrong type.
[[nodiscard]] std::string latex(const Study& study);

/// Any UTF-8 text as LaTeX has it, on one line.
[[nodiscard]] std::string latex_text(std::string_view text);

/// The metrics' means along x as a file of TensorBoard scalars "psnr/mean/<series>", step: the place of the level. Its
/// name and its bytes follow from the result. Nothing without x.
[[nodiscard]] std::optional<Output> event_file(const Study& study, const std::filesystem::path& folder);

/// Removes the event files of Pellucid in the folder but for `kept`: the curves of an older result would stand beside
/// those of this one.
void remove_other_events(const std::filesystem::path& folder, const std::filesystem::path& kept);

}  // namespace pellucid::report
