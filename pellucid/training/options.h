// How a network is trained.
#pragma once

#include "pellucid/evasion/pgd.h"
#include "pellucid/privacy/guarantee.h"

namespace pellucid::training {

enum class Method {
  kStandard,     ///< cross-entropy on the images
  kAdversarial,  ///< cross-entropy on their PGD examples (Madry et al. 2018); one iteration is FGSM-RS (Wong et al.
                 ///< 2020)
  kTrades,       ///< cross-entropy on the images, and beta times how far the answers move (Zhang et al. 2019)
  kMart,  ///< boosted cross-entropy on the examples, and beta times that, most where the model errs (Wang et al. 2020)
  kFree,  ///< each batch several times over, one perturbation carried along (Shafahi et al. 2019)
  kAutoencoder,  ///< the mean squared difference of output and image, without labels (`nets::reconstruction_errors`)
};
/// Whether a method trains a classifier, of which there is an accuracy.
[[nodiscard]] constexpr bool classifies(Method method) { return method != Method::kAutoencoder; }
/// Whether a method has an inner attack.
[[nodiscard]] constexpr bool attacks(Method method) { return classifies(method) && method != Method::kStandard; }

enum class Optimiser { kSgd, kAdam };
/// Where the inner attack begins, if at a random point.
enum class AttackStart {
  kBall,  ///< anywhere in the ball (Madry et al. 2018)
  kNear,  ///< the image plus normal noise of deviation 0.001, as the published code of TRADES and MART does
};
enum class Precision {
  kFloat32,
  kMixed,  ///< convolutions and linear layers in bfloat16; weights, batch norm's statistics and the loss in float32
};
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
  double momentum = 0.9;    ///< SGD only
  bool nesterov = false;    ///< SGD only
  double weight_decay = 0;  ///< L2 penalty's factor, added to the gradient
  Schedule schedule = Schedule::kCyclic;
  double peak = 0.4;                          ///< cyclic: where in the run the learning rate is highest
  std::vector<std::int64_t> milestones = {};  ///< step: epochs at whose end the learning rate falls
  double gamma = 0.1;                         ///< step: the factor by which it falls

  std::int64_t crop_padding = 0;  ///< random crop from the image padded with zeros by this much; 0: none
  bool flip = false;              ///< mirror half of the images

  evasion::PgdOptions attack{.epsilon = core::Number("0.3"), .iterations = 5, .random_start = true};
  AttackStart attack_start = AttackStart::kBall;
  double epsilon_warmup = 0;  ///< epochs over which the attack's epsilon and step grow from 0; 0: none
  nets::Mode attack_mode = nets::Mode::kEvaluation;  ///< how the network is evaluated inside the inner attack

  double beta = 6;           ///< TRADES and MART: the weight of the second term
  std::int64_t replays = 8;  ///< free: times that each batch is trained on in a row

  /// Mixed training, three independent knobs of `kAdversarial`: which share of each batch is attacked, what an attacked
  /// image counts against a clean one in the loss (a weighted mean), and whether each kind has batch norms of its own.
  double adversarial_share = 1;
  double adversarial_weight = 1;
  bool dual_norm = false;

  double awp = 0;         ///< adversarial weight perturbation: its size beside each weight's norm; 0: none
  double awp_warmup = 0;  ///< epochs before it begins

  /// Differential privacy (DP-SGD, Abadi et al. 2016): each example's gradient is scaled to a norm of at most this,
  /// over all parameters jointly; each step draws its examples independently, `batch_size` on average; 0: none.
  double clip_norm = 0;
  /// The deviation of the normal noise that joins the sum of the clipped gradients, in clip norms; 0: clipped alone,
  /// and nothing is guaranteed.
  double noise_multiplier = 0;

  std::int64_t guard_images = 0;  ///< training images, drawn with the seed, attacked after each epoch to catch
                                  ///< catastrophic overfitting; 0: none
  double guard_fall = 0.2;        ///< the fall below the best epoch's accuracy on them at which the training ends

  Precision precision = Precision::kFloat32;

  std::vector<std::int64_t> checkpoint_steps = {0, 1, 10,
                                                100};  ///< training steps after which the weights are kept too
  std::uint64_t seed = 0;

  evasion::PgdOptions test_attack = {};   ///< what judges robustness after each epoch
  std::int64_t test_attack_images = 200;  ///< on how many of the test images, drawn with the seed; 0: none
};

/// The fields but for the two attacks, whose fields are `evasion::fields(options.attack)` and `(options.test_attack)`.
[[nodiscard]] core::Fields fields(TrainingOptions& options);

/// Whether it is trained with differential privacy: `clip_norm` is above 0.
[[nodiscard]] bool is_private(const TrainingOptions& options);

/// The steps of a private training on so many images, for an accountant (`privacy::tight_guarantee`): each image is
/// drawn in each step with the same probability, independently, `batch_size` of them on average; an epoch has as many
/// steps as batches would.
///
/// What a guarantee for them covers: the weights after each step. What it does not: the loss and accuracy on the
/// training images that are logged, the settings, if they were chosen by looking at these images, and noise drawn in
/// floating point from a seed that is written down.
[[nodiscard]] privacy::Phase private_steps(const TrainingOptions& options, std::int64_t images);

/// @throws Error(kUsage) if the options do not go together, naming both, or an attack's ball is none
/// (`evasion::check`).
void check(const TrainingOptions& options);

/// "adversarial training: 8 epochs of 128, Adam 0.001 cyclic, PGD-5 ..."
[[nodiscard]] std::string describe(const TrainingOptions& options);

/// The options as JSON, attacks included. What came after the first trainings were kept, `clip_norm` and
/// `noise_multiplier`, is left out where it is off: trainings are named by this.
[[nodiscard]] core::Json to_json(const TrainingOptions& options);

/// Those of them that the weights depend on: without what only judges (`test_attack`, `test_attack_images`), what is
/// kept (`checkpoint_steps`), what the method, the optimiser or the schedule does not look at, and the number of epochs
/// where the schedule does not depend on it (constant, step), so that such a training can be made longer.
[[nodiscard]] core::Json determinants(const TrainingOptions& options);

/// The options as they can be computed: mixed precision is float32 where there is no bfloat16.
[[nodiscard]] TrainingOptions computable(TrainingOptions options, bool has_bfloat16);

/// The learning rate at a point of the run.
/// @param epoch epochs done, fractions included: in [0, options.epochs].
[[nodiscard]] double learning_rate(const TrainingOptions& options, double epoch);

}  // namespace pellucid::training
