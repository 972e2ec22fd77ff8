// Runs a study: trains what is missing, reads images back, and writes result.json.
#pragma once

#include "pellucid/core/processes.h"
#include "pellucid/core/run.h"
#include "pellucid/study/plan.h"

namespace pellucid::study {

/// Where a study's work is kept.
struct Folders {
  std::filesystem::path run;      ///< its cells and its result
  std::filesystem::path trained;  ///< networks by name, shared by all studies that need them
};

/// What is done and what is still to do.
struct Outline {
  struct Item {
    std::string id = {};  ///< of a training
    std::string name;     ///< "adversarial, seed 0", "adversarial, residual"
    std::int64_t done = 0, total = 0;
    double seconds = 0;  ///< estimated, of what is to do
  };
  std::vector<Item> trainings, readings;  ///< one a training, one a group
};

/// Looks at what the folders hold and times a step of each kind on this machine to estimate the rest. Changes nothing.
/// @throws Error(kData) if a data set is missing.
[[nodiscard]] Outline outline(const Study& study, const Folders& folders, const core::Run& run);

/// Runs the study, or goes on with what the folders hold.
///
/// Every (group, training seed, image) is a cell: all groups get the same images, labels, start noise and seeds.
/// Whatever fails for a reason of its own (a training that diverges, a checkpoint that is missing) is a row of the
/// result with its reason; a full disk or a stop ends the run. Controls come with every study: see `Control` in
/// result.json.
///
/// Several processes on the same folders share the cells. Results do not depend on how many there are, nor on the
/// order, nor on how often the run was killed; trainings depend on the number of threads in their last bits.
///
/// @return what `folders.run`/result.json holds, of schema "pellucid.study/2"; null in all processes but the first.
/// @throws Error(kStopped) if a stop was asked for; the same call goes on from there.
/// @throws Error(kData) if a data set is missing.   @throws Error(kIo) if something cannot be written.
[[nodiscard]] core::Json run_study(const Study& study, const Folders& folders, const core::Run& run,
                                   const core::Processes& processes = {});

}  // namespace pellucid::study
