#include "pellucid/study/read_back.h"

#include "pellucid/inversion/matching.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/sharing/confidence.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::study {
using core::Json;

ReadBack read_back(const sharing::Observation& observation, const Truth& truth, const inversion::InversionOptions& options, const core::Run& run) {
  const auto confidence = sharing::confidence(observation.network, truth.images, truth.labels).front();
  const auto reconstruction = inversion::reconstruct(observation, options, run);
  const auto& chosen = reconstruction.trials[reconstruction.chosen];
  const auto label = inversion::label_read(observation);
  Json json = {{"status", inversion::to_string(chosen.status)},
               {"reason", chosen.reason},
               {"psnr", Json()},
               {"mse", Json()},
               {"ssim", Json()},
               {"fmse_logits", Json()},
               {"fmse_features", Json()},
               {"oracle_psnr", Json()},
               {"matching_loss", chosen.images.defined() ? Json(chosen.matching_loss) : Json()},
               {"method", chosen.method},
               {"restart", reconstruction.chosen},
               {"restarts", reconstruction.trials.size()},
               {"margin", confidence.margin},
               {"p_true", confidence.p_true},
               {"gradient_norm", sharing::gradient_norm(observation.update)},
               {"label_read", label ? Json(*label) : Json()},
               {"diagnoses", inversion::to_json(inversion::diagnose(observation, options, reconstruction))},
               {"curve", {{"iteration", chosen.curve.iteration}, {"matching_loss", chosen.curve.matching_loss}}}};
  double oracle = -std::numeric_limits<double>::infinity();
  for (const auto& trial : reconstruction.trials) {
    if (trial.images.defined()) oracle = std::max(oracle, score(observation.network, trial.images, truth).front().psnr);
  }
  if (std::isfinite(oracle)) json["oracle_psnr"] = oracle;
  if (!chosen.images.defined()) return {.result = json, .image = {}};
  json.update(to_json(score(observation.network, chosen.images, truth).front()));
  return {.result = json, .image = chosen.images[0]};
}

ReadBack read_back(const nets::Network& network, const Truth& truth, std::int64_t index, const inversion::InversionOptions& options,
                   const Client& client, const core::Run& run) {
  std::optional<core::Stream> dropout;
  if (client.mode == nets::Mode::kTraining) dropout = core::Stream(client.seed, "client dropout", static_cast<std::uint64_t>(index));
  const sharing::Observation observation{.network = network,
                                         .update = sharing::compute_update(network, truth.images, truth.labels, client.mode, dropout),
                                         .labels = {},
                                         .id = index};
  return read_back(observation, truth, options, run);
}

}  // namespace pellucid::study
