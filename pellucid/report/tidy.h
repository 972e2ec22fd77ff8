// A study's numbers for other programs: a table of cells, a table for a paper, curves for TensorBoard.
#pragma once

#include "pellucid/report/study.h"

#include <filesystem>
#include <string>

namespace pellucid::report {

/// One row a cell (RFC 4180, CRLF): cell, group, a column for each axis, seed, image, label, status, reason, every metric, p_true,
/// guess_psnr, restart, restarts and diagnoses (';' between them). Null is empty; numbers have all digits of the result.
/// @throws Error(kData) for a field of a cell that is missing or of the wrong type.
[[nodiscard]] std::string csv(const Study& study);

/// A booktabs table of groups by main metrics, each a mean and its interval; the caption has the numbers of images and seeds and what the
/// result says of its intervals. Text is escaped for LaTeX.
/// @throws Error(kData) for a field of a group that is missing or of the wrong type.
[[nodiscard]] std::string latex(const Study& study);

/// The metrics' means along x as TensorBoard scalars "psnr/mean/<series>", step: the place of the level. Nothing without x, and nothing
/// where the folder holds an event file already: the curves would stand there twice.
void write_events(const Study& study, const std::filesystem::path& folder);

}  // namespace pellucid::report
