// The state of a training, whole, in a file: from it the training goes on to the same bits.
#pragma once

#include "pellucid/evasion/accuracy.h"
#include "pellucid/training/gradient.h"
#include "pellucid/training/optimiser.h"

#include <filesystem>
#include <optional>

namespace pellucid::training {

/// What was measured at the end of an epoch.
struct EpochRecord {
  std::int64_t epoch = 0;       ///< 1 for the first
  double train_loss = 0;        ///< mean over the epoch of the loss that was trained on
  double train_accuracy = 0;    ///< of the images that were trained on (adversarial ones in adversarial training)
  evasion::Accuracy natural;    ///< on the test images
  evasion::Accuracy robust;     ///< on the first of them, under the test attack; n = 0 if that is off
  evasion::Accuracy guard;      ///< on the first training images, under the guard's attack; n = 0 if that is off
};

/// {"epoch": [...], "train_loss": [...], "natural": [...], "robust": [...]}
[[nodiscard]] core::Json to_json(const std::vector<EpochRecord>& curve);

struct TrainingState {
  Model model;
  OptimiserState optimiser;
  Tensor perturbation = {};  ///< `kFree`: what is carried from batch to batch; undefined before the first
  std::int64_t epoch = 0;  ///< epochs finished
  std::int64_t batch = 0;  ///< batches finished of the next one
  double loss_sum = 0;     ///< over the images of those batches
  std::int64_t correct = 0;
  std::vector<EpochRecord> curve;
};

/// Writes the state.
/// @param identity all that determines the training, so that another one is not taken up by mistake.
/// @throws Error(kIo) if the file cannot be written.
void save_state(const TrainingState& state, const core::Json& identity, const std::filesystem::path& path);

/// Reads a state; nothing if there is no such file.
/// @param initial the model at the beginning: which tensors the file must hold.
/// @throws Error(kUsage) if it belongs to a training with another identity, naming the first difference.
/// @throws Error(kModel) if the file is damaged.
[[nodiscard]] std::optional<TrainingState> load_state(const Model& initial, const core::Json& identity,
                                                      const std::filesystem::path& path);

}  // namespace pellucid::training
