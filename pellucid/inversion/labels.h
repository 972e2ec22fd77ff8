// The labels of a batch, as far as an attacker has them: one row for each way to them.
#pragma once

#include "pellucid/sharing/update.h"

#include <optional>
#include <string>
#include <vector>

namespace pellucid::inversion {

/// A way to the labels of a batch.
struct LabelStrategy {
  std::string name, summary, source;
  /// Why it does not apply to an observation, and what would; nothing where it applies.
  std::optional<std::string> (*lacks)(const sharing::Observation& observation);
  /// One label for each image. @pre `lacks` names nothing.
  std::vector<std::int64_t> (*read)(const sharing::Observation& observation);
};

/// Every strategy, in the order in which "auto" tries them; the one place that lists them.
[[nodiscard]] const std::vector<LabelStrategy>& label_strategies();

/// In place of a strategy's name: labels that the descent finds with the images, from the loss (Zhu et al. 2019, DLG).
inline constexpr const char* kJointLabels = "joint";

/// The labels by the strategy of that name, or by the first that applies ("auto").
/// @throws Error(kUsage) if none applies, with the reason, or if the name is `kJointLabels`.
[[nodiscard]] std::vector<std::int64_t> infer_labels(const sharing::Observation& observation,
                                                     const std::string& strategy = "auto");

/// The derivative of the loss by the logits as the client's float32 left it: the gradient of the last layer's bias.
/// For a batch of one it is p - onehot(label), rounded. After local training, the mean over the client's steps.
/// @throws Error(kUsage) if the network does not end in a linear layer.
[[nodiscard]] Tensor residual_at_logits(const sharing::Observation& observation);

/// The label of the one image as the last bias's gradient shows it, which is negative for the true class alone; nothing
/// where none is, for a batch, or where the network does not end in a linear layer.
[[nodiscard]] std::optional<std::int64_t> label_read(const sharing::Observation& observation);

}  // namespace pellucid::inversion
