// What a study is of: everything that the grid itself does not know.
//
// A system prepares a subject once for each repetition (trains a network), reads items back from it (images), and
// scores each with the truth in hand. The grid does the rest: axes, scales, seeds, resumption, several processes,
// intervals, contrasts, controls and the result. tests/grid/ has a system of a page.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/grid/study.h"
#include "pellucid/record/metric.h"
#include "pellucid/record/reading.h"
#include "pellucid/record/store.h"

#include <functional>
#include <set>

namespace pellucid::grid {

/// What things are called for the reader, each a noun in the singular whose plural ends in s.
struct Words {
  std::string item = "item";              ///< what is read back: "image"
  std::string repetition = "repetition";  ///< what a seed repeats: "training"
  std::string subject = "subject";        ///< what is prepared: "network"
  [[nodiscard]] std::string items() const { return item + "s"; }
  [[nodiscard]] std::string repetitions() const { return repetition + "s"; }
};

/// What is prepared once and read back from many times.
struct Subject {
  std::string id;           ///< names it in the folder of what studies share
  core::Json determinants;  ///< all that its preparation depends on: names its cell in the shared store
  core::Json settings;      ///< of the first group that reads it
  std::int64_t seed = 0;
};

/// What studies share: finished preparations and controls, and a folder for what belongs to them.
struct Shared {
  record::Store& store;
  const std::filesystem::path& folder;
};

/// A finished cell: which it is, and what came out.
struct Cell {
  std::size_t group = 0;
  std::int64_t seed = 0;
  std::int64_t place = 0;  ///< of the item among the study's: 0 to items - 1
  std::int64_t item = 0;   ///< its number in the whole set
  std::string name;        ///< `record::cell_name`; empty where its subject failed
  record::Reading reading;
};

/// A control to run: a cell of the shared store, so that studies share it.
struct Control {
  Subject subject = {};                               ///< one of the study's: it is run once this is prepared ...
  bool needs_subject = false;                         ///< ... and not at all where that failed
  core::Json determinants = {};                       ///< with "control": its kind
  std::function<core::Json(const Shared&)> run = {};  ///< {"status", "value": number or null, "n"}, or `failed`
  std::function<record::Control(const core::Json& result)> row = {};  ///< what the result says
};

/// Which repetition of which group a row of cells belongs to, and what it reads.
struct Block {
  std::size_t group = 0;
  std::size_t subject = 0;  ///< index in `Finished::subjects`
  std::int64_t seed = 0;
};

/// A study with everything done.
struct Finished {
  std::vector<Subject> subjects;     ///< each once, in the order of the groups
  std::vector<core::Json> prepared;  ///< one for each subject
  std::vector<Block> blocks;         ///< one for each (group, seed); seed varies fastest
  std::vector<Cell> cells;           ///< block by block, each with its items in order
  std::vector<record::Control> controls;
};

/// How the mean of the tested metric is also taken: of another score, before the transformation. For PSNR, the PSNR of
/// the mean squared error.
struct Pooled {
  std::string of;                         ///< the score that is averaged: "mse"; lower is better
  std::string in_group;                   ///< the key in a group's row: "psnr_of_mean_error"
  std::string in_contrast;                ///< the key in a contrast's row: "of_mean_error"
  double least = 0;                       ///< smaller scores count as this
  double (*transform)(double) = nullptr;  ///< of the mean, to the tested metric; decreasing
  /// The difference in the tested metric between groups, from the ratio of their means; decreasing.
  double (*of_ratio)(double) = nullptr;
};

/// A score at whose equal values a difference is also given: the intercept of the regression of the differences in the
/// tested metric on those in the covariate.
struct Covariate {
  std::string key;                          ///< in a contrast's row: "at_equal_loss"
  std::string score;                        ///< "matching_loss"
  std::string label;                        ///< "matching loss", for the summary; empty: not in the summary
  std::function<double(double)> transform;  ///< NaN: the pair is left out
  double near = 0;                          ///< transformed differences up to which a pair counts as overlapping
  std::string alike;           ///< that in words: "have matching losses within a factor of 2 of each other"
  bool needs_overlap = false;  ///< left out where fewer than 30 pairs overlap; else it is called extrapolated
  std::string ratio;           ///< the key of the ratio of the groups' means; empty: none
  /// Whether two groups' values measure the same thing.
  std::function<bool(const core::Json& settings, const core::Json& other)> comparable;
};

class System {
 public:
  virtual ~System() = default;

  /// What results are of: "gradients".
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual const Words& words() const = 0;
  /// The scores. The first is the one that is tested.
  [[nodiscard]] virtual const std::vector<record::Metric>& metrics() const = 0;
  /// What of `Reading::more` stands in each cell's row of the result, numbers: key and heading.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> columns() const { return {}; }
  [[nodiscard]] virtual std::optional<Pooled> pooled() const { return {}; }
  [[nodiscard]] virtual std::vector<Covariate> covariates() const { return {}; }

  // Settings.

  /// The names of a study's tables.
  [[nodiscard]] virtual std::vector<std::string> tables() const = 0;
  /// A group's settings, complete: what the tables say and defaults for the rest.
  /// @param folder of the study's file.
  /// @param where names the study and the group in messages.
  /// @throws Error(kUsage) for an unknown key, a value of the wrong kind, or settings that do not go together.
  [[nodiscard]] virtual core::Json resolve(const core::Json& tables, const std::filesystem::path& folder,
                                           const std::string& where) const = 0;
  /// Changes what was typed where it means something else than in a file: a relative path.
  virtual void take_typed(core::Json& /*tables*/) const {}
  /// @throws Error(kUsage) if the groups and seeds of a study do not go together.
  virtual void check(const Study& /*study*/, const std::string& /*where*/) const {}
  /// Where the items come from: groups are paired only where this is the same.
  [[nodiscard]] virtual std::string source(const core::Json& /*settings*/) const { return ""; }

  // Work. `item`, `read` and `Control::run` are called by several threads at once.

  /// Refuses settings that cannot be run, before any work is done. @throws Error(kUsage), Error(kData).
  virtual void check_runs(const core::Json& /*settings*/) {}
  /// The number of the item at a place of the order in which studies draw them.
  /// @throws Error(kUsage) if there are fewer.
  [[nodiscard]] virtual std::int64_t item(const core::Json& /*settings*/, std::int64_t place) { return place; }
  [[nodiscard]] virtual Subject subject(const core::Json& settings, std::int64_t seed) = 0;
  /// Prepares a subject, or finds it, and keeps the result in the shared store under the name of its determinants.
  /// @return {"status": "ok", ...} or `failed`; nothing while another process is at it.
  /// @throws every Error that ends the run: a stop, a file, the machine.
  [[nodiscard]] virtual std::optional<core::Json> prepare(const Subject& subject, const Shared& shared,
                                                          const core::Run& run);
  /// What was prepared, for a line of progress.
  [[nodiscard]] virtual std::string describe(const core::Json& /*prepared*/) const { return "ready"; }
  /// Whether a kept result is one of `prepare`. It may be of any form.
  [[nodiscard]] virtual bool is_prepared(const core::Json& result) const;
  /// All that determines the readings of a group's items in one repetition, but for the item.
  [[nodiscard]] virtual core::Json determinants(const core::Json& settings, const Subject& subject,
                                                const core::Json& prepared) = 0;
  /// Reads one item back and scores it; scores are finite, by the keys of `metrics`. What fails for a reason of its own
  /// is a reading with that status.
  [[nodiscard]] virtual record::Reading read(const core::Json& settings, const Subject& subject,
                                             const core::Json& prepared, std::int64_t item, const Shared& shared) = 0;
  /// Loads, before threads begin, what all readings of a group need.
  virtual void warm_up(const core::Json& /*settings*/) {}

  // Controls.

  [[nodiscard]] virtual std::vector<Control> controls(const Study& /*study*/) { return {}; }
  /// Controls that follow from the cells: the score of who guesses without an observation.
  [[nodiscard]] virtual std::vector<record::Control> baselines(const Study& /*study*/,
                                                               const std::vector<Cell>& /*cells*/) {
    return {};
  }

  // Estimates for `outline`, in seconds on one core.

  [[nodiscard]] virtual double preparing_seconds(const Subject& /*subject*/, const std::filesystem::path& /*shared*/) {
    return 0;
  }
  [[nodiscard]] virtual double reading_seconds(const core::Json& /*settings*/) { return 0; }

  // The result.

  /// The budget that two groups share, for a sentence: "600 iterations"; empty where they differ.
  [[nodiscard]] virtual std::string budget(const core::Json& /*settings*/, const core::Json& /*other*/) const {
    return "";
  }
  /// Subjects that say nothing (networks that learnt nothing): the headline does not lead with their groups.
  [[nodiscard]] virtual std::vector<std::size_t> meaningless(const Finished& /*finished*/) { return {}; }
  /// An item as it is in truth, for the gallery: {"class", "original": PNG in base64}. Null: it is no picture, and
  /// there is no gallery.
  [[nodiscard]] virtual core::Json original(const core::Json& /*settings*/, std::int64_t /*item*/) { return {}; }
  /// Adds what only the system can say: "data", "trainings", "conventions", warnings.
  /// @param result as `result_of` made it so far.
  virtual void complete(core::Json& /*result*/, const Study& /*study*/, const Finished& /*finished*/) {}
};

/// Of what a cell and its reading are: a new one where old ones must not be taken up. 3: readings are typed.
inline constexpr int kReadingVersion = 3;

/// Whether a kept result is one of such a cell: a reading, a control or a subject. Keys and kinds are looked at.
/// Readings of another version pass: nothing asks for them.
[[nodiscard]] bool is_kept_result(const System& system, const core::Json& cell, const core::Json& result);

/// {"status": "failed", "reason"}.
[[nodiscard]] core::Json failed(const std::string& reason);

/// What a subject is for the reader: the labels that it goes with, those of axes along which it does not serve several
/// groups, and its seed: {"levels": {axis: label}, "label": "adversarial, seed 0"}.
[[nodiscard]] core::Json subject_labels(const Study& study, const Finished& finished, std::size_t subject);

}  // namespace pellucid::grid
