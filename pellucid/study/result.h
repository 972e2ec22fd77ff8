// result.json of a study whose cells are all finished.
#pragma once

#include "pellucid/study/analysis.h"
#include "pellucid/study/cells.h"

namespace pellucid::study {

/// A study with everything done.
struct Finished {
  Parts parts;
  std::vector<core::Json> networks;  ///< one a training, as `measured` gives it
  std::vector<Cell> cells;           ///< block by block, each with its images in order
  core::Json controls;               ///< rows of `control_rows`
};

/// A hash of everything that the result depends on but the environment: what has been summed up is not summed up again.
[[nodiscard]] std::string inputs(const Study& study, const Finished& finished);

/// The result, of schema "pellucid.study/2", with "inputs" and "environment" in it.
[[nodiscard]] core::Json result_of(const Study& study, const Finished& finished, Datasets& datasets,
                                   const core::Json& environment);

}  // namespace pellucid::study
