// The data sets that are known by name: what their files are called, where they come from, and who reads them.
#pragma once

#include "pellucid/data/dataset.h"

#include <filesystem>

namespace pellucid::data {

/// A file to be fetched.
struct Download {
  std::string file;
  std::string sha256;       ///< lower-case hexadecimal
  std::uint64_t bytes = 0;  ///< what it holds, as published
};

/// A data set that other people publish.
struct Source {
  std::string name;                  ///< as the user types it
  std::string summary;               ///< one line for lists
  std::vector<std::string> classes;  ///< in label order
  /// Where it lies below a data folder ("" is that folder itself); it is fetched to the first.
  std::vector<std::string> folders;
  std::vector<std::string> train_files;  ///< in such a folder, each as `find_file` finds it
  std::vector<std::string> test_files;
  std::string base_url;             ///< ends in '/'
  std::vector<Download> downloads;  ///< the files below `base_url`; a .tar.gz holds the files, others are them
  /// Images and labels of those files, one split's.
  Dataset (*read)(const std::filesystem::path& folder, const std::vector<std::string>& files);
};

/// All of them.
[[nodiscard]] const std::vector<Source>& sources();

/// What they are called.
[[nodiscard]] std::vector<std::string> source_names();

/// The one called `name`, or null.
[[nodiscard]] const Source* find_source(const std::string& name);

/// The files of both splits.
[[nodiscard]] std::vector<std::string> all_files(const Source& source);

}  // namespace pellucid::data
