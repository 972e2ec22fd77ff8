// Finished cells of a run folder, by name, shared by any number of threads and processes. What is there is never
// computed again.
#pragma once

#include "pellucid/core/fields.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pellucid::record {

/// A cell's name: the hash of everything that determines its result. Text in it that is not UTF-8 counts as U+FFFD.
[[nodiscard]] std::string cell_name(const core::Json& determinants);

/// A finished cell as a line of a journal, without the line break:
/// {"journal": version, "sum": checksum of what follows, "name", "cell": determinants, "result"}.
[[nodiscard]] std::string journal_line(const core::Json& determinants, const core::Json& result);

/// What a line of a journal says.
struct JournalLine {
  enum class State {
    kWhole,    ///< `name`, `cell` and `result` are what was written
    kDamaged,  ///< something else than what was written: its checksum, its name or its form is wrong
    kOther,    ///< of another version of the journal (those without a checksum included)
  };
  State state = State::kDamaged;
  std::string name;
  core::Json cell, result;
};
/// Reads a line, whatever it is. Nothing is thrown.
[[nodiscard]] JournalLine read_journal_line(std::string_view line);

/// How processes that a launcher started keep out of one another's way where they may not see one another's locks.
struct Together {
  bool apart = false;  ///< append to a file of its own, cells-HOST-PROCESS.jsonl; all are read
  /// True for the one process that asks first for a name. Empty: locks are enough.
  std::function<bool(const std::string& name)> first_to_ask = {};
};

/// The cells of one folder.
///
/// They are lines of `folder`/cells.jsonl (`journal_line`), appended as they are finished. A line is whole or it does
/// not count, so a process may die at any moment; a power failure takes at most the cells that were finished within a
/// second of one before them. Lines that are damaged, of another version or not a result of such a cell are left out:
/// their cells are computed again, and `take_notes` says how many there were. Who computes a cell holds a lock on it,
/// which ends with its process: two processes on one folder share the work. Where the file system has no locks, or the
/// processes do not see one another's, `Together` keeps them apart.
class Store {
 public:
  using Compute = std::function<core::Json()>;
  /// Whether something is a result of a cell with these determinants; true for cells that it does not know.
  using Check = std::function<bool(const core::Json& determinants, const core::Json& result)>;

  /// Opens the store, or begins it.
  /// @param read_only changes nothing, not even where there is no store yet; only `find`, `refresh` and `take_notes`
  /// may be called then.
  /// @param check what a result must pass to be taken up; empty: everything is.
  /// @throws Error(kIo) if a file cannot be made or read.
  /// @throws Error(kData) if a file holds a line of more than 64 MiB, or is more than memory allows for.
  explicit Store(std::filesystem::path folder, Together together = {}, bool read_only = false, Check check = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// The result of a cell, if it is finished here or, since the last `refresh`, elsewhere.
  [[nodiscard]] std::optional<core::Json> find(const std::string& name) const;

  /// Takes up what other processes have finished.
  /// @throws as the constructor.
  void refresh();

  /// What was left out since the last call, a sentence for each file and reason: "cells.jsonl: 2 of 14 lines ...".
  [[nodiscard]] std::vector<std::string> take_notes();

  /// The result of a cell: what is kept, else computed and kept. Nothing while another process or thread computes it.
  /// @throws what `compute` throws; the cell is absent then.   @throws Error(kIo) if it cannot be kept.
  [[nodiscard]] std::optional<core::Json> try_cell(const core::Json& determinants, const Compute& compute);

  /// The same, waiting for the other.
  /// @throws Error(kStopped) if a stop was asked for while waiting.
  [[nodiscard]] core::Json cell(const core::Json& determinants, const Compute& compute);

  /// Brings what was written onto the disk: before a result is written that rests on it.
  /// @throws Error(kIo) if that fails.
  void sync();

  /// Runs `work` unless another process or thread holds the name. @return whether it ran.
  bool exclusively(const std::string& name, const std::function<void()>& work);

 private:
  struct File;
  std::unique_ptr<File> file_;
};

}  // namespace pellucid::record
