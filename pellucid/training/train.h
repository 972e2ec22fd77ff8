// Trains a network: standard or adversarial, resumable to the same bits.
#pragma once

#include "pellucid/training/checkpoint.h"

namespace pellucid::training {

struct Trained {
  nets::Network network;
  std::optional<nets::Network> clean_network;  ///< with `dual_norm`: the one that clean images passed
  std::vector<EpochRecord> curve;
  std::int64_t kept_epoch;  ///< whose weights these are: the last one, but where the guard ended the training
};

/// Trains a network from its initial weights, or goes on from what the folder holds.
///
/// With several processes each works on its part of every batch, and all end with the weights that one process gives but
/// for the order of sums; the folder must be the same for all, and the first one writes it.
///
/// In the folder: `model.safetensors` at the end, and with `dual_norm` `model-clean.safetensors`;
/// `checkpoints/epoch-NNN.safetensors` after each epoch and `checkpoints/step-NNNNNN.safetensors` at the named steps (0:
/// the initial weights); `checkpoints/resume.safetensors`, the whole state, after each epoch and when a stop is asked for.
///
/// TensorBoard event files hold the loss, the accuracies and some images under attack.
///
/// Random: initial weights, order, augmentation, dropout and random starts are functions of (seed, purpose, index). A
/// training that was killed at any moment and begun again ends with the same bits as an undisturbed one, on the same
/// machine, build and number of threads.
///
/// @throws Error(kStopped) if a stop was asked for; the same call goes on from there.
/// @throws Error(kUsage) if the options do not go together (`check`), or do not go with several processes.
/// @throws Error(kUsage) if the folder holds a training with other settings, if the loss stops being finite (naming the
///   learning rate), or if the images do not fit the network.
/// @throws Error(kIo) if a file cannot be written.
[[nodiscard]] Trained train(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& test_set,
                            const TrainingOptions& options, const std::filesystem::path& folder, const core::Run& run,
                            const core::Processes& processes = {});

}  // namespace pellucid::training
