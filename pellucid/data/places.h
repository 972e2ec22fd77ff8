// Where data sets lie on this machine, and what lies there in their place.
#pragma once

#include "pellucid/data/sources.h"

#include <filesystem>
#include <string>
#include <vector>

namespace pellucid::data {

/// The one folder below which data sets are looked for and fetched to: `data_dir`; if that is empty $PELLUCID_DATA; if
/// that is not set $XDG_CACHE_HOME/datasets, or else ~/.cache/datasets. Where one of them is given none of the others
/// counts. Empty if none is known.
[[nodiscard]] std::filesystem::path data_folder(const std::filesystem::path& data_dir);

/// Where a data set lies.
struct Place {
  std::filesystem::path folder;      ///< empty if none of its files is anywhere
  std::vector<std::string> missing;  ///< those of its files that are not there
};

/// The place below `data_folder(data_dir)` that has most of the files of `source`; of equal ones the first. Where that
/// is the cache folder, /usr/share/datasets, where Debian's packages put theirs, is looked at after it.
/// @throws Error(kIo) if a place cannot be looked at.
[[nodiscard]] Place locate(const Source& source, const std::filesystem::path& data_dir);

/// Those of `files` that are not in `folder`.
/// @throws Error(kIo) if `folder` cannot be looked at.
[[nodiscard]] std::vector<std::string> missing_files(const std::vector<std::string>& files,
                                                     const std::filesystem::path& folder);

/// What a folder holds, for a message that something else was expected there: "it holds "cifar-10-batches-py" (the
/// Python version of CIFAR-10; the binary one is read)".
[[nodiscard]] std::string contents_of(const std::filesystem::path& folder);

}  // namespace pellucid::data
