// The whole story: train a network in both modes, take the gradients it would share, read images back, measure.
#pragma once

#include "pellucid/study/comparison.h"
#include "pellucid/training/options.h"

#include <functional>

namespace pellucid::study {

struct DemoOptions {
  enum class Attacks { kBoth, kResidual, kIg };

  std::string data;        ///< a data set's name; empty: MNIST where it is found, else the built-in digits
  std::string data_dir;    ///< where to look for it first
  std::string net = "small_cnn";
  std::string standard_model, adversarial_model;  ///< weight files to use instead of training; both or none
  std::int64_t images = 8;           ///< test images to read back, drawn by `data::sample`
  std::int64_t train_images = 0;     ///< train on so many, drawn likewise; 0: all
  std::int64_t judge_images = 1000;  ///< test images for the accuracy under attack, drawn likewise
  std::uint64_t seed = 0;            ///< of both trainings, of the attacks' starts and of the judge's

  // Their seeds and test attacks are the demo's own: see `seed` and `judge`.
  training::TrainingOptions standard, adversarial;
  evasion::PgdOptions judge;  ///< the attack that both models' robustness is judged by
  Attacks attack = Attacks::kBoth;
  inversion::InversionOptions residual, ig;

  /// The settings that fit in minutes on two cores.
  DemoOptions();
};

/// The fields of the demo itself; the others' are in their own sections.
[[nodiscard]] core::Fields fields(DemoOptions& options);

/// Runs the demo to its folder, or goes on with what the folder holds, and writes `result.json` there.
/// @param warn takes sentences on what is damaged in the folder; may be empty.
/// @return what result.json holds.
/// @throws Error(kUsage) if the folder is another verb's, or another process works there. Nothing is written before that is known.
/// @throws Error(kStopped) if a stop was asked for; the same call goes on from there.
/// @throws Error(kData), Error(kUsage), Error(kModel), Error(kIo) as the layers below.
[[nodiscard]] core::Json run_demo(const DemoOptions& options, const core::Json& config, const std::filesystem::path& folder,
                                  const core::Run& run, const std::function<void(const std::string&)>& warn = {});

}  // namespace pellucid::study
