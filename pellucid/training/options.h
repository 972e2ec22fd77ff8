// How a network is trained.
#pragma once

#include "pellucid/evasion/pgd.h"

namespace pellucid::training {

enum class Method {
  kStandard,     ///< cross-entropy on the images
  kAdversarial,  ///< cross-entropy on their PGD examples (Madry et al. 2018)
};
enum class Optimiser { kSgd, kAdam };
enum class Schedule {
  kConstant,
  kStep,    ///< times `gamma` at each milestone
  kCyclic,  ///< from 0 up to the learning rate at `peak` of the run, and down to 0 (Smith 2017)
  kCosine,  ///< from the learning rate down to 0 along half a cosine (Loshchilov and Hutter 2017)
};

struct TrainingOptions {
  Method method = Method::kStandard;
  std::int64_t epochs = 4;
  std::int64_t batch_size = 128;

  Optimiser optimiser = Optimiser::kAdam;
  double learning_rate = 1e-3;
  double momentum = 0.9;      ///< SGD only
  bool nesterov = false;      ///< SGD only
  double weight_decay = 0;    ///< L2 penalty's factor, added to the gradient
  Schedule schedule = Schedule::kCyclic;
  double peak = 0.4;          ///< cyclic: where in the run the learning rate is highest
  std::vector<std::int64_t> milestones = {};  ///< step: epochs at whose end the learning rate falls
  double gamma = 0.1;         ///< step: the factor by which it falls

  std::int64_t crop_padding = 0;  ///< random crop from the image padded with zeros by this much; 0: none
  bool flip = false;              ///< mirror half of the images

  evasion::PgdOptions attack{.epsilon = core::Number("0.3"), .step = core::Number("0.1"), .iterations = 5, .random_start = true};
  double epsilon_warmup = 0;      ///< epochs over which the attack's epsilon and step grow from 0; 0: none
  nets::Mode attack_mode = nets::Mode::kEvaluation;  ///< how the network is evaluated inside the inner attack

  std::vector<std::int64_t> checkpoint_steps = {0, 1, 10, 100};  ///< training steps after which the weights are kept too
  std::uint64_t seed = 0;

  evasion::PgdOptions test_attack = {};  ///< what judges robustness after each epoch
  std::int64_t test_attack_images = 200; ///< on how many of the test images; 0: none
};

/// The fields but for the two attacks, whose fields are `evasion::fields(options.attack)` and `(options.test_attack)`.
[[nodiscard]] core::Fields fields(TrainingOptions& options);

/// "adversarial training: 8 epochs of 128, Adam 0.001 cyclic, PGD-5 ..."
[[nodiscard]] std::string describe(const TrainingOptions& options);

/// The options as JSON, attacks included.
[[nodiscard]] core::Json to_json(const TrainingOptions& options);

/// The learning rate at a point of the run.
/// @param epoch epochs done, fractions included: in [0, options.epochs].
[[nodiscard]] double learning_rate(const TrainingOptions& options, double epoch);

}  // namespace pellucid::training
