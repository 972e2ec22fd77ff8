// What the verbs that measure accuracies share.
#pragma once

#include "pellucid/core/run_folder.h"
#include "pellucid/evasion/lint.h"

namespace pellucid::cli {

/// Begins a run that was accepted: writes config.json, and removes a result.json of other settings, which would stand
/// beside it as if it were this run's.
void begin(const core::RunFolder& folder, const core::Json& settings);

/// "patterns (generated): 4000 images of 10 classes, "0°", "18°", "36°" ...".
[[nodiscard]] std::string describe_data(const data::Dataset& dataset);

void print_findings(const std::vector<evasion::Finding>& findings);

}  // namespace pellucid::cli
