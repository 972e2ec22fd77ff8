// A study of a few seconds, for the tests of whole studies.
#pragma once

#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"
#include "pellucid/gradients/system.h"
#include "pellucid/grid/run.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"

namespace pellucid::gradients {

using core::ErrorKind;
using core::Json;

inline constexpr std::string_view kTiny = R"(
title = "Tiny"
compare = "mode"
images = 2
seeds = 2
[model]
data = "patterns"
net = "lenet"
train_images = 64
test_images = 32
judge_images = 4
[training]
epochs = 1
batch_size = 8
checkpoint_steps = [0]
test_attack_images = 0
[training.attack]
iterations = 1
[training.test_attack]
iterations = 1
[attack]
iterations = 5
restarts = 1
[[axis]]
name = "mode"
levels = [{ label = "standard" }, { label = "adversarial", training.method = "adversarial" }]
[[axis]]
name = "attack"
levels = [{ label = "ours", attack.preset = "residual" }, { label = "theirs", attack.preset = "ig" }]
)";

// Networks and controls are made once for all tests, as studies do.
inline const std::filesystem::path& trained() {
  static const core::Folder folder;
  return folder.path();
}

using grid::Folders;
using grid::Study;

inline Study read_study(const std::filesystem::path& file, const std::string& scale,
                        const std::vector<std::string>& changes = {}) {
  return grid::read_study(System(), file, scale, changes);
}

inline Json run_study(const Study& study, const Folders& folders, const core::Run& run,
                      const std::function<void(const std::string&)>& warn = {}) {
  System system;
  return grid::run_study(study, system, folders, run,
                         {{"pellucid", "test"}, {"commit", "none"}, {"cores", 2}, {"date", "2026-01-01T00:00:00Z"}}, {},
                         warn);
}

inline grid::Outline outline(const Study& study, const Folders& folders, const core::Run& run) {
  System system;
  return grid::outline(study, system, folders, run);
}

struct RunStudy : testing::Test {
  core::Folder folder;
  const Folders folders{.run = folder.path() / "run", .shared = trained()};

  Study read(const std::vector<std::string>& changes = {}) {
    core::write_file(folder.path() / "tiny.toml", kTiny);
    return read_study(folder.path() / "tiny.toml", "", changes);
  }
  Json run(const Study& study) { return run_study(study, folders, {.threads = 2}); }
  std::string cells() { return core::read_text(folders.run / "cells.jsonl"); }
  void TearDown() override { core::request_stop(false); }
};

inline Json without_dates(Json result) {
  result.erase("environment");
  result.erase("checksum");  // it knows the date
  return result;
}

}  // namespace pellucid::gradients
