// The solver that descends: matching gradient, terms, optimiser, box, of several trials side by side; in operations on
// tensors alone, so that a CUDA device runs an iteration as one recorded graph.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/inversion/candidate.h"
#include "pellucid/inversion/matching.h"
#include "pellucid/inversion/trial.h"
#include "pellucid/sharing/update.h"

#include <functional>
#include <optional>
#include <span>

namespace pellucid::inversion {

/// The learning rate of a step, times iteration / `warm_up` in the first ones. `Decay::kStep` falls at iterations
/// // 2.667, // 1.6 and // 1.142 (3/8, 5/8 and 7/8 of them, with the published code's rounding). @param iteration 0 for
/// the first.
[[nodiscard]] double learning_rate(const Attack& attack, std::int64_t iteration);

/// Joint labels are found through the loss alone.
[[nodiscard]] std::optional<std::string> optimise_lacks(const sharing::Observation& observation, const Attack& attack);

/// The descent, in the network's normalised units z = (x - mean)/deviation (pixels where it normalises nothing):
/// objective = matching loss + the terms; its gradient, with Langevin noise where that is asked for, or the sign of it,
/// goes to the optimiser; the learning rate falls as `decay` says; pixels are clamped to [0, 1] after each step. Joint
/// labels are the softmax of values that descend with the images; a trial's labels are then the likeliest ones.
///
/// Source: Geiping et al. 2020, arXiv:2003.14053, section 4, and its published code for schedule and signs; for
/// warm-up, soft sign and Langevin noise its later code, breaching (the noise after Yin et al. 2021, arXiv:2104.07586).
/// Deviates: gradients are scaled before squaring, where the published code underflows.
///
/// Restarts run side by side in one engine, each as alone (without AVX-512 up to rounding, docs/engine.md).
/// @throws Error(kUsage) or Error(kModel) as `make_problem`.
/// @throws Error(kStopped) between iterations if a stop was asked for.
[[nodiscard]] std::vector<Trial> optimise(const sharing::Observation& observation, const Attack& attack,
                                          std::int64_t first, std::int64_t count, const torch::Device& device);

/// `optimise` on a problem that is made already. @param id selects the start noise (`Observation::id`).
/// @throws Error(kStopped) between iterations if a stop was asked for.
[[nodiscard]] std::vector<Trial> descend_on(const Problem& problem, std::int64_t id, const Attack& attack,
                                            std::int64_t first, std::int64_t count, const torch::Device& device);

/// Where a descent begins, and its noise.
struct Beginning {
  Tensor z;  ///< (trials * B, C, H, W) in `units`, of the type and on the device where everything is computed
  /// Standard normal of an iteration, in z's shape, on the cpu; asked for where the attack has `langevin` noise.
  std::function<Tensor(std::int64_t iteration)> noise = {};
  /// (trials * B, classes), of which joint labels are the softmax; undefined: the labels are the problem's.
  Tensor labels = {};
};

/// The descent of given starts.
/// @param preferred what is added to the matching loss.
/// @param trials out: what each came to. `images` stays undefined where not even the start could be evaluated.
/// @throws Error(kStopped) between iterations if a stop was asked for.
void descend(const Matching& matching, const Term& preferred, const Units& units, const Beginning& begin,
             const Attack& attack, std::span<Trial> trials);

}  // namespace pellucid::inversion
