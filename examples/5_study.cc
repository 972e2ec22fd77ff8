// 5. A question, answered with its uncertainty.
//
// A study is a grid of settings. Everything else (seeds, resumption, controls, intervals, tests, the page) comes with
// it.
#include "pellucid/core/environment.h"
#include "pellucid/core/file.h"
#include "pellucid/gradients/system.h"
#include "pellucid/grid/run.h"
#include "pellucid/report/html.h"

#include <cstdio>

int main() {
  using namespace pellucid;
  // Two levels of one axis, two images, one training. A study of use has dozens of images and several trainings.
  core::write_file("restarts.toml", std::string_view(R"(
title = "Do more restarts help?"
compare = "restarts"
images = 2
[model]
data = "patterns"
net = "lenet"
train_images = 64
test_images = 50
judge_images = 4
[training]
epochs = 1
test_attack_images = 0
[training.test_attack]
iterations = 1
[attack]
preset = "residual"
iterations = 30
[[axis]]
name = "restarts"
key = "attack.restarts"
values = [1, 2]
)"));

  gradients::System system;
  const auto study = grid::read_study(system, "restarts.toml", "");
  const auto result = grid::run_study(study, system, {.run = "run", .shared = "trained"}, {.threads = 2},
                                      core::environment(/*threads=*/2));
  std::printf("%s\n", result["headline"].get<std::string>().c_str());
  for (const auto& warning : result["warnings"]) std::printf("- %s\n", warning.get<std::string>().c_str());
  std::printf("%s\n", report::write_report("run").c_str());
}
