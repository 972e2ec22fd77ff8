// A verb's settings: flags and TOML keys from one list of fields.
#pragma once

#include "pellucid/core/config.h"

#include <CLI/CLI.hpp>

#include <deque>

namespace pellucid::cli {

/// The fields of one TOML table. The flags of table "attack" are --attack.NAME; those of table "" are --NAME.
struct Section {
  std::string table;
  core::Fields fields;
  bool recorded = true;        ///< part of `resolved`: what a result depends on
  bool change = false;         ///< what is typed is a change to a study's file, see `changes`
  std::string full_name = "";  ///< the table's name in a study, which flags and files may use too: "training.attack"
};

/// Declares flags for fields and fills the fields in: first from the file given with --config, then from the flags.
class Settings {
 public:
  /// @param takes_config adds --config FILE to the verb.
  explicit Settings(CLI::App& app, bool takes_config = true);

  /// Adds the flags of a section. The structs behind the fields must outlive the parsing.
  void add(Section section, const std::string& heading);

  /// A setting's text as it was typed, or its value in the file of --config; empty where it is in neither. For one that
  /// decides the defaults of others. @param path "attack.preset". @throws as `core::read_config`.
  [[nodiscard]] std::string given(const std::string& path) const;

  /// Shows the values that the fields have now as the defaults in --help.
  void show_defaults() const;

  /// Sets the fields. To be called once the command line is parsed. A file may be a run's config.json, whose "verb"
  /// must be this one.
  /// @throws Error(kUsage) for an unknown key or a value that a field does not take, with the file and, of TOML, the
  /// line.
  /// @throws Error(kUsage) for the config.json of another verb.
  void apply();

  /// What was typed of the sections that are changes, "table.key = value" in TOML, in the order of typing.
  [[nodiscard]] std::vector<std::string> changes() const;

  /// The resolved settings of the recorded sections: {"key": .., "table": {"key": ..}}
  [[nodiscard]] core::Json resolved() const;

 private:
  void apply(const core::Config& config);

  struct Shown {
    CLI::Option* option;
    const core::Field* field;
    std::string name;
  };
  struct Typed {
    const Section* section;
    const core::Field* field;
    std::string flag, text;
  };
  CLI::App& app_;
  std::string config_path_;
  std::deque<Section> sections_;  // a deque does not move what it holds
  std::vector<Shown> shown_;
  std::vector<Typed> typed_;
};

}  // namespace pellucid::cli
