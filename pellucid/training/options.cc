#include "pellucid/training/options.h"

#include <cmath>
#include <numbers>

namespace pellucid::training {
namespace {

const core::Choices<Method> kMethods = {{"standard", Method::kStandard}, {"adversarial", Method::kAdversarial}};
const core::Choices<Optimiser> kOptimisers = {{"sgd", Optimiser::kSgd}, {"adam", Optimiser::kAdam}};
const core::Choices<Schedule> kSchedules = {{"constant", Schedule::kConstant},
                                            {"step", Schedule::kStep},
                                            {"cyclic", Schedule::kCyclic},
                                            {"cosine", Schedule::kCosine}};

}  // namespace

core::Fields fields(TrainingOptions& o) {
  return {
      core::field("method", o.method, "train on the images, or on their adversarial examples", kMethods),
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
      core::field("crop_padding", o.crop_padding, "random crops of the image padded by this many pixels; 0 is none", 0, 1000),
      core::field("flip", o.flip, "mirror half of the images"),
      core::field("epsilon_warmup", o.epsilon_warmup, "epochs over which the attack grows from nothing; 0 is none", 0, 100000),
      nets::mode_field("attack_mode", o.attack_mode, "the network's mode inside the attack"),
      core::field("checkpoint_steps", o.checkpoint_steps, "training steps after which the weights are kept, beside each epoch's", 0,
                  INT64_MAX),
      core::field("test_attack_images", o.test_attack_images, "test images attacked after each epoch; 0 is none", 0, INT64_MAX),
      core::field("seed", o.seed, "seed of the initial weights, the order, the augmentation and the attacks"),
  };
}

std::string describe(const TrainingOptions& options) {
  TrainingOptions o = options;
  const core::Json json = core::to_json(fields(o));
  std::string text = fmt::format("{} training: {} epochs in batches of {}, {} at {} ({})", json["method"].get<std::string>(), o.epochs,
                                 o.batch_size, o.optimiser == Optimiser::kAdam ? "Adam" : "SGD", o.learning_rate,
                                 json["schedule"].get<std::string>());
  if (o.method == Method::kAdversarial) {
    text += ", " + evasion::describe(o.attack);
    if (o.epsilon_warmup > 0) text += fmt::format(", growing over {} epochs", o.epsilon_warmup);
  }
  return text;
}

core::Json to_json(const TrainingOptions& options) {
  TrainingOptions o = options;
  core::Json json = core::to_json(fields(o));
  json["attack"] = core::to_json(evasion::fields(o.attack));
  json["test_attack"] = core::to_json(evasion::fields(o.test_attack));
  return json;
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
    case Schedule::kCyclic: return o.learning_rate * (done < o.peak || o.peak == 1 ? done / o.peak : (1 - done) / (1 - o.peak));
    case Schedule::kCosine: return o.learning_rate * (1 + std::cos(std::numbers::pi * done)) / 2;
  }
  return o.learning_rate;
}

}  // namespace pellucid::training
