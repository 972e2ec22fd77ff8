// The sections of a study's page: each turns a part of the result into HTML.
#pragma once

#include "pellucid/report/page.h"
#include "pellucid/report/study.h"

#include <string>
#include <vector>

namespace pellucid::report {

/// Title, question, answer with the first contrast's interval, and the warnings.
[[nodiscard]] std::string study_header(const Study& s);

/// The page's sections, top to bottom, without those that the result has nothing for.
/// @throws Error(kData) for a field that is missing or of the wrong type, and for a picture that is not a PNG in
/// base64, naming it.
[[nodiscard]] std::vector<Section> study_sections(const Study& s);

/// Groups by metrics, beside the talk's figures.
[[nodiscard]] std::string groups_table(const Study& s);
/// The differences between groups.
[[nodiscard]] std::string contrasts_table(const Study& s);
/// How each network was trained, and what came of it.
[[nodiscard]] std::string trainings_table(const Study& s);
/// Every reading with what was measured of it; the first 2000.
[[nodiscard]] std::string cells_table(const Study& s);

/// The charts that the result has values for.
[[nodiscard]] std::string study_charts(const Study& s);

}  // namespace pellucid::report
