#include "pellucid/inversion/labels.h"

#include "pellucid/core/error.h"

namespace pellucid::inversion {
namespace {

using core::Error;
using core::ErrorKind;
using sharing::Observation;

constexpr double kDoubt = 0.4;  // of an image, in a count: beyond, it is not identified

std::optional<std::string> not_shared(const Observation& observation) {
  if (observation.labels.empty()) return "not shared; take an update whose labels are shared";
  return std::nullopt;
}

std::optional<std::string> not_one_image(const Observation& observation) {
  if (observation.update.protocol.batch_size == 1) return std::nullopt;
  return fmt::format("idlg reads the label of one image (got a batch of {}); take ilrg",
                     observation.update.protocol.batch_size);
}

std::optional<std::string> not_countable(const Observation& observation) {
  if (observation.update.protocol.local.hidden)
    return "ilrg needs the learning rate of local training, which is hidden; take an update whose labels are shared";
  if (std::holds_alternative<nets::Linear>(observation.network.architecture.layers.back().op)) return std::nullopt;
  return fmt::format("not shared, and {} does not end in a linear layer; take an update whose labels are shared",
                     observation.network.architecture.spec.net);
}

// How many images of the batch have each class, (classes) float64, as the least squares give them.
Tensor estimated_counts(const Observation& observation) {
  const auto& last = observation.network.architecture.layers.back().name;
  const auto exact = [&](const nets::TensorMap& map, const char* part) {
    return map.at(last + part).to(torch::kFloat64);
  };
  const auto& state = observation.network.state;
  const double gradients = sharing::gradients_in(observation.update.protocol);
  const Tensor weight = exact(observation.update.gradient, ".weight") / gradients,
               bias = exact(observation.update.gradient, ".bias") / gradients;
  // What the layer took, on average over the batch as class c weighs it, and the probabilities that this has.
  const Tensor taken = weight / bias.unsqueeze(1);
  if (!taken.isfinite().all().item<bool>())
    throw Error(ErrorKind::kUsage,
                "labels: not identifiable: the gradient of the last layer's bias is zero at {} of {} classes, as where "
                "the client left it out or rounding took it; take an update whose labels are shared",
                (bias == 0).sum().item<std::int64_t>(), bias.size(0));
  const Tensor p = torch::addmm(exact(state, ".bias"), taken, exact(state, ".weight").t()).softmax(1);
  const auto batch = static_cast<double>(observation.update.protocol.batch_size);
  const Tensor all = torch::ones({1, bias.size(0)}, torch::kFloat64);
  const Tensor equations = torch::cat({all, p.t() - torch::eye(bias.size(0), torch::kFloat64)});
  return torch::linalg_pinv(equations).mv(torch::cat({torch::ones({1}, torch::kFloat64), bias}) * batch);
}

// The counts as whole numbers whose sum is the batch: where rounding misses it, the classes that it moved most are
// moved back.
std::vector<std::int64_t> labels_by_counts(const Observation& observation) {
  const Tensor counts = estimated_counts(observation), whole = counts.clamp_min(0).round();
  const double doubt = (counts - whole).abs().max().item<double>();
  if (!(doubt < kDoubt)) {
    throw Error(
        ErrorKind::kUsage,
        "labels: not identifiable: a class would have {:.2f} images more or fewer than a whole number, as where "
        "the network is so sure that rounding took them; take an update whose labels are shared",
        doubt);
  }
  std::int64_t missing = observation.update.protocol.batch_size - whole.sum().item<std::int64_t>();
  for (; missing != 0; missing += missing > 0 ? -1 : 1) {
    const Tensor moved = counts - whole;
    if (missing > 0)
      whole[moved.argmax()] += 1;
    else
      whole[torch::where(whole > 0, moved, torch::full({}, 1e300, torch::kFloat64)).argmin()] -= 1;
  }
  std::vector<std::int64_t> labels;
  for (std::int64_t c = 0; c < whole.size(0); ++c)
    labels.insert(labels.end(), static_cast<std::size_t>(whole[c].item<double>()), c);
  return labels;
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
      {"ilrg",
       "how many images have each class, by least squares on the gradients of the last layer; a batch, in order of "
       "class",
       "iLRG, Ma et al., ICLR 2023; how a sum that is missed is mended is ours", not_countable, labels_by_counts},
  };
  return rows;
}

std::vector<std::int64_t> infer_labels(const Observation& observation, const std::string& strategy) {
  if (strategy == kJointLabels)
    throw Error(ErrorKind::kUsage, "labels: joint is for the solver optimise and the functional loss; take auto");
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
  return observation.update.gradient.at(last.name + ".bias") / sharing::gradients_in(observation.update.protocol);
}

std::optional<std::int64_t> label_read(const Observation& observation) {
  if (observation.update.protocol.batch_size != 1) return std::nullopt;
  if (!std::holds_alternative<nets::Linear>(observation.network.architecture.layers.back().op)) return std::nullopt;
  const Tensor residual = residual_at_logits(observation);
  if (residual.min().item<double>() < 0) return residual.argmin().item<std::int64_t>();
  return std::nullopt;
}

}  // namespace pellucid::inversion
