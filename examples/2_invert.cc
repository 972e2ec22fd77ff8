// 2. What can be reconstructed.
//
// The update of the first example, read by an attacker: it has the network and the gradient, and nothing else.
#include "pellucid/core/file.h"
#include "pellucid/data/image_file.h"
#include "pellucid/inversion/diagnose.h"
#include "pellucid/nets/weights.h"
#include "pellucid/sharing/formats.h"

#include <cstdio>

int main() {
  using namespace pellucid;
  const auto network = nets::load_network("network.safetensors");
  const auto observation = sharing::load_observation("update.safetensors", network);

  // An attack is data; presets name the known ones. Fewer iterations than usual, since this is an example.
  auto attack = inversion::preset("residual").attack;
  attack.iterations = 300;
  attack.restarts = 2;

  // Each restart begins at noise of its own. The one with the lowest matching loss is kept: that is all an attacker can
  // go by.
  const auto result = inversion::reconstruct(observation, attack, {.threads = 2});
  const auto& chosen = result.trials[result.chosen];
  std::printf("restart %zu of %zu, matching loss %.3g, by %s\n", result.chosen + 1, result.trials.size(),
              chosen.matching_loss, chosen.method.c_str());

  // An attack that fails says why. A bad picture is no evidence of privacy.
  for (const auto& cause : inversion::diagnose(observation, attack, result))
    std::printf("%s\n", cause.sentence.c_str());
  if (!chosen.images.defined()) return 1;
  core::write_file("reconstruction.png", data::encode_png(chosen.images[0]));
  std::printf("reconstruction.png\n");
}
