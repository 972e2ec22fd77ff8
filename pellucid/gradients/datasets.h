// The images that the cells of a study read back and train on, and what is known of weights that are given.
#pragma once

#include "pellucid/data/dataset.h"
#include "pellucid/gradients/settings.h"
#include "pellucid/gradients/truth.h"
#include "pellucid/sharing/fisher.h"

#include <map>
#include <memory>
#include <mutex>

namespace pellucid::gradients {

/// The data sets of a study, each loaded when it is first asked for, and what is known of its given weights. Threads
/// may share it.
class Datasets {
 public:
  /// The images that the settings train on, and those that they measure on: all, or so many, drawn with seed 0. Labels
  /// count in the classes of the training images, by name.
  const data::Dataset& train(const Settings& settings);
  const data::Dataset& test(const Settings& settings);
  /// All test images, in their own order: those that are read back are some of these.
  const data::Dataset& all_test(const Settings& settings);
  /// The number in `all_test` of the image at a place of the order in which studies draw them: stratified, seed 0.
  /// @throws Error(kUsage) if there are fewer images.
  std::int64_t drawn(const Settings& settings, std::int64_t place);
  /// The client's batch of which that test image is the first: the others are drawn with its number, each once.
  /// @throws Error(kUsage) if there are fewer test images.
  Truth batch(const Settings& settings, std::int64_t image);
  /// 999 test images, the last of the order in which studies draw them; none where there are fewer than 1,000.
  const Truth& others(const Settings& settings);
  /// (1, C, H, W) in [0, 1]: the mean of the training images, which is the best guess without any gradient, in squared
  /// error.
  const Tensor& mean_image(const Settings& settings);
  /// `public_prior` of the training images.
  std::shared_ptr<const sharing::Prior> prior(const Settings& settings);
  /// What tells the data from others: the name of a set that is known by name; of a folder, also a hash of its images,
  /// labels and classes.
  const std::string& identity(const Settings& settings);
  /// The fingerprint of the network whose weights the settings give; empty where it is trained.
  /// @throws as `nets::load_network`.
  const std::string& given(const Settings& settings);

 private:
  std::mutex mutex_;
  std::map<std::string, data::Dataset> sets_;
  std::map<std::string, Tensor> orders_;
  std::map<std::string, Tensor> means_;
  std::map<std::string, Truth> others_;
  std::map<std::string, std::shared_ptr<const sharing::Prior>> priors_;
  std::mutex identity_mutex_;
  std::map<std::string, std::string> identities_, given_;
  std::string identify(const Settings& settings);
  const data::Dataset& whole(const Settings& settings, data::Split split);
  const data::Dataset& load(const Settings& settings, data::Split split, std::int64_t most);
};

/// What is public of images: `sharing::fitted_prior` of up to 10,000 of these, drawn by `data::sample` with seed 0, and
/// a ridge of (1/100)^2.
[[nodiscard]] sharing::Prior public_prior(const data::Dataset& train);

/// The network whose weights the settings give. @throws as `nets::load_network`.
[[nodiscard]] nets::Network load_given(const Settings& settings);

}  // namespace pellucid::gradients
