// Reads images back from an observation: restarts of a signed-Adam descent on the matching loss.
#pragma once

#include "pellucid/core/run.h"
#include "pellucid/inversion/options.h"
#include "pellucid/sharing/update.h"

namespace pellucid::inversion {

enum class Status {
  kOk,             ///< ran to the end
  kDiverged,       ///< the loss or its gradient stopped being finite; the best iterate before that is the result
  kNotApplicable,  ///< the attack does not apply to this observation
};
[[nodiscard]] std::string to_string(Status status);

/// The matching loss along a descent.
struct Curve {
  std::vector<std::int64_t> iteration;
  std::vector<double> matching_loss;
};

/// What one restart came to.
struct Trial {
  Status status = Status::kOk;
  std::string reason;        ///< why, where the status is not ok
  Tensor images;             ///< (B, C, H, W) float32 in [0, 1]; undefined where nothing came out
  double matching_loss = 0;  ///< of these images, without the priors; NaN where nothing came out
  double prior = 0;          ///< what tv and l1 cost on these images
  std::string method;        ///< what computed it: "engine, float32", or double backward and why
  Curve curve;
};

/// The learning rate of a step. `Decay::kStep` falls at iterations // 2.667, // 1.6 and // 1.142 (3/8, 5/8 and 7/8 of
/// them, with the published code's rounding). @param iteration 0 for the first.
[[nodiscard]] double learning_rate(const InversionOptions& options, std::int64_t iteration);

/// Restarts first, ..., first + count - 1, side by side in one engine. Each depends on (observation, options, its
/// number) alone, so restarts may run anywhere, in any company and any order; without AVX-512 up to rounding
/// (docs/engine.md).
///
/// The descent, in the network's normalised units z = (x - mean)/deviation (pixels where it normalises nothing):
/// objective = matching loss + tv * (mean|dz/dx| + mean|dz/dy|) + l1 * mean|x|; its gradient, or the sign of it, goes
/// to Adam (beta .9/.999, epsilon 1e-8); the learning rate falls as `decay` says; pixels are clamped to [0, 1] after
/// each step. Source: Geiping et al. 2020, arXiv:2003.14053, section 4, and its published code for schedule and signs;
/// a norm of the image as a prior: Yin et al. 2021, arXiv:2104.07586, there the squared one. Deviates: gradients are
/// scaled before squaring, where the published code underflows.
///
/// Shows: a good image is evidence of leakage; a bad one is not evidence of privacy.
/// @param device where it is computed; another than the cpu takes the tensor engine, or double backward where that is
/// asked for.
/// @throws Error(kStopped) between iterations if a stop was asked for.
[[nodiscard]] std::vector<Trial> run_trials(const sharing::Observation& observation, const InversionOptions& options,
                                            std::int64_t first, std::int64_t count,
                                            const torch::Device& device = torch::kCPU);

/// One restart, alone.
[[nodiscard]] Trial run_trial(const sharing::Observation& observation, const InversionOptions& options,
                              std::int64_t restart);

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
void check_applies(const sharing::Observation& observation, const InversionOptions& options);

/// All restarts, over the cores of the run, or on its device.
/// @throws Error(kData) as `check_applies`.
/// @throws Error(kUsage) as `check_precision` (tensor_engine.h).
[[nodiscard]] Reconstruction reconstruct(const sharing::Observation& observation, const InversionOptions& options,
                                         const core::Run& run);

/// A cause of failure: what it is called and a sentence for the reader.
struct Diagnosis {
  std::string code;  ///< "diverged", "not-applicable", "gradient-near-zero", "not-as-described", "wrong-label",
                     ///< "float32-rounding", "few-bits", "dropout", "batch-norm", "not-converged"
  std::string sentence;
};

/// [{"code", "sentence"}]
[[nodiscard]] core::Json to_json(const std::vector<Diagnosis>& diagnoses);

/// Why a reconstruction may have failed, from what the attacker sees. Empty where nothing looks wrong.
///
/// "not-converged" rests on two signs. The true image has a matching loss of about 0, so its objective is what the
/// priors cost on it: a descent that ends with a matching loss well above what they cost on its own image (three times,
/// and above what float32 may leave, 1e-4) has found neither the truth nor anything as good. And a loss that still
/// falls by a tenth within the last tenth of the iterations would fall further. Their absence shows no convergence: a
/// learning rate that decays ends every curve flat.
[[nodiscard]] std::vector<Diagnosis> diagnose(const sharing::Observation& observation, const InversionOptions& options,
                                              const Reconstruction& reconstruction);

}  // namespace pellucid::inversion
