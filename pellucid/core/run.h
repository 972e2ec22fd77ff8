// What every long piece of work is handed besides its own settings.
#pragma once

#include "pellucid/core/progress.h"

namespace pellucid::core {

struct Run {
  ProgressSink progress = {};  ///< receives reports; may be empty
  int threads = 1;             ///< cores to use
  std::string device = "cpu";  ///< where networks are trained and attacked: "cpu", "cuda", "cuda:1"
  std::string label = {};      ///< put in front of the names of tasks: "standard: train"

  void report(Progress report) const {
    if (!progress) return;
    if (!label.empty()) report.task = label + ": " + report.task;
    progress(report);
  }
};

}  // namespace pellucid::core
