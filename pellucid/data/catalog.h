// Data sets by name: finds them on this machine and says how to get those that are missing.
#pragma once

#include "pellucid/data/dataset.h"

#include <filesystem>

namespace pellucid::data {

/// Loads a data set by name: one of `sources`, "patterns" (built in, see patterns.h), or the path of an image folder
/// (see `read_image_folder`); a path of one part is one below `data_dir`.
///
/// Published sets are looked for in one place (`locate`), below it in a folder of their own (mnist/, MNIST/raw/ as
/// torchvision has it, cifar-10-batches-bin/) and, MNIST and CIFAR-10, in the folder itself. Both splits come from the
/// same folder, which is the data set's `source`.
/// @param data_dir where data sets lie; empty: $PELLUCID_DATA, else the cache folder.
/// @throws Error(kData) if its files are missing (naming the place, what lies there instead, and the fix) or damaged.
/// @throws Error(kData) if `name` is a path and there is no such folder.
/// @throws Error(kIo) if a folder may not be entered or a file cannot be read.
/// @throws Error(kUsage) if there is no data set of that name, naming the nearest.
[[nodiscard]] Dataset load(const std::string& name, Split split, const std::filesystem::path& data_dir = {});

/// What `load` takes, for help and errors: "mnist, cifar10, ..., or the path of a folder of images".
[[nodiscard]] std::string choices();

/// One data set that `load` knows by name, and what of it is here.
struct Found {
  std::string name;
  std::string summary;
  std::string where;                 ///< the folder it is in, "built in", or empty if it is not here
  std::vector<std::string> missing;  ///< files that `where` lacks, or all if it is empty; none if complete
  std::string fix;                   ///< the command that gets what is missing, or empty
  std::string problem;               ///< why its place cannot be looked at, or empty
};

/// Every data set known by name.
[[nodiscard]] std::vector<Found> list(const std::filesystem::path& data_dir = {});

/// True if `load` would find both splits of `name`, whatever state the files are in.
[[nodiscard]] bool available(const std::string& name, const std::filesystem::path& data_dir = {});

}  // namespace pellucid::data
