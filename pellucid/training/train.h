// Trains a network: standard or adversarial, resumable to the same bits.
#pragma once

#include "pellucid/training/checkpoint.h"

namespace pellucid::training {

struct Trained {
  nets::Network network;
  std::vector<EpochRecord> curve;
};

/// Trains a network from its initial weights, or goes on from what the folder holds.
///
/// In the folder: `model.safetensors` at the end; `checkpoints/epoch-NNN.safetensors` after each epoch and
/// `checkpoints/step-NNNNNN.safetensors` at the named steps (0: the initial weights); `checkpoints/resume.safetensors`,
/// the whole state, after each epoch and when a stop is asked for.
///
/// Random: initial weights, order, augmentation, dropout and random starts are functions of (seed, purpose, index). A
/// training that was killed at any moment and begun again ends with the same bits as an undisturbed one, on the same
/// machine, build and number of threads.
///
/// @throws Error(kStopped) if a stop was asked for; the same call goes on from there.
/// @throws Error(kUsage) if the folder holds a training with other settings, if the loss stops being finite (naming the
///   learning rate), or if the images do not fit the network.
/// @throws Error(kIo) if a file cannot be written.
[[nodiscard]] Trained train(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& test_set,
                            const TrainingOptions& options, const std::filesystem::path& folder, const core::Run& run);

}  // namespace pellucid::training
