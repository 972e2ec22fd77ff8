// The solver that runs the strongest attack that applies, chosen in a short trial where there are several.
#pragma once

#include "pellucid/inversion/problem.h"
#include "pellucid/inversion/trial.h"

#include <optional>

namespace pellucid::inversion {

/// The attacks that `best` tries on an observation: the strongest that apply, by what the studies found
/// (docs/findings.md), each with the iterations, the labels, what it makes of mechanisms, and the arithmetic of
/// `attack`.
///
/// - Local training: `surrogate` and `unrolled`.
/// - A network whose first layer is linear, and one image: `analytic`.
/// - Another single image: `r-gap`, `residual`, and `ig` with the residual read off likewise. From 600 iterations on
///   without `residual` where the input that it reads off has fewer values than a quarter of the image's, as that of a
///   ResNet's only linear layer: the trial would choose it, for it is ahead at first, and ends 3 dB below.
/// - A batch: `disaggregate`, `cpa` and `ig`.
/// - A network that does not end in a linear layer: `ig`.
[[nodiscard]] std::vector<Attack> parts_of_best(const sharing::Observation& observation, const Attack& attack);

/// Why none of them applies: the first one's reason.
[[nodiscard]] std::optional<std::string> best_lacks(const sharing::Observation& observation, const Attack& attack);

/// Where there are several, each runs from the first start for a thirtieth of the iterations, and all restarts are of
/// that with the lowest loss by `judged_by_best`, shorter by what the others took. With two restarts or more that costs
/// no more than one attack does.
[[nodiscard]] std::vector<Trial> best(const sharing::Observation& observation, const Attack& attack, std::int64_t first,
                                      std::int64_t count, const torch::Device& device);

/// What the results of unlike attacks are compared by: the gradient of the whole batch, without features. Of one image
/// it is that of <r, logits>, which holds where float32 rounded the true class away.
/// @throws as `make_problem`.
[[nodiscard]] Problem judged_by_best(const sharing::Observation& observation, const Attack& attack,
                                     const std::vector<std::int64_t>& labels);

}  // namespace pellucid::inversion
