// The networks of studies: trained once and kept by name, or given as a file; measured at a checkpoint.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/gradients/datasets.h"
#include "pellucid/record/store.h"

namespace pellucid::gradients {

/// One training, or a network that is given: settings and seed.
struct Training {
  std::string id;  ///< the hash of all that determines its weights, which what judges them does not: its folder's name
  Settings settings;  ///< with the seed in them
  std::int64_t seed = 0;
  std::string given;  ///< `Datasets::given`
};

[[nodiscard]] Training training_of(const Settings& settings, std::int64_t seed, Datasets& datasets);

/// Refuses settings that cannot be run on their data, before any work is done.
/// @throws Error(kUsage) if there is no such network or data set, or the network does not take the images.
/// @throws Error(kUsage) if the last layer is to be scaled and is not linear.
/// @throws Error(kUsage) if the checkpoint comes after the training's end.
/// @throws Error(kUsage) if given weights are of another network than `net`, for other images or classes than the
///   data's, or standardise where the settings do not, or the other way round.
/// @throws Error(kData) if the data are missing or damaged, or the test images have another shape or further classes.
void check_runs(const Settings& settings, Datasets& datasets);

/// All that a training's network at a checkpoint, and what is measured of it, depends on.
[[nodiscard]] core::Json determinants(const Training& training);

/// A training's network at a checkpoint: {"status", "reason", "fingerprint", "natural", "robust", "robust_attack",
/// "description", "architecture", "parameters", "kept_epoch", "curve"}. Trains it if it is not given and that was not
/// done, in `folder`/ID, and measures it: "curve" (of a training's checkpoint "end"; else null, as "kept_epoch" of
/// given weights) too is measured as the settings say, from each epoch's weights. A training that fails for a reason of
/// its own has the status "failed".
///
/// @return nothing while another process is at it.
/// @throws as `check_runs`.
/// @throws Error(kModel) if what a training left behind is damaged.   @throws Error(kStopped), Error(kIo).
[[nodiscard]] std::optional<core::Json> measured(const Training& training, record::Store& store,
                                                 const std::filesystem::path& folder, Datasets& datasets,
                                                 const core::Run& run);

/// The network, with the last layer scaled as the settings say. @pre `measured` has it, with status "ok".
/// @param fingerprint what `measured` says of it; empty: it is not compared.
/// @throws Error(kModel) if its weights are gone, damaged or others than were measured; of given ones, than
/// `training_of` found.
[[nodiscard]] nets::Network load(const Training& training, const std::filesystem::path& folder,
                                 const std::string& fingerprint = "");

/// Runs work that may fail for a reason of its own: settings that do not go together, a training that diverges, an
/// operation without a result.
/// @return why it failed; nothing where it did not.
/// @throws every Error but kUsage, and Error(kIo) where memory or the device gave out: another try may succeed, so they
/// are no result.
[[nodiscard]] std::optional<std::string> failure(const std::function<void()>& work);

/// The work's result, or `grid::failed`. @throws as `failure`.
[[nodiscard]] core::Json attempt(const std::function<core::Json()>& work);

}  // namespace pellucid::gradients
