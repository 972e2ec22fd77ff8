// Runs a study: prepares what is missing, reads items back, and writes result.json.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/grid/system.h"

namespace pellucid::grid {

/// Where a study's work is kept.
struct Folders {
  std::filesystem::path run;     ///< its config.json, cells and result
  std::filesystem::path shared;  ///< what is prepared, by name, shared by all studies that need it
};

/// The processes that run one study together; by default there is one.
struct Peers {
  bool first = true;  ///< in the one that writes the result
  int count = 1;
  /// True in the one process that asks first for a name.
  std::function<bool(const std::string&)> claim = {};
  /// Returns once all processes have called it.
  std::function<void()> wait_for_all = {};
};

/// What is done and what is still to do.
struct Outline {
  struct Part {
    std::string id = {};  ///< of a subject
    std::string name;     ///< "adversarial, seed 0", "adversarial, residual"
    std::int64_t done = 0, total = 0;
    double seconds = 0;  ///< estimated, of what is to do
  };
  std::vector<Part> subjects, readings;  ///< one for each subject, one for each group
};

/// Looks at what the folders hold and lets the system estimate the rest. Changes nothing.
/// @throws as the system.
[[nodiscard]] Outline outline(const Study& study, System& system, const Folders& folders, const core::Run& run);

/// Runs the study, or goes on with what the folders hold.
///
/// Every (group, seed, item) is a cell: all groups get the same items and seeds. Whatever fails for a reason of its own
/// is a row of the result with its reason; a full disk or a stop ends the run.
///
/// Everything is checked before any work is done or any file written: a refused study leaves the folders as they were.
/// What is damaged in the folders is said, left out and computed again.
///
/// Several processes on the same folders share the cells. Results do not depend on how many there are, nor on the
/// order, nor on how often the run was killed.
///
/// @param environment what result.json says of where it was made.
/// @param warn takes sentences on what was damaged, also where progress is off; may be empty.
/// @return what `folders.run`/result.json holds, of schema "pellucid.study/2"; null in all processes but the first.
/// @throws Error(kStopped) if a stop was asked for; the same call goes on from there.
/// @throws Error(kUsage) if the folder is another run's, or the items are not there; and as `System::check_runs`.
/// @throws Error(kData) as `System::check_runs`, or if the cells are more than memory allows for.
/// @throws Error(kIo) if something cannot be written.
[[nodiscard]] core::Json run_study(const Study& study, System& system, const Folders& folders, const core::Run& run,
                                   const core::Json& environment, const Peers& peers = {},
                                   const std::function<void(const std::string&)>& warn = {});

}  // namespace pellucid::grid
