// The networks of studies: trained once and kept by name, or given as a file; measured at a checkpoint.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/data/dataset.h"
#include "pellucid/study/plan.h"
#include "pellucid/study/store.h"

#include <map>
#include <mutex>

namespace pellucid::study {

/// The data sets of a study, each loaded when it is first asked for, and what is known of its given weights. Threads may
/// share it.
class Datasets {
 public:
  /// The images that the settings train on, and those that they measure on: all, or so many, drawn with seed 0. Labels
  /// count in the classes of the training images, by name.
  const data::Dataset& train(const Settings& settings);
  const data::Dataset& test(const Settings& settings);
  /// All test images, in their own order: those that are read back are some of these.
  const data::Dataset& all_test(const Settings& settings);
  /// The number in `all_test` of the image at a place of the order in which studies draw them: stratified, seed 0.
  /// @throws Error(kUsage) if there are fewer images.
  std::int64_t drawn(const Settings& settings, std::int64_t place);
  /// (1, C, H, W) in [0, 1]: the mean of the training images, which is the best guess without any gradient, in squared
  /// error.
  const Tensor& mean_image(const Settings& settings);
  /// What tells the data from others: the name of a set that is known by name; of a folder, also a hash of its images,
  /// labels and classes.
  const std::string& identity(const Settings& settings);
  /// The fingerprint of the network whose weights the settings give; empty where it is trained.
  /// @throws as `nets::load_network`.
  const std::string& given(const Settings& settings);

 private:
  std::mutex mutex_;
  std::map<std::string, data::Dataset> sets_;
  std::map<std::string, Tensor> orders_;
  std::map<std::string, Tensor> means_;
  std::mutex identity_mutex_;
  std::map<std::string, std::string> identities_, given_;
  std::string identify(const Settings& settings);
  const data::Dataset& whole(const Settings& settings, data::Split split);
  const data::Dataset& load(const Settings& settings, data::Split split, std::int64_t most);
};

/// One training, or a network that is given: settings and seed.
struct Training {
  std::string id;     ///< the hash of all that determines its weights, which what judges them does not: its folder's name
  Settings settings;  ///< with the seed in them
  std::int64_t seed = 0;
  std::string given;  ///< `Datasets::given`
};

[[nodiscard]] Training training_of(const Settings& settings, std::int64_t seed, Datasets& datasets);

/// Refuses settings that cannot be run on their data, before any work is done.
/// @throws Error(kUsage) if there is no such network or data set, or the network does not take the images.
/// @throws Error(kUsage) if the last layer is to be scaled and is not linear.
/// @throws Error(kUsage) if the checkpoint comes after the training's end.
/// @throws Error(kUsage) if given weights are of another network than `net`, for other images or classes than the data's, or
///   standardise where the settings do not, or the other way round.
/// @throws Error(kData) if the data are missing or damaged, or the test images have another shape or further classes.
void check_runs(const Settings& settings, Datasets& datasets);

/// A training's network at a checkpoint: {"status", "reason", "fingerprint", "natural", "robust", "robust_attack",
/// "description", "architecture", "parameters", "kept_epoch", "curve"}. Trains it if it is not given and that was not
/// done, in `folder`/ID, and measures it: "curve" (of a training's checkpoint "end"; else null, as "kept_epoch" of
/// given weights) too is measured as the settings say, from each epoch's weights. A training that fails for a reason of
/// its own has the status "failed".
///
/// @return nothing while another process is at it.
/// @throws as `check_runs`.
/// @throws Error(kModel) if what a training left behind is damaged.   @throws Error(kStopped), Error(kIo).
[[nodiscard]] std::optional<core::Json> measured(const Training& training, Store& store,
                                                 const std::filesystem::path& folder, Datasets& datasets,
                                                 const core::Run& run);

/// The same, if it was done before.
[[nodiscard]] std::optional<core::Json> find_measured(const Training& training, const Store& store);

/// The network, with the last layer scaled as the settings say. @pre `measured` has it, with status "ok".
/// @param fingerprint what `measured` says of it; empty: it is not compared.
/// @throws Error(kModel) if its weights are gone, damaged or others than were measured; of given ones, than
/// `training_of` found.
[[nodiscard]] nets::Network load(const Training& training, const std::filesystem::path& folder, const std::string& fingerprint = "");

/// {"status": "failed", "reason"}.
[[nodiscard]] core::Json failed(const std::string& reason);

/// Runs work that may fail for a reason of its own: settings that do not go together, a training that diverges, an
/// operation without a result.
/// @return its result, or `failed`.
/// @throws every Error but kUsage, and Error(kIo) where memory or the device gave out: another try may succeed, so they
/// are no result.
[[nodiscard]] core::Json attempt(const std::function<core::Json()>& work);

}  // namespace pellucid::study
