#include "pellucid/gradients/read_back.h"

#include "pellucid/core/error.h"
#include "pellucid/inversion/diagnose.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/sharing/confidence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

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

// Of the reconstructions of a batch, the one that is compared with the first original.
std::size_t of_first(const std::vector<Score>& scores) {
  return static_cast<std::size_t>(std::ranges::find(scores, 0, &Score::original) - scores.begin());
}

// How many of these labels are the truth's, in any order.
double in_common(const std::vector<std::int64_t>& labels, const Tensor& truth) {
  double common = 0;
  for (const auto label : std::set(labels.begin(), labels.end())) {
    const auto right = (truth == label).sum().item<std::int64_t>();
    common += static_cast<double>(std::min<std::int64_t>(right, std::ranges::count(labels, label)));
  }
  return common;
}

// What the client's noise leaves of the first image.
void add_bound(record::Reading& reading, const nets::Network& network, const Truth& truth, const Client& client) {
  if (truth.images[0].numel() > sharing::kMostPixels || client.rounds > 1) {
    reading.more["bound"] = fmt::format("only of images of up to {} pixels, in one round", sharing::kMostPixels);
    return;
  }
  try {
    const Tensor information = sharing::fisher_information(network, truth.images, truth.labels, client.protocol);
    reading.scores["unbiased_psnr"] = sharing::psnr_of(sharing::unbiased_bound(information).error);
    reading.scores["linear_psnr"] = sharing::psnr_of(sharing::linear_error(information, *client.bound));
  } catch (const core::Error& error) {
    if (error.kind() != core::ErrorKind::kUsage) throw;
    reading.more["bound"] = error.what();
  }
}

}  // namespace

ReadBack read_back(const sharing::Observation& observation, const Truth& truth, const inversion::Attack& attack,
                   const Truth& others) {
  const auto confidence = sharing::confidence(observation.network, truth.images, truth.labels).front();
  const auto reconstruction = inversion::reconstruct(observation, attack, {});
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
    if (!trial.images.defined()) continue;
    const auto scores = score(observation.network, trial.images, truth);
    oracle = std::max(oracle, scores[of_first(scores)].values.at("psnr"));
  }
  put("oracle_psnr", oracle);
  for (const auto& d : inversion::diagnose(observation, attack, reconstruction))
    reading.diagnoses.push_back({d.code, d.sentence});
  reading.more = {{"method", chosen.method},
                  {"restart", reconstruction.chosen},
                  {"restarts", reconstruction.trials.size()},
                  {"label_read", label ? Json(*label) : Json()}};
  if (!chosen.images.defined()) return back;
  put("matching_loss", chosen.matching_loss);
  const auto scores = score(observation.network, chosen.images, truth, others);
  const auto first = of_first(scores);
  for (const auto& [key, value] : scores[first].values) put(key, value);
  back.image = chosen.images[static_cast<std::int64_t>(first)];
  if (scores.size() == 1) return back;
  const double percent = 100 / static_cast<double>(scores.size());
  for (const char* key : {"identified", "identified_in_class"}) {
    double sum = 0;
    for (const auto& s : scores) sum += s.values.contains(key) ? s.values.at(key) : NAN;
    put(key, sum / static_cast<double>(scores.size()));
  }
  const auto above = std::ranges::count_if(scores, [](const Score& s) { return s.values.at("psnr") > 20; });
  put("above_20", percent * static_cast<double>(above));
  put("labels_right", percent * in_common(chosen.labels, truth.labels));
  if (!chosen.isolated.empty())
    put("isolated", percent * static_cast<double>(std::ranges::count(chosen.isolated, true)));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    Json each = to_json(scores[i]);
    each["original"] = scores[i].original;
    if (!chosen.isolated.empty()) each["isolated"] = static_cast<bool>(chosen.isolated[i]);
    reading.more["batch"].push_back(std::move(each));
  }
  return back;
}

Client client(const Settings& s) {
  return {.protocol = s.protocol, .share_labels = s.share_labels, .rounds = s.rounds, .server_rate = s.server_rate};
}

ReadBack read_back(const nets::Network& network, const Truth& truth, std::int64_t index,
                   const inversion::Attack& attack, const Client& client, const Truth& others) {
  const auto number = static_cast<std::uint64_t>(index);
  std::vector<nets::TensorMap> memory;
  const auto update = [&](const nets::Network& now, const core::Stream& randomness, std::uint64_t noise) {
    return sharing::compute_update(now, truth.images, truth.labels, client.protocol, randomness, noise, &memory);
  };
  sharing::Observation observation{.network = network,
                                   .update = update(network, core::Stream(0, "client dropout", number), number),
                                   .labels = {},
                                   .id = index};
  nets::Network now = network;
  for (std::int64_t round = 1; round < client.rounds; ++round) {
    const auto& last = round == 1 ? observation.update : observation.further.back().update;
    now = sharing::next(now, last, client.server_rate);
    core::Stream stream(number, "further round", static_cast<std::uint64_t>(round));
    const std::uint64_t noise = stream.bits();
    observation.further.push_back({.state = now.state, .update = update(now, stream, noise)});
  }
  if (client.share_labels) {
    const auto* label = truth.labels.data_ptr<std::int64_t>();
    observation.labels.assign(label, label + truth.labels.numel());
  }
  ReadBack back = read_back(observation, truth, attack, others);
  if (client.bound) add_bound(back.reading, network, truth, client);
  return back;
}

}  // namespace pellucid::gradients
