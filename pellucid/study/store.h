// Finished cells of a run folder, by name, shared by any number of threads and processes. What is there is never
// computed again.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

namespace pellucid::study {

/// A cell's name: the hash of everything that determines its result.
[[nodiscard]] std::string cell_name(const core::Json& determinants);

/// How processes that a launcher started keep out of one another's way where they may not see one another's locks.
struct Together {
  bool apart = false;  ///< append to a file of its own, cells-HOST-PROCESS.jsonl; all are read
  /// True for the one process that asks first for a name. Empty: locks are enough.
  std::function<bool(const std::string& name)> first_to_ask = {};
};

/// The cells of one folder.
///
/// They are lines of `folder`/cells.jsonl, {"name", "cell": determinants, "result"}, appended as they are finished. A
/// line is whole or it does not count, so a process may die at any moment; a power failure takes at
/// most the cells that were finished within a second of one before them. Who computes a cell holds a lock on it, which
/// ends with its process: two processes on one folder share the work. Where the file system has no locks, or the
/// processes do not see one another's, `Together` keeps them apart.
class Store {
 public:
  using Compute = std::function<core::Json()>;

  /// Opens the store, or begins it.
  /// @param read_only changes nothing, not even where there is no store yet; only `find` and `refresh` may be called
  /// then.
  /// @throws Error(kIo) if a file cannot be made or read.
  explicit Store(std::filesystem::path folder, Together together = {}, bool read_only = false);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// The result of a cell, if it is finished here or, since the last `refresh`, elsewhere.
  [[nodiscard]] std::optional<core::Json> find(const std::string& name) const;

  /// Takes up what other processes have finished.
  void refresh();

  /// The result of a cell: what is kept, else computed and kept. Nothing while another process or thread computes it.
  /// @throws what `compute` throws; the cell is absent then.   @throws Error(kIo) if it cannot be kept.
  [[nodiscard]] std::optional<core::Json> try_cell(const core::Json& determinants, const Compute& compute);

  /// The same, waiting for the other.
  /// @throws Error(kStopped) if a stop was asked for while waiting.
  [[nodiscard]] core::Json cell(const core::Json& determinants, const Compute& compute);

  /// Runs `work` unless another process or thread holds the name. @return whether it ran.
  bool exclusively(const std::string& name, const std::function<void()>& work);

 private:
  struct File;
  std::unique_ptr<File> file_;
};

}  // namespace pellucid::study
