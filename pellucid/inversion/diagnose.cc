#include "pellucid/inversion/diagnose.h"

#include "pellucid/core/text.h"
#include "pellucid/inversion/labels.h"

#include <algorithm>
#include <cmath>

namespace pellucid::inversion {
namespace {

// A sign that a descent has not reached what it could, or nothing; see `diagnose`. Of an update that the client changed
// the loss on the true image is not known.
std::optional<std::string> not_converged(const Trial& trial, bool changed) {
  constexpr double kAbovePriors = 3, kRounding = 1e-4, kFalling = 0.9;
  const double loss = trial.matching_loss;
  const auto& along = trial.curve.matching_loss;
  if (!(loss > kRounding) || along.empty()) return std::nullopt;  // or it did not descend
  if (!changed && loss > kAbovePriors * trial.prior) {
    return fmt::format("the matching loss is {:.2g} where the priors cost {:.2g}, and on the true image it is about 0",
                       loss, trial.prior);
  }
  const auto before = along[(along.size() - 1) * 9 / 10];
  if (along.size() >= 10 && loss < kFalling * before) {
    return fmt::format("the matching loss fell from {:.2g} to {:.2g} in the last tenth of the iterations", before,
                       loss);
  }
  return std::nullopt;
}

std::string class_name(const sharing::Observation& observation, std::int64_t label) {
  const auto& names = observation.network.classes;
  return names.empty() ? std::to_string(label) : core::quoted(names.at(static_cast<std::size_t>(label)));
}

// What the last bias's gradient says of the labels. It is the mean over the images of p - onehot(label): for a class of
// n of B images, -n/B plus a mean probability. Only these classes can be negative, none below -n/B, and the sum is
// zero.
std::vector<Diagnosis> check_labels(const sharing::Observation& observation, Functional functional) {
  const Tensor residual = residual_at_logits(observation).to(torch::kFloat64);
  const auto batch = static_cast<double>(observation.update.protocol.batch_size);
  // Float32's, of probabilities and of their mean.
  const double rounding = 1e-6 + 1e-5 * residual.abs().max().item<double>();
  const auto negative = residual.lt(-rounding).sum().item<std::int64_t>();
  if (std::abs(residual.sum().item<double>()) > rounding + 1e-3 * residual.abs().sum().item<double>() ||
      negative > observation.update.protocol.batch_size) {
    return {
        {"not-as-described",
         fmt::format("the last bias's gradient is not that of the mean cross-entropy over {} image{}, where at most as "
                     "many classes are negative (got {}) "
                     "and the sum is zero: the update was changed (noise, compression), or is of more images or steps",
                     observation.update.protocol.batch_size, observation.update.protocol.batch_size == 1 ? "" : "s",
                     negative)}};
  }
  if (observation.labels.empty() || observation.update.protocol.local.hidden) return {};
  Tensor probability = residual.clone();  // the mean of each class's, if the labels are right
  for (const auto label : observation.labels) probability[label] += 1 / batch;
  const auto least = probability.argmin().item<std::int64_t>(), most = probability.argmax().item<std::int64_t>();
  if (probability[least].item<double>() >= -rounding && probability[most].item<double>() <= 1 + rounding) return {};
  return {{"wrong-label", fmt::format("the labels that were shared contradict the gradient: it holds more images of "
                                      "class {} than were named, and fewer of {}; {}",
                                      class_name(observation, least), class_name(observation, most),
                                      functional == Functional::kLoss ? "the attack matched the wrong ones"
                                                                      : "this attack does not use them")}};
}

}  // namespace

core::Json to_json(const std::vector<Diagnosis>& diagnoses) {
  core::Json list = core::Json::array();
  for (const auto& d : diagnoses) list.push_back({{"code", d.code}, {"sentence", d.sentence}});
  return list;
}

std::vector<Diagnosis> diagnose(const sharing::Observation& observation, Functional functional) {
  std::vector<Diagnosis> causes;
  const auto& layers = observation.network.architecture.layers;
  const double norm = sharing::gradient_norm(observation.update);
  if (norm < 1e-12)
    causes.push_back({"gradient-near-zero", fmt::format("the gradient is close to zero (norm {:.1e})", norm)});
  const bool linear = std::holds_alternative<nets::Linear>(layers.back().op);
  if (linear) {
    for (auto& cause : check_labels(observation, functional)) causes.push_back(std::move(cause));
  }
  if (linear && observation.update.protocol.batch_size == 1 && functional == Functional::kLoss) {
    const double true_class = residual_at_logits(observation).min().item<double>();
    if (true_class >= 0) {
      causes.push_back({"float32-rounding",
                        "float32 rounding: p(true) rounded to 1, so the true class is missing from the gradient; the "
                        "published attack "
                        "cannot match it, the residual attack can"});
    } else if (true_class > -1e-6) {
      causes.push_back(
          {"few-bits", fmt::format("float32 rounding: 1 - p(true) = {:.1e} has few correct bits left", -true_class)});
    }
  }
  const auto holds = [&](auto is_kind) {
    return std::any_of(layers.begin(), layers.end(), [&](const auto& l) { return is_kind(l.op); });
  };
  if (observation.update.protocol.mode == nets::Mode::kTraining) {
    if (holds([](const auto& op) { return std::holds_alternative<nets::Dropout>(op); })) {
      causes.push_back(
          {"dropout",
           "the client computed the gradient with dropout, and the attacker does not know what was dropped"});
    }
    if (holds([](const auto& op) { return std::holds_alternative<nets::BatchNorm>(op); })) {
      causes.push_back({"batch-norm",
                        "the client computed the gradient with batch norm in training mode: each layer subtracts the "
                        "batch's mean and divides by its "
                        "deviation, so brightness and contrast leave hardly a trace in the gradient"});
    }
  }
  return causes;
}

std::vector<Diagnosis> diagnose(const sharing::Observation& observation, const Attack& attack,
                                const Reconstruction& reconstruction) {
  std::vector<Diagnosis> causes;
  const Trial& trial = reconstruction.trials[reconstruction.chosen];
  if (trial.status == Status::kDiverged) causes.push_back({"diverged", trial.reason});
  if (trial.status == Status::kNotApplicable) causes.push_back({"not-applicable", trial.reason});
  for (auto& cause : diagnose(observation, attack.functional)) causes.push_back(std::move(cause));
  if (const auto sign = not_converged(trial, !observation.update.protocol.mechanisms.empty())) {
    causes.push_back({"not-converged", fmt::format("not converged: {}{}", *sign,
                                                   causes.empty() ? "; more iterations or restarts may help" : "")});
  }
  return causes;
}

}  // namespace pellucid::inversion
