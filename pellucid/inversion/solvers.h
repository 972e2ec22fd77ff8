// How images are found: one row for each kind of attack.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/problem.h"
#include "pellucid/inversion/threat_model.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// A way from an observation to images. It only proposes: `reconstruct` clamps, evaluates again and chooses.
///
/// Of several rounds, labels, statistics and what is solved for (`analytic`, `r-gap`, `imprint`; what `disaggregate`,
/// `cpa` and `feature` isolate) are read off the first, which alone has all of it. What descends, descends on all
/// rounds, and all rounds judge every result.
struct Solver {
  std::string name, summary, source;
  /// Why it does not apply, and what would; nothing where it applies.
  std::optional<std::string> (*lacks)(const sharing::Observation& observation, const Attack& attack);
  /// Restarts first, ..., first + count - 1. Each depends on (observation, attack, its number) alone.
  /// @throws Error(kUsage) or Error(kModel) where it does not apply after all, saying why.
  /// @throws Error(kStopped) if a stop was asked for.
  std::vector<Trial> (*solve)(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                              std::int64_t count, const torch::Device& device);
  /// What its results are judged by, and chosen.
  Problem (*judged)(const sharing::Observation& observation, const Attack& attack,
                    const std::vector<std::int64_t>& labels) = make_problem;
  bool own_labels = false;       ///< needs none to begin with: each trial says its own
  bool runs_presets = false;     ///< runs others, each with terms and labels of its own
  std::vector<Means> uses = {};  ///< beyond the basics
};

/// Every solver, the one place that lists them.
[[nodiscard]] const std::vector<Solver>& solvers();

/// Whether the attack needs no labels to begin with: each trial says its own.
[[nodiscard]] bool finds_labels(const Attack& attack);

/// The attack's solver. @pre its name is one of them, which the settings check.
[[nodiscard]] const Solver& solver(const Attack& attack);

}  // namespace pellucid::inversion
