// What is wrong with a measurement of robustness, looked for before there is any figure.
#pragma once

#include "pellucid/evasion/worst_case.h"

namespace pellucid::evasion {

enum class Severity {
  kWarning,  ///< figures may be too high: attacks are held up, not the attacker
  kError,    ///< figures would not mean what they say
};

/// One thing found: what it is called, how bad it is, and a sentence for the reader that says what to do.
struct Finding {
  std::string code;
  Severity severity;
  std::string sentence;
};

[[nodiscard]] core::Json to_json(const std::vector<Finding>& findings);

/// Every code that there is, with what it looks for.
[[nodiscard]] const std::vector<std::pair<std::string, std::string>>& lint_codes();

/// Looks over a model, some images and a ball.
///
/// Asks the model about the images a few times, takes gradients of the cross-entropy, runs PGD (10 steps of epsilon / 4
/// without random start) and Square (100 queries). Sources of the checks: Carlini et al. 2019, arXiv:1902.06705; the
/// checks of AutoAttack's code; the troubles that users of such tools report most.
///
/// Random: Square's draws, from (seed, ids).
/// @param images (B, C, H, W): as many as one cares to pay for, 32 are enough.   @param labels, ids (B) int64.
/// @return what was found, worst first; empty for a sound model.
[[nodiscard]] std::vector<Finding> lint(const Model& model, const Tensor& images, const Tensor& labels,
                                        const Tensor& ids, const Ball& ball, std::uint64_t seed);

/// What the settings of an attack say: "cannot-reach" if its steps together are shorter than the radius of its ball,
/// "step-too-large" if each of several is longer, "no-budget" if the radius is 0.
/// @param where names the attack in the sentence: "pgd", "test_attack".
[[nodiscard]] std::vector<Finding> lint(const PgdOptions& attack, const std::string& where);

/// What the accuracy without an attack says: "constant-answer" if answering the commonest class always might be as good
/// (its share is not below the interval), "non-finite-logits" if answers are not numbers, "missing-class" if a class
/// has no images.
/// @param dataset on which the accuracy was measured.
[[nodiscard]] std::vector<Finding> lint(const Accuracy& natural, const data::Dataset& dataset);

/// Tries the attacks that were run: "weak-attack" if PGD (10 steps of epsilon / 4) breaks images that all of them left
/// standing, more than 2 % and more than one.
/// @param images, labels some of the images that `result` is about.   @param rows (B) int64: their places among those.
[[nodiscard]] std::vector<Finding> lint(const WorstCase& result, const Model& model, const Tensor& images,
                                        const Tensor& labels, const Tensor& rows, const Ball& ball);

/// What the attacks' own figures say: "square-beats-white-box" if Square broke images that no attack with gradients had
/// broken (more than 2 % of them and more than one), "attack-left-ball" if points had to be corrected.
[[nodiscard]] std::vector<Finding> lint(const WorstCase& result);

}  // namespace pellucid::evasion
