// 4. A network that resists.
//
// A small network, trained as usual and against images that an attacker has changed. The question that Pellucid
// grew from is whether the second one leaks more of its training data.
#include "pellucid/data/catalog.h"
#include "pellucid/evasion/accuracy.h"
#include "pellucid/training/train.h"

#include <cstdio>

int main() {
  using namespace pellucid;
  // A part of the data, drawn with a seed so that every class has its share.
  const auto train_set = data::sample(data::load("patterns", data::Split::kTrain), 512, /*seed=*/0);
  const auto test_set = data::sample(data::load("patterns", data::Split::kTest), 200, /*seed=*/0);

  for (const auto method : {training::Method::kStandard, training::Method::kAdversarial}) {
    training::TrainingOptions options;
    options.method = method;
    options.epochs = 4;
    options.batch_size = 16;
    options.learning_rate = 2e-3;
    options.attack.epsilon = core::Number("0.1");
    options.attack.step = core::Number("0.05");
    options.attack.iterations = 3;
    options.test_attack_images = 0;
    const char* name = method == training::Method::kStandard ? "standard" : "adversarial";

    // A training that is stopped goes on from its folder, to the same bits.
    const nets::Spec spec{.net = "small_cnn", .input = {1, 28, 28}, .classes = 10};
    const auto trained = training::train(spec, train_set, test_set, options, name, {.threads = 2});

    // Accuracies come with their intervals: with 200 images they are wide.
    const auto natural = evasion::to_json(evasion::natural_accuracy(trained.network, test_set, {}));
    std::printf("%-12s %.1f %% [%.1f, %.1f]\n", name, 100 * natural["value"].get<double>(),
                100 * natural["low"].get<double>(), 100 * natural["high"].get<double>());
  }
}
