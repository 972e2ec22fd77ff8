// A study as data: a grid of settings from a TOML file.
#pragma once

#include "pellucid/inversion/options.h"
#include "pellucid/nets/network.h"
#include "pellucid/training/options.h"

#include <filesystem>
#include <optional>

namespace pellucid::study {

/// All that determines a cell but the training seed and the image.
struct Settings {
  // [model]
  std::string data = "mnist", data_dir;
  std::string net = "small_cnn";
  bool normalise = false;         ///< the network's first layer standardises by the training images' mean and deviation
  std::string weights;            ///< weight file of the network, which then is not trained; empty: it is trained
  std::int64_t train_images = 0;  ///< so many, drawn by `data::sample`; 0: all
  std::int64_t test_images = 0;   ///< measure accuracy on so many, drawn by `data::sample`; 0: all
  std::int64_t judge_images = 1000;  ///< accuracy under attack is measured on so many of them, drawn likewise

  training::TrainingOptions
      training;  ///< [training], [training.attack], [training.test_attack]; its seed is added to the study's

  // [client]
  std::string checkpoint = "end";  ///< whose weights: "end", "epoch N" or "step N"
  nets::Mode mode = nets::Mode::kEvaluation;
  double logit_scale = 1;  ///< the last layer's weight and bias times this: the same decisions, another confidence

  // [attack]
  std::string preset = "residual";
  inversion::InversionOptions attack;
};

/// A moment of a training, of which it keeps the weights.
struct Checkpoint {
  std::string kind;  ///< "epoch" or "step"
  std::int64_t number = 0;
};

/// "epoch 3", "step 100"; nothing for "end" and what is no checkpoint.
[[nodiscard]] std::optional<Checkpoint> checkpoint(const std::string& text);

/// One value that an axis takes.
struct Level {
  std::string label;
  std::optional<double> x;  ///< where it stands on a chart's axis
  core::Json settings;      ///< tables that are laid over the study's
};

struct Axis {
  std::string name, title;
  std::vector<Level> levels;
};

/// One combination of the axes' levels.
struct Group {
  std::vector<std::size_t> levels;  ///< one an axis
  Settings settings;
};

struct Study {
  std::string name, scale;  ///< the file's stem, and which of its scales
  std::string title, question;
  std::string compare;           ///< the axis whose levels are compared with its first one; may be empty
  std::string x;                 ///< the axis that charts run along; may be empty
  std::int64_t images = 8;       ///< test images to read back; 0: only train
  std::int64_t first_image = 0;  ///< the place of the first of them in `data::sample_order` of the test set
  std::int64_t seeds = 1;        ///< trainings, with seeds 0, 1, ...
  std::int64_t gallery = 12;     ///< images that the report shows
  std::vector<Axis> axes;
  std::vector<Group> groups;  ///< the cross product, the last axis fastest
  core::Json published;       ///< figures of others to stand beside, or null
  core::Json document;        ///< the file as it was used: scale and changes laid over it
};

/// Reads a study.
///
/// A file may extend another (`extends = "other.toml"`, beside it) and holds scales ([scale.smoke], ...): tables that
/// are laid over the whole (RFC 7396: tables merge, everything else is replaced). An axis is {name, title, levels =
/// [{label, x, settings}]}, or {name, title, key = "training.attack.epsilon", values = [...]}. A relative
/// `model.weights` is beside the study's file; one that is typed (`changes`) is in the working folder.
///
/// @param scale one of the file's, or empty for the file as it is.
/// @param changes "key = value" in TOML, laid over last: "training.epochs = 3".
/// @throws Error(kIo) if the file cannot be read, or is larger than 1 MiB.
/// @throws Error(kUsage) for what is not TOML, an unknown key, scale, axis or preset, a value of the wrong kind, a
/// checkpoint that
///   the training does not keep, several trainings of given weights, files that extend one another, a comparison
///   between data sets, or settings that do not go together, with the nearest name or what was expected.
/// @throws Error(kUsage) for more than 10,000 groups or trainings, or 1,000,000 cells, before any of them is built.
[[nodiscard]] Study read_study(const std::filesystem::path& file, const std::string& scale,
                               const std::vector<std::string>& changes = {});

/// The names of a file's scales.
[[nodiscard]] std::vector<std::string> scales(const std::filesystem::path& file);

/// The settings as JSON, by table.
[[nodiscard]] core::Json to_json(const Settings& settings);

/// {axis: label} of a group.
[[nodiscard]] core::Json labels(const Study& study, const Group& group);

/// A level for the reader: its label; of a bare number, which says nothing without its axis, "Training epsilon 0.3".
[[nodiscard]] std::string name_of(const Axis& axis, const std::string& label);

/// "adversarial, residual": the labels of a group, those of the axes with more than one level.
[[nodiscard]] std::string describe(const Study& study, const Group& group);

}  // namespace pellucid::study
