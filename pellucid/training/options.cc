#include "pellucid/training/options.h"

#include "pellucid/core/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pellucid::training {
namespace {

const core::Choices<Method> kMethods = {{"standard", Method::kStandard}, {"adversarial", Method::kAdversarial},
                                        {"trades", Method::kTrades},     {"mart", Method::kMart},
                                        {"free", Method::kFree},         {"autoencoder", Method::kAutoencoder}};
const core::Choices<AttackStart> kStarts = {{"ball", AttackStart::kBall}, {"near", AttackStart::kNear}};
const core::Choices<Precision> kPrecisions = {{"float32", Precision::kFloat32}, {"mixed", Precision::kMixed}};
const core::Choices<Optimiser> kOptimisers = {{"sgd", Optimiser::kSgd}, {"adam", Optimiser::kAdam}};
const core::Choices<Schedule> kSchedules = {{"constant", Schedule::kConstant},
                                            {"step", Schedule::kStep},
                                            {"cyclic", Schedule::kCyclic},
                                            {"cosine", Schedule::kCosine}};

}  // namespace

core::Fields fields(TrainingOptions& o) {
  return {
      core::field(
          "method", o.method,
          "what the loss is: of the images, of adversarial examples, of both, or how far the output is from the "
          "image (autoencoder)",
          kMethods),
      core::field("epochs", o.epochs, "passes over the training images", 1, 100000),
      core::field("batch_size", o.batch_size, "images in a step", 1, 100000),
      core::field("optimiser", o.optimiser, "SGD with momentum, or Adam", kOptimisers),
      core::field("learning_rate", o.learning_rate, "the highest learning rate of the schedule", 0, 1000),
      core::field("momentum", o.momentum, "momentum of SGD; 0 is none", 0, 1),
      core::field("nesterov", o.nesterov, "Nesterov's momentum, for SGD"),
      core::field("weight_decay", o.weight_decay, "factor of the L2 penalty; 0 is none", 0, 1000),
      core::field("schedule", o.schedule, "how the learning rate goes over the run", kSchedules),
      core::field("peak", o.peak, "cyclic: the share of the run after which the learning rate is highest", 0, 1),
      core::field("milestones", o.milestones, "step: the epochs after which the learning rate falls", 1, 100000),
      core::field("gamma", o.gamma, "step: the factor by which it falls", 0, 1),
      core::field("crop_padding", o.crop_padding, "random crops of the image padded by this many pixels; 0 is none", 0,
                  1000),
      core::field("flip", o.flip, "mirror half of the images"),
      core::field("epsilon_warmup", o.epsilon_warmup, "epochs over which the attack grows from nothing; 0 is none", 0,
                  100000),
      core::field("attack_start", o.attack_start, "a random start lies anywhere in the ball, or 0.001 from the image",
                  kStarts),
      nets::mode_field("attack_mode", o.attack_mode, "the network's mode inside the attack"),
      core::field("beta", o.beta, "trades, mart: weight of the second term of the loss", 0, 1000),
      core::field("replays", o.replays, "free: times that each batch is trained on in a row", 1, 1000),
      core::field("adversarial_share", o.adversarial_share, "adversarial: the share of each batch that is attacked", 0,
                  1),
      core::field("adversarial_weight", o.adversarial_weight,
                  "adversarial: what an attacked image counts in the loss, a clean one counts 1", 0, 1000),
      core::field("dual_norm", o.dual_norm, "adversarial: batch norms of their own for the clean images"),
      core::field("awp", o.awp, "adversarial weight perturbation, in shares of each weight's norm; 0 is none", 0, 1),
      core::field("awp_warmup", o.awp_warmup, "epochs before the weight perturbation begins", 0, 100000),
      core::field("clip_norm", o.clip_norm,
                  "differential privacy: the norm to which each example's gradient is clipped; 0 is none", 0, 1e6),
      core::field("noise_multiplier", o.noise_multiplier,
                  "differential privacy: the deviation of the noise in a step, in clip norms", 0, 1e6),
      core::field("guard_images", o.guard_images,
                  "training images, drawn with the seed, attacked by PGD-10 after each epoch, to end a training that "
                  "overfits to its attack; 0 is none",
                  0, INT64_MAX),
      core::field("guard_fall", o.guard_fall,
                  "the fall of the accuracy on them that ends it; the best epoch's weights are kept", 0, 1),
      core::field("precision", o.precision,
                  "mixed: convolutions and linear layers in bfloat16; float32 on a processor without it", kPrecisions),
      core::field("checkpoint_steps", o.checkpoint_steps,
                  "training steps after which the weights are kept, beside each epoch's", 0, INT64_MAX),
      core::field("test_attack_images", o.test_attack_images,
                  "test images, drawn with the seed, attacked after each epoch; 0 is none", 0, INT64_MAX),
      core::field("seed", o.seed, "seed of the initial weights, the order, the augmentation and the attacks"),
  };
}

void check(const TrainingOptions& o) {
  auto refuse = [](const std::string& got, const char* expected) {
    throw core::Error(core::ErrorKind::kUsage, "training: got {}, expected {}", got, expected);
  };
  const bool mixed = o.adversarial_share < 1 || o.adversarial_weight != 1 || o.dual_norm;
  if (mixed && o.method != Method::kAdversarial) {
    refuse("adversarial_share, adversarial_weight or dual_norm", "method adversarial with them");
  }
  if (o.dual_norm && (o.adversarial_share == 0 || o.adversarial_share == 1)) {
    refuse(fmt::format("dual_norm and adversarial_share {}", o.adversarial_share),
           "a share between 0 and 1: each kind of image needs some");
  }
  if (o.adversarial_weight == 0 && o.adversarial_share == 1)
    refuse("adversarial_weight 0", "more: nothing would be trained on");
  if (o.guard_images > 0 && !attacks(o.method)) {
    refuse(fmt::format("guard_images and method {}", classifies(o.method) ? "standard" : "autoencoder"),
           "an adversarial method");
  }
  if (o.method == Method::kFree && o.awp > 0) refuse("awp and method free", "another method, or awp 0");
  if (o.noise_multiplier > 0 && !is_private(o))
    refuse(fmt::format("noise_multiplier {} and clip_norm 0", o.noise_multiplier),
           "a clip_norm above 0 with it: the noise is in clip norms");
  if (is_private(o)) {  // what would look at the images outside the noisy sums, or couple them
    if (o.method == Method::kFree)
      refuse("clip_norm and method free", "another method: it carries a perturbation along");
    if (o.awp > 0) refuse("clip_norm and awp", "awp 0: the perturbation follows gradients without noise");
    if (o.guard_images > 0)
      refuse("clip_norm and guard_images", "guard_images 0: it chooses an epoch by training images, without noise");
  }
  if (attacks(o.method)) evasion::check(o.attack.ball(), "attack");
  evasion::check(o.test_attack.ball(), "test_attack");
  if (o.method == Method::kFree && o.attack.norm != evasion::Norm::kLinf)
    refuse("method free and norm l2", "norm linf");
}

std::string describe(const TrainingOptions& options) {
  TrainingOptions o = options;
  const core::Json json = core::to_json(fields(o));
  std::string text =
      fmt::format("{} training: {} epochs in batches of {}, {} at {} ({})", json["method"].get<std::string>(), o.epochs,
                  o.batch_size, o.optimiser == Optimiser::kAdam ? "Adam" : "SGD", o.learning_rate,
                  json["schedule"].get<std::string>());
  if (attacks(o.method)) {
    text += ", " + evasion::describe(o.attack);
    if (o.epsilon_warmup > 0) text += fmt::format(", growing over {} epochs", o.epsilon_warmup);
  }
  if (o.method == Method::kTrades || o.method == Method::kMart) text += fmt::format(", beta {}", o.beta);
  if (o.method == Method::kFree) text += fmt::format(", {} replays", o.replays);
  if (o.adversarial_share < 1) text += fmt::format(", {} % of each batch attacked", 100 * o.adversarial_share);
  if (o.adversarial_weight != 1) text += fmt::format(", weighing {}", o.adversarial_weight);
  if (o.dual_norm) text += ", dual batch norm";
  if (o.awp > 0) text += fmt::format(", weight perturbation {}", o.awp);
  if (is_private(o)) text += fmt::format(", DP-SGD with clip norm {} and noise {}", o.clip_norm, o.noise_multiplier);
  if (o.precision == Precision::kMixed) text += ", bfloat16";
  return text;
}

core::Json to_json(const TrainingOptions& options) {
  TrainingOptions o = options;
  core::Json json = core::to_json(fields(o));
  if (!is_private(o)) json.erase("clip_norm"), json.erase("noise_multiplier");  // trainings of before keep their names
  json["attack"] = core::to_json(evasion::fields(o.attack));
  json["test_attack"] = core::to_json(evasion::fields(o.test_attack));
  return json;
}

core::Json determinants(const TrainingOptions& options) {
  const TrainingOptions defaults;
  TrainingOptions o = options;
  if (!attacks(o.method)) {
    o.attack = defaults.attack;
    o.attack_start = defaults.attack_start;
    o.epsilon_warmup = defaults.epsilon_warmup;
    o.attack_mode = defaults.attack_mode;
  }
  if (o.method != Method::kTrades && o.method != Method::kMart) o.beta = defaults.beta;
  if (o.method != Method::kFree) o.replays = defaults.replays;
  if (o.optimiser != Optimiser::kSgd) o.momentum = defaults.momentum, o.nesterov = defaults.nesterov;
  if (o.schedule != Schedule::kCyclic) o.peak = defaults.peak;
  if (o.schedule != Schedule::kStep) o.milestones = defaults.milestones, o.gamma = defaults.gamma;
  if (o.awp == 0) o.awp_warmup = defaults.awp_warmup;
  if (o.guard_images == 0) o.guard_fall = defaults.guard_fall;
  core::Json json = to_json(o);
  for (const char* name : {"test_attack", "test_attack_images", "checkpoint_steps"}) json.erase(name);
  if (o.schedule == Schedule::kConstant || o.schedule == Schedule::kStep) json.erase("epochs");
  return json;
}

bool is_private(const TrainingOptions& options) { return options.clip_norm > 0; }

privacy::Phase private_steps(const TrainingOptions& options, std::int64_t images) {
  return {.rate = std::min(1.0, static_cast<double>(options.batch_size) / static_cast<double>(images)),
          .noise = options.noise_multiplier,
          .steps = options.epochs * ((images + options.batch_size - 1) / options.batch_size)};
}

TrainingOptions computable(TrainingOptions options, bool has_bfloat16) {
  if (!has_bfloat16) options.precision = Precision::kFloat32;
  return options;
}

double learning_rate(const TrainingOptions& o, double epoch) {
  const double done = epoch / static_cast<double>(o.epochs);
  switch (o.schedule) {
    case Schedule::kConstant: break;
    case Schedule::kStep: {
      double rate = o.learning_rate;
      for (const auto milestone : o.milestones) {
        if (epoch >= static_cast<double>(milestone)) rate *= o.gamma;
      }
      return rate;
    }
    case Schedule::kCyclic:
      return o.learning_rate * (done < o.peak || o.peak == 1 ? done / o.peak : (1 - done) / (1 - o.peak));
    case Schedule::kCosine: return o.learning_rate * (1 + std::cos(std::numbers::pi * done)) / 2;
  }
  return o.learning_rate;
}

}  // namespace pellucid::training
