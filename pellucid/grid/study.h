// A study as data: a grid of settings from a TOML file, of any system.
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/record/metric.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace pellucid::grid {

class System;

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
  std::vector<std::size_t> levels;  ///< one for each axis
  core::Json settings;              ///< as `System::resolve` gives them
};

struct Study {
  std::string name, scale;  ///< the file's stem, and which of its scales
  std::string title, question;
  std::string compare;          ///< the axis whose levels are compared with its first one; may be empty
  std::string metric;           ///< the score that is tested; empty: the first of the system
  std::string x;                ///< the axis that charts run along; may be empty
  std::int64_t items = 8;       ///< to read back ("images" in the file, after `System::item`); 0: only prepare
  std::int64_t first_item = 0;  ///< the place of the first of them in the order in which the system draws them
  std::int64_t seeds = 1;       ///< repetitions, with seeds 0, 1, ...
  std::int64_t gallery = 12;    ///< items that the report shows
  std::vector<Axis> axes;
  std::vector<Group> groups;  ///< the cross product, the last axis fastest
  core::Json published;       ///< figures of others to stand beside, or null
  core::Json document;        ///< the file as it was used: scale and changes laid over it
};

/// Reads a study.
///
/// An axis is {name, title, levels = [{label, x, recipe, settings}]}, or {name, title, key = "training.attack.epsilon",
/// values = [...]}. A recipe is settings that levels share: [recipe.adversarial.training] and recipe = "adversarial" in
/// a level, whose own settings are laid over it.
///
/// A file may extend another (`extends = "other.toml"`, beside it) and holds scales ([scale.smoke], ...), which are
/// laid over the whole: tables merge, an axis takes the place of the one of its name, further axes come first, and
/// everything else is replaced. An axis without levels is left out.
///
/// @param scale one of the file's, or empty for the file as it is.
/// @param changes "key = value" in TOML, laid over last: "training.epochs = 3". `axis` replaces all axes.
/// @throws Error(kIo) if the file cannot be read, or is larger than 1 MiB.
/// @throws Error(kUsage) for what is not TOML, or nested more than 16 deep.
/// @throws Error(kUsage) for an unknown key, table, scale, axis or metric, naming the nearest.
/// @throws Error(kUsage) for a value of the wrong kind, and for files that extend one another.
/// @throws Error(kUsage) for a comparison between groups that read different items (`System::source`).
/// @throws Error(kUsage) for more than 10,000 groups or repetitions, or 1,000,000 cells, before any of them is built.
/// @throws as `System::resolve` and `System::check`.
[[nodiscard]] Study read_study(const System& system, const std::filesystem::path& file, const std::string& scale,
                               const std::vector<std::string>& changes = {});

/// The system's scores, with that first which the study tests.
[[nodiscard]] std::vector<record::Metric> metrics(const Study& study, const System& system);

/// Whether it is the system's first, for which alone `System::pooled` and `System::covariates` are.
[[nodiscard]] bool tests_first_metric(const Study& study, const System& system);

/// What a study says besides its tables and axes; each field points into `study`.
[[nodiscard]] core::Fields fields(Study& study, const System& system);

/// The names of a file's scales.
[[nodiscard]] std::vector<std::string> scales(const std::filesystem::path& file);

/// {"a": {"b": value}} for "a.b".
[[nodiscard]] core::Json nested(const std::string& key, const core::Json& value);

/// {axis: label} of a group.
[[nodiscard]] core::Json labels(const Study& study, const Group& group);

/// A level for the reader: its label; of a bare number, which says nothing without its axis, "Training epsilon 0.3".
[[nodiscard]] std::string name_of(const Axis& axis, const std::string& label);

/// "adversarial, residual": the labels of a group, those of the axes with more than one level.
[[nodiscard]] std::string describe(const Study& study, const Group& group);

/// "adversarial, residual, seed 0".
[[nodiscard]] std::string describe(const Study& study, std::size_t group, std::int64_t seed);

}  // namespace pellucid::grid
