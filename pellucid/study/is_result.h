// What a cell of a study may hold: looked at before a result of an earlier run is taken up.
#pragma once

#include "pellucid/core/fields.h"

namespace pellucid::study {

/// Whether something is a result of such a cell: of a network (`measured`), an image (`read_cell`) or a control (`run_control`), or
/// `failed`. Keys and kinds are looked at, not values. True of an object with a "status" for cells of other kinds.
[[nodiscard]] bool is_result(const core::Json& determinants, const core::Json& result);

}  // namespace pellucid::study
