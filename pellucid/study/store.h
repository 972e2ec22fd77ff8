// Finished cells of a study, by name. What is there is never computed again.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <functional>

namespace pellucid::study {

/// A cell's name: the hash of everything that determines its result.
[[nodiscard]] std::string cell_name(const core::Json& determinants);

/// The result of a cell: read from `folder`/cells/NAME.json if it is there, else computed and written there, whole.
/// @throws what `compute` throws; the cell is absent then.
[[nodiscard]] core::Json cell(const std::filesystem::path& folder, const core::Json& determinants,
                              const std::function<core::Json()>& compute);

}  // namespace pellucid::study
