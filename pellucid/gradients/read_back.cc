#include "pellucid/gradients/read_back.h"

#include "pellucid/inversion/matching.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/sharing/confidence.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::gradients {
namespace {

using core::Json;

record::Status status_of(inversion::Status status) {
  switch (status) {
    case inversion::Status::kOk: return record::Status::kOk;
    case inversion::Status::kDiverged: return record::Status::kDiverged;
    case inversion::Status::kNotApplicable: return record::Status::kNotApplicable;
  }
  return record::Status::kFailed;
}

}  // namespace

ReadBack read_back(const sharing::Observation& observation, const Truth& truth,
                   const inversion::InversionOptions& options, const core::Run& run) {
  const auto confidence = sharing::confidence(observation.network, truth.images, truth.labels).front();
  const auto reconstruction = inversion::reconstruct(observation, options, run);
  const auto& chosen = reconstruction.trials[reconstruction.chosen];
  const auto label = inversion::label_read(observation);
  ReadBack back{.reading = {.status = status_of(chosen.status), .reason = chosen.reason}, .image = {}};
  auto& reading = back.reading;
  const auto put = [&](const std::string& key, double value) {
    if (std::isfinite(value)) reading.scores[key] = value;
  };
  put("margin", confidence.margin);
  put("p_true", confidence.p_true);
  put("gradient_norm", sharing::gradient_norm(observation.update));
  double oracle = -std::numeric_limits<double>::infinity();
  for (const auto& trial : reconstruction.trials) {
    if (trial.images.defined())
      oracle = std::max(oracle, score(observation.network, trial.images, truth).front().values.at("psnr"));
  }
  put("oracle_psnr", oracle);
  for (const auto& d : inversion::diagnose(observation, options, reconstruction))
    reading.diagnoses.push_back({d.code, d.sentence});
  reading.more = {{"method", chosen.method},
                  {"restart", reconstruction.chosen},
                  {"restarts", reconstruction.trials.size()},
                  {"label_read", label ? Json(*label) : Json()}};
  if (!chosen.images.defined()) return back;
  put("matching_loss", chosen.matching_loss);
  const auto scores = score(observation.network, chosen.images, truth);
  for (const auto& [key, value] : scores.front().values) put(key, value);
  back.image = chosen.images[0];
  return back;
}

ReadBack read_back(const nets::Network& network, const Truth& truth, std::int64_t index,
                   const inversion::InversionOptions& options, const Client& client, const core::Run& run) {
  std::optional<core::Stream> dropout;
  if (client.mode == nets::Mode::kTraining)
    dropout = core::Stream(client.seed, "client dropout", static_cast<std::uint64_t>(index));
  const sharing::Observation observation{
      .network = network,
      .update = sharing::compute_update(network, truth.images, truth.labels, client.mode, dropout),
      .labels = {},
      .id = index};
  return read_back(observation, truth, options, run);
}

}  // namespace pellucid::gradients
