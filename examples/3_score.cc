// 3. How close it is.
//
// Only who has the truth can say. The attack of the second example is repeated, and its result is held against the
// original, and against a guess without any gradient.
#include "pellucid/gradients/metrics.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/nets/weights.h"
#include "pellucid/sharing/formats.h"

#include <cstdio>

int main() {
  using namespace pellucid;
  const auto network = nets::load_network("network.safetensors");
  const auto observation = sharing::load_observation("update.safetensors", network);
  const auto truth = gradients::load_truth("truth.safetensors", network.architecture.spec);
  gradients::check_belongs(truth, observation);  // a truth of another update would be scored without a word

  auto attack = inversion::preset("residual").attack;
  attack.iterations = 300;
  attack.restarts = 2;
  const auto result = inversion::reconstruct(observation, attack, {.threads = 2});

  const auto score = gradients::score(network, result.trials[result.chosen].images, truth).front();
  for (const auto& metric : gradients::metrics()) {
    const auto found = score.values.find(metric.key);
    if (found != score.values.end())
      std::printf("%-16s %s\n", metric.label.c_str(), record::to_text(metric, found->second).c_str());
  }
  const auto grey = gradients::score(network, torch::full_like(truth.images, 0.5), truth).front();
  std::printf("a grey image has a PSNR of %.1f dB\n", grey.values.at("psnr"));
}
