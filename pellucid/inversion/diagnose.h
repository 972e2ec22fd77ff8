// Why a reconstruction may have failed.
#pragma once

#include "pellucid/inversion/reconstruct.h"

#include <string>
#include <vector>

namespace pellucid::inversion {

/// A cause of failure: what it is called and a sentence for the reader.
struct Diagnosis {
  std::string code;  ///< "diverged", "not-applicable", "gradient-near-zero", "not-as-described", "wrong-label",
                     ///< "float32-rounding", "few-bits", "dropout", "batch-norm", "not-converged"
  std::string sentence;
};

/// [{"code", "sentence"}]
[[nodiscard]] core::Json to_json(const std::vector<Diagnosis>& diagnoses);

/// What of it the update says before any attack that matches that functional.
[[nodiscard]] std::vector<Diagnosis> diagnose(const sharing::Observation& observation, Functional functional);

/// Why a reconstruction may have failed, from what the attacker sees. Empty where nothing looks wrong.
///
/// "not-converged" rests on two signs. The true image has a matching loss of about 0, so its objective is what the
/// priors cost on it: a descent that ends with a matching loss well above what they cost on its own image (three times,
/// and above what float32 may leave, 1e-4) has found neither the truth nor anything as good. And a loss that still
/// falls by a tenth within the last tenth of the iterations would fall further. Their absence shows no convergence: a
/// learning rate that decays ends every curve flat.
[[nodiscard]] std::vector<Diagnosis> diagnose(const sharing::Observation& observation, const Attack& attack,
                                              const Reconstruction& reconstruction);

}  // namespace pellucid::inversion
