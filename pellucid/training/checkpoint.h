// The state of a training, whole, in a file: from it the training goes on to the same bits.
#pragma once

#include "pellucid/evasion/accuracy.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/training/gradient.h"
#include "pellucid/training/optimiser.h"

#include <filesystem>
#include <optional>

namespace pellucid::training {

/// What was measured at the end of an epoch.
struct EpochRecord {
  std::int64_t epoch = 0;     ///< 1 for the first
  double train_loss = 0;      ///< mean over the epoch of the loss that was trained on
  double train_accuracy = 0;  ///< of the images that were trained on (adversarial ones in adversarial training)
  evasion::Accuracy natural;  ///< on the test images; n = 0 if it could not be measured anew, or of an autoencoder
  evasion::Accuracy robust;   ///< on a sample of them, under the test attack; n = 0 if that is off
  evasion::Accuracy guard;    ///< on a sample of the training images, under the guard's attack; n = 0 if that is off
};

/// {"epoch": [...], "train_loss": [...], "natural": [...], "robust": [...], "guard": [...]}; null where n = 0.
[[nodiscard]] core::Json to_json(const std::vector<EpochRecord>& curve);

/// Who did the sums: the last bits of the weights depend on it.
struct Workers {
  std::int64_t processes = 1, threads = 1;

  bool operator==(const Workers&) const = default;
};

struct TrainingState {
  Model model;
  OptimiserState optimiser;
  Tensor perturbation = {};  ///< `kFree`: what is carried from batch to batch; undefined before the first
  std::int64_t epoch = 0;    ///< epochs finished
  std::int64_t batch = 0;    ///< batches finished of the next one
  double loss_sum = 0;       ///< over the images of those batches
  std::int64_t correct = 0;
  std::vector<EpochRecord> curve = {};
  core::Json judging = {};            ///< what the curve's accuracies were measured with
  std::vector<Workers> workers = {};  ///< in the order in which they trained
};

/// What a state must fit to be taken up.
struct Expected {
  const Model& initial;  ///< the model at the beginning: which tensors there are, and their shapes
  const TrainingOptions& options;
  std::int64_t images;         ///< to train on
  const core::Json& identity;  ///< all that determines the training, so that another one is not taken up by mistake
};

/// The state that a file holds, every name, shape, type and number of it checked.
/// @param name what to call the file in messages.
/// @throws Error(kUsage) if it belongs to a training with another identity, naming the first difference, or has more
///   epochs behind it than the options ask for.
/// @throws Error(kModel) if something is missing, too much, of another shape or type, or out of its range.
[[nodiscard]] TrainingState parse_state(const nets::SafeTensors& file, const Expected& expected,
                                        const std::string& name);

/// The states that a training keeps: the newest, and the one at the end of the epoch before it, for when the newest is
/// damaged. Which bytes they end with does not depend on interruptions.
class StateFiles {
 public:
  /// @param folder holds resume.safetensors and resume-before.safetensors.
  explicit StateFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The newest intact state; nothing if there is none at all. Changes no file.
  /// @param note out: says that the newest is damaged and where the training goes on, if so.
  /// @throws Error(kUsage) as `parse_state`.
  /// @throws Error(kModel) if what there is is damaged, saying what to remove.
  [[nodiscard]] std::optional<TrainingState> load(const Expected& expected, std::string& note);

  /// Writes the state, with a checksum over all of it.
  /// @throws Error(kIo) if the file cannot be written.
  void save(const TrainingState& state, const core::Json& identity);

 private:
  [[nodiscard]] std::filesystem::path newest() const { return folder_ / "resume.safetensors"; }
  [[nodiscard]] std::filesystem::path before() const { return folder_ / "resume-before.safetensors"; }

  std::filesystem::path folder_;
  std::optional<std::int64_t> ended_;  // the epoch at whose end the newest file's state is; nothing within an epoch
};

}  // namespace pellucid::training
