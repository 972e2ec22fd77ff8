// Reads images back from an observation: a solver proposes, and here is judged and chosen what it found.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/inversion/solvers.h"

namespace pellucid::inversion {

/// Restarts first, ..., first + count - 1 of the attack, judged. Each depends on (observation, attack, its number)
/// alone, so restarts may run anywhere, in any company and any order; without AVX-512 up to rounding (docs/engine.md).
///
/// The solver is not believed. Whatever it gives is clamped to [0, 1] and evaluated again by double backward in
/// float64: that is the matching loss by which restarts are chosen. (Where float32 lost part of the client's gradient,
/// the true image does not have the loss 0 either.)
///
/// Shows: a good image is evidence of leakage; a bad one is not evidence of privacy.
/// @param device where it is computed; another than the cpu takes the tensor engine, or double backward where that is
/// asked for.
/// @throws Error(kStopped) between iterations if a stop was asked for.
[[nodiscard]] std::vector<Trial> run_trials(const sharing::Observation& observation, const Attack& attack,
                                            std::int64_t first, std::int64_t count,
                                            const torch::Device& device = torch::kCPU);

/// One restart, alone.
[[nodiscard]] Trial run_trial(const sharing::Observation& observation, const Attack& attack, std::int64_t restart);

struct Reconstruction {
  std::vector<Trial> trials;
  std::size_t chosen = 0;  ///< the trial with the lowest matching loss: what the attacker can see
};

/// Chooses by what the attacker sees. @pre at least one trial.
[[nodiscard]] Reconstruction choose(std::vector<Trial> trials);

/// Checks, before any work, that the attack can be run on the observation.
/// @throws Error(kUsage) or Error(kModel) where `run_trials` would find that it does not apply, saying why.
/// @throws Error(kData) if it needs more memory than is allowed: at the least what the layers give for each image of
///   one restart, and its gradient.
void check_applies(const sharing::Observation& observation, const Attack& attack);

/// All restarts, over the cores of the run, or on its device.
/// @throws Error(kData) as `check_applies`.
/// @throws Error(kUsage) as `check_precision` (engine/tensor_engine.h).
[[nodiscard]] Reconstruction reconstruct(const sharing::Observation& observation, const Attack& attack,
                                         const core::Run& run);

}  // namespace pellucid::inversion
