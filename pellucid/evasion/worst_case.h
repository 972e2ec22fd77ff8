// Several attacks on the same images; for each image the worst of them counts.
#pragma once

#include "pellucid/evasion/accuracy.h"
#include "pellucid/evasion/attacks.h"
#include "pellucid/evasion/judge.h"

#include <optional>

namespace pellucid::evasion {

struct WorstCaseOptions {
  std::vector<std::string> attacks = {"pgd"};  ///< names from `attacks()`, in the order in which they run
  bool early_exit = true;                      ///< images that an attack broke are left out by the next ones
  std::int64_t batch_size = 100;               ///< images attacked at once: what an interruption can lose
  double budget = 0;                           ///< seconds by the clock after which nothing more is attacked; 0: none
  std::int64_t first = 0;                      ///< the number of the first image: parts of a set draw as the whole does
};

[[nodiscard]] core::Fields fields(WorstCaseOptions& options);

/// @throws Error(kUsage) if an attack is unknown, named twice, or not for this norm.
void check(const WorstCaseOptions& options, Norm norm);

/// What one attack did.
struct AttackRecord {
  std::string name, title, description;
  std::int64_t attacked = 0;           ///< images it was run on
  std::int64_t unfinished = 0;         ///< images that it should have been run on when the budget was spent
  std::int64_t broken = 0;             ///< images of those it was run on at which the model errs, as judged by us
  std::int64_t broken_first = 0;       ///< images that no attack before it had broken
  std::int64_t corrected = 0;          ///< images whose points it returned outside the ball or [0, 1]
  std::int64_t queries = 0;            ///< images evaluated, gradients included
  double seconds = 0;                  ///< processor time, summed over the cores; what a CUDA device does is not in it
  Accuracy worst_case = {};            ///< over this attack and those before it
  Accuracy worst_case_8bit = {};       ///< the same when the adversarial images are saved with 8 bits
  std::optional<Accuracy> alone = {};  ///< under this attack only, if it was run on every image that was right
};

struct WorstCase {
  Accuracy natural;  ///< on the images attacked
  std::vector<AttackRecord> attacks;
  Accuracy worst_case, worst_case_8bit;  ///< over all of them
  std::vector<std::string> broken_by;    ///< for each image the first attack that broke it, "natural", or ""
  bool complete = true;                  ///< false: the budget was spent, and the worst case is only an upper bound
  std::string name;                      ///< as `ensemble_name`; never "AutoAttack" if it is not complete
};

/// By how much PGD alone flatters the model: its accuracy minus the worst case's, in [0, 1]. Nothing if PGD is not
/// among the attacks, was not run on every image, or is the only one.
[[nodiscard]] std::optional<double> pgd_gap(const WorstCase& result);

[[nodiscard]] core::Json to_json(const WorstCase& result);

/// Keeps results by what determines them, so that a run that was stopped goes on: returns the kept result, or computes
/// and keeps it. (`record::Store::cell` is one.)
using Remember = std::function<core::Json(const core::Json& determinants, const std::function<core::Json()>& compute)>;

/// Runs the attacks one after the other on a data set, in batches over run.threads cores, and judges each point itself
/// (`judge`).
///
/// An image that is answered wrongly before is not attacked and counts as broken. An image is broken if any attack
/// breaks it. The 8-bit worst case is over the points that were found; with early exit, an image whose point rounding
/// mends is not attacked again, so it is an upper bound.
///
/// The result does not depend on batch size or threads but for float rounding: image i draws from streams with index
/// options.first + i.
/// With a budget, batches that are not finished in time count as not attacked.
/// @param identity what determines the model and the data besides the images, for `remember`.
/// @throws Error(kUsage), before any attack, if one is unknown, named twice, not for this norm, or needs more classes.
/// @throws Error(kStopped) if a stop was asked for; finished batches are remembered.
[[nodiscard]] WorstCase worst_case(const Model& model, const data::Dataset& dataset, const AttackSettings& settings,
                                   const WorstCaseOptions& options, const core::Run& run = {},
                                   const core::Json& identity = {}, const Remember& remember = {});

}  // namespace pellucid::evasion
