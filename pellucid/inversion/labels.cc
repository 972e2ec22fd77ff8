#include "pellucid/inversion/labels.h"

#include "pellucid/core/error.h"

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;
using sharing::Observation;

std::optional<std::string> not_shared(const Observation& observation) {
  if (observation.labels.empty()) return "not shared; take an update whose labels are shared";
  return std::nullopt;
}

std::optional<std::string> not_one_image(const Observation& observation) {
  if (observation.update.protocol.batch_size == 1) return std::nullopt;
  return fmt::format(
      "not shared, and they can be read off a batch of one only (got {}); take an update whose labels are shared",
      observation.update.protocol.batch_size);
}

}  // namespace

const std::vector<LabelStrategy>& label_strategies() {
  static const std::vector<LabelStrategy> rows = {
      {"shared", "those that the client shared", "", not_shared, [](const Observation& o) { return o.labels; }},
      // Where float32 rounded the true class's away (0, all others positive) it is still the lowest.
      {"idlg",
       "the class whose bias has the lowest gradient in the last layer: with cross-entropy only the true "
       "class's is negative; one image",
       "iDLG, Zhao et al. 2020, arXiv:2001.02610", not_one_image,
       [](const Observation& o) { return std::vector{residual_at_logits(o).argmin().item<std::int64_t>()}; }},
  };
  return rows;
}

std::vector<std::int64_t> infer_labels(const Observation& observation, const std::string& strategy) {
  std::optional<std::string> why;
  for (const auto& row : label_strategies()) {
    if (strategy != "auto" && strategy != row.name) continue;
    why = row.lacks(observation);
    if (!why) return row.read(observation);
  }
  throw Error(ErrorKind::kUsage, "labels: {}", why.value_or("no strategy is called " + strategy));
}

Tensor residual_at_logits(const Observation& observation) {
  const auto& last = observation.network.architecture.layers.back();
  if (!std::holds_alternative<nets::Linear>(last.op)) {
    throw Error(ErrorKind::kUsage, "the residual attack: {} does not end in a linear layer; use ig",
                observation.network.architecture.spec.net);
  }
  return observation.update.gradient.at(last.name + ".bias");
}

std::optional<std::int64_t> label_read(const Observation& observation) {
  if (observation.update.protocol.batch_size != 1) return std::nullopt;
  if (!std::holds_alternative<nets::Linear>(observation.network.architecture.layers.back().op)) return std::nullopt;
  const Tensor residual = residual_at_logits(observation);
  if (residual.min().item<double>() < 0) return residual.argmin().item<std::int64_t>();
  return std::nullopt;
}

}  // namespace pellucid::inversion
