// The settings of a group of cells: data, network, training, client and attack.
#pragma once

#include "pellucid/inversion/attack.h"
#include "pellucid/sharing/protocol.h"
#include "pellucid/training/options.h"

#include <filesystem>
#include <optional>

namespace pellucid::gradients {

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
  sharing::Protocol protocol;      ///< of a batch: the image that is read back, and others that `batch` draws
  bool share_labels = false;       ///< the client says which labels its batch has
  std::int64_t rounds = 1;         ///< that the client takes part in, with the same batch
  double server_rate = 1e-3;       ///< of the server's step between two rounds, where it is sent a gradient
  bool bound = false;              ///< readings say what the client's noise leaves of the image (sharing/fisher.h)
  double logit_scale = 1;  ///< the last layer's weight and bias times this: the same decisions, another confidence

  // [attack]
  std::string preset = "residual";
  inversion::Attack attack;
};

/// A moment of a training, of which it keeps the weights.
struct Checkpoint {
  std::string kind;  ///< "epoch" or "step"
  std::int64_t number = 0;
};

/// "epoch 3", "step 100"; nothing for "end" and what is no checkpoint.
[[nodiscard]] std::optional<Checkpoint> checkpoint(const std::string& text);

/// The names of the tables, outermost first: "model", "training", "client", "attack".
[[nodiscard]] const std::vector<std::string>& table_names();

/// The tables with their fields, each of which points into `settings`: the one description of every setting.
[[nodiscard]] std::vector<std::pair<std::string, core::Fields>> tables(Settings& settings);

/// Reads the tables of a study; defaults for what they do not say. Relative `model.weights` and `attack.prior` are in
/// `folder`.
/// @param where names the study in messages.
/// @throws Error(kUsage) for an unknown key or preset, naming the nearest.
/// @throws Error(kUsage) for a value of the wrong kind.
/// @throws Error(kUsage) for a checkpoint that the training does not keep, and for settings that do not go together.
[[nodiscard]] Settings read_settings(const core::Json& tables, const std::filesystem::path& folder,
                                     const std::string& where);

/// What the client does, as far as its update depends on it: all of [client] but whose weights.
[[nodiscard]] core::Json client_of(const Settings& settings);

/// The settings as JSON, by table.
[[nodiscard]] core::Json to_json(const Settings& settings);

/// What `to_json` wrote.
[[nodiscard]] Settings settings(const core::Json& json);

}  // namespace pellucid::gradients
