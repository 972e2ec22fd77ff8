// What `study` and `demo` share: the flags with which a study is run, and the run.
#pragma once

#include "pellucid/gradients/system.h"

#include "cli/settings.h"
#include "cli/terminal.h"

namespace pellucid::cli {

struct StudyFlags {
  Common common;
  std::string scale = "laptop", out, trained;
  std::vector<std::string> changes;  ///< "KEY=VALUE" each, laid over the study; settings typed as flags come after them
  gradients::Settings tables;        ///< receives what is typed of the tables' settings: --attack.restarts
  grid::Study study;                 ///< and of a study's own: --images
  bool dry_run = false;
};

/// Adds them, a flag for each setting of the study's tables, and what every verb has.
/// @param scales, out the help of --scale and --out.
void add_flags(CLI::App& app, Settings& settings, StudyFlags& flags, const std::string& scales, const std::string& out);

/// The file of a study that comes with Pellucid, by name, or a file *.toml as it is.
/// @throws core::Error(kUsage) if there is no such study, naming the nearest.
[[nodiscard]] std::filesystem::path study_file(const std::string& name);

/// Runs a study to its report and prints it; with --dry-run it is only said what there is to do.
/// @param system that the study was read with.
/// @param verb for what is said on stderr.
void run_study(const grid::Study& study, grid::System& system, const StudyFlags& flags, const std::string& verb);

}  // namespace pellucid::cli
