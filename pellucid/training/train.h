// Trains a network: standard or adversarial, resumable to the same bits.
#pragma once

#include "pellucid/training/checkpoint.h"

#include <functional>

namespace pellucid::training {

struct Trained {
  nets::Network network;                       ///< with the names of the training set's classes
  std::optional<nets::Network> clean_network;  ///< with `dual_norm`: the one that clean images passed
  std::vector<EpochRecord> curve;
  std::int64_t kept_epoch;            ///< whose weights these are: the last one, but where the guard ended the training
  TrainingOptions options = {};       ///< as they were computed: `computable`
  std::vector<Workers> workers = {};  ///< who trained, one after the other
  std::vector<std::string> notes = {};  ///< what a reader of the result must be told: a fallback, a damaged checkpoint
};

/// Whether a training can be begun: what `train` refuses without a look into its folder.
/// @throws as `train`.
void check(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& test_set,
           const TrainingOptions& options, const core::Processes& processes = {});

/// Trains a network from its initial weights, or goes on from what the folder holds. Labels are matched by the names of
/// the classes, which the weight files hold.
///
/// A training is the same one as long as its network, its training images and `determinants` of its options are. What
/// only judges may change: accuracies of epochs that were measured otherwise are measured anew, from the epochs'
/// weights.
///
/// With several processes each works on its part of every batch, and all end with the weights that one process gives
/// but for the order of sums; the folder must be the same for all, and the first one writes it.
///
/// In the folder: `model.safetensors` at the end, and with `dual_norm` `model-clean.safetensors`;
/// `checkpoints/epoch-NNN.safetensors` after each epoch and `checkpoints/step-NNNNNN.safetensors` at the named steps
/// (0: the initial weights); `checkpoints/resume.safetensors`, the whole state, after each epoch and when a stop is
/// asked for, and `checkpoints/resume-before.safetensors`, that of the epoch before, which is taken up where the first
/// is damaged.
///
/// TensorBoard event files hold the loss, the accuracies and some images under attack.
///
/// Random: initial weights, order, augmentation, dropout and random starts are functions of (seed, purpose, index). A
/// training that was killed at any moment and begun again ends with the same bits as an undisturbed one, on the same
/// machine, build and number of threads and processes: with another number sums are added up in another order, and the
/// weights differ in their last bits. `Trained::workers` says which there were.
///
/// An autoencoder (`Method::kAutoencoder`) is measured by its training loss alone: no accuracy, no attack. Its labels
/// do not matter.
///
/// Mixed precision is float32 on a processor without bfloat16, where it would be emulated; a note says so.
///
/// @param accepted called before anything is written, once nothing is left to be refused.
/// @throws Error(kStopped) if a stop was asked for; the same call goes on from there.
/// @throws Error(kUsage) if the options do not go together (`check`), or do not go with several processes.
/// @throws Error(kUsage) if the folder holds a training with other settings, or if the loss or the weights stop being
///   finite (naming the learning rate): such weights are never saved.
/// @throws Error(kUsage) if a batch norm over 1 x 1 would see a batch of one image.
/// @throws Error(kUsage) as `nets::require_autoencoder`, of an autoencoder.
/// @throws Error(kUsage) if a private training's network has batch norm, or standardises by the training images.
/// @throws Error(kData) if there are no images or only one class, if images do not fit the network, or a test image is
///   of a class that the training set lacks, naming it.
/// @throws Error(kModel) if the folder's state is damaged and there is none before it, saying what to do.
/// @throws Error(kIo) if a file cannot be written.
[[nodiscard]] Trained train(const nets::Spec& spec, const data::Dataset& train_set, const data::Dataset& test_set,
                            const TrainingOptions& options, const std::filesystem::path& folder, const core::Run& run,
                            const core::Processes& processes = {}, const std::function<void()>& accepted = {});

}  // namespace pellucid::training
