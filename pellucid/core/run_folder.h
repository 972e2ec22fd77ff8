// A run folder: whose it is, and who works in it.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <string>

namespace pellucid::core {

/// How many processes may work in a run folder at a time.
enum class Workers { kOne, kSeveral };

/// A run folder that belongs to one verb, held for as long as this object lives.
///
/// The folder's config.json names the verb and its settings. A verb never works in another verb's folder: it would
/// replace its result.json. Where the work is one process's (a training), a second process is refused.
///
/// The lock is the kernel's (flock on the folder itself): it ends with the process and leaves no file. Where the file
/// system has no locks, nothing is refused.
class RunFolder {
 public:
  /// Checks and locks the folder; makes it if there is none. Nothing else in it is touched.
  /// @param verb as on the command line: "train".
  /// @throws Error(kUsage) if another verb's run is in the folder, naming it.
  /// @throws Error(kUsage) if another process works in it and `workers` is kOne.
  /// @throws Error(kIo) if the folder cannot be made or read.
  RunFolder(std::filesystem::path path, std::string verb, Workers workers);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  /// Writes config.json: {"verb": .., and the settings}.
  /// @throws Error(kIo) as `write_file`.
  void write_config(const Json& settings) const;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::string verb_;
  int descriptor_ = -1;
};

}  // namespace pellucid::core
