// result.json of a study whose cells are all finished.
#pragma once

#include "pellucid/grid/system.h"

namespace pellucid::grid {

/// A hash of everything that the result depends on but the environment: what has been summed up is not summed up again.
[[nodiscard]] std::string inputs(const Study& study, const Finished& finished);

/// The result, of schema "pellucid.study/2", with "inputs" and "environment" in it.
[[nodiscard]] core::Json result_of(const Study& study, System& system, const Finished& finished,
                                   const core::Json& environment);

}  // namespace pellucid::grid
