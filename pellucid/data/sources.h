// The data sets that are known by name: what their files are called, where they come from, and who reads them.
#pragma once

#include "pellucid/data/dataset.h"

#include <filesystem>

namespace pellucid::data {

/// A file to be fetched.
struct Download {
  std::string file;
  std::string sha256;  ///< lower-case hexadecimal
};

/// A data set that other people publish.
struct Source {
  std::string name;                      ///< as the user types it
  std::string summary;                   ///< one line for lists
  std::string folder;                    ///< its folder below a data folder
  std::vector<std::string> train_files;  ///< in that folder, each plain or .gz
  std::vector<std::string> test_files;
  std::string base_url;             ///< ends in '/'
  std::vector<Download> downloads;  ///< the files below `base_url`; a .tar.gz holds the files, others are them
  Dataset (*read)(const std::filesystem::path& folder, Split split);
};

/// All of them.
[[nodiscard]] const std::vector<Source>& sources();

/// The one called `name`, or null.
[[nodiscard]] const Source* find_source(const std::string& name);

/// The files of `source` that are not in `folder`.
[[nodiscard]] std::vector<std::string> missing_files(const std::vector<std::string>& files,
                                                     const std::filesystem::path& folder);

/// The files of both splits.
[[nodiscard]] std::vector<std::string> all_files(const Source& source);

/// The folders under which data sets are looked for, in order: `data_dir` unless empty, $PELLUCID_DATA if set, and
/// $XDG_CACHE_HOME/datasets or else ~/.cache/datasets.
[[nodiscard]] std::vector<std::filesystem::path> search_folders(const std::filesystem::path& data_dir);

}  // namespace pellucid::data
