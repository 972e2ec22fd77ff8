// 1. What a client sends.
//
// A client of federated learning computes the gradient of its loss on its own data and sends it away. Here the data are
// one image. The file that results holds the gradient and what else a server would know; the truth stays in another.
#include "pellucid/data/catalog.h"
#include "pellucid/gradients/truth.h"
#include "pellucid/nets/weights.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/sharing/formats.h"

#include <cstdio>

int main() {
  using namespace pellucid;

  // A network is a value: its architecture, a list of named layers, and its state, a map of named tensors. Weights of a
  // file would come from `nets::load_network`; these are as they are before any training.
  const auto architecture = nets::build({.net = "lenet", .input = {1, 28, 28}, .classes = 10});
  const nets::Network network{.architecture = architecture, .state = nets::initialise(architecture, /*seed=*/0)};
  nets::save_network(network, "network.safetensors");

  // Test image 3 of the patterns that Pellucid draws itself. Pixels are in [0, 1] everywhere.
  const auto set = data::load("patterns", data::Split::kTest);
  const Tensor at = torch::tensor({3});
  const gradients::Truth image{.images = data::pixels(set, at), .labels = data::labels(set, at)};

  // The client's side: float32 and the framework's cross-entropy, rounding included, because that is what leaks.
  const auto update = sharing::compute_update(network, image.images, image.labels);
  std::printf("a gradient of %zu tensors, of norm %.3g\n", update.gradient.size(), sharing::gradient_norm(update));

  // The attacker's side: the network, the update, and no label. The truth remembers whose it is.
  sharing::save_observation({.network = network, .update = update, .labels = {}}, "update.safetensors");
  gradients::save_truth({.images = image.images, .labels = image.labels, .update = sharing::digest(update)},
                        "truth.safetensors");
  std::printf("update.safetensors is what an attacker has; truth.safetensors is what it is held against\n");
}
