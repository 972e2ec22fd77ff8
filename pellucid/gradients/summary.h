// What only this system can say of a finished study: its networks, their accuracies, the data and the conventions.
#pragma once

#include "pellucid/gradients/datasets.h"
#include "pellucid/grid/system.h"

namespace pellucid::gradients {

/// Networks that do no better than always predicting the commonest class: indices in `Finished::subjects`.
[[nodiscard]] std::vector<std::size_t> untaught(const grid::Finished& finished, Datasets& datasets);

/// Adds "data", "trainings", the groups' "natural" and "robust" accuracy, warnings of networks that learnt nothing or
/// are not robust, "conventions", and "protections" where groups with a defence stand beside one without; and where no
/// image is read back, headline and summary of the accuracies.
void add_summary(core::Json& result, const grid::Study& study, const grid::Finished& finished, Datasets& datasets);

}  // namespace pellucid::gradients
