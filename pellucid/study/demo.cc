#include "pellucid/study/demo.h"

#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/data/catalog.h"
#include "pellucid/inversion/engine.h"
#include "pellucid/nets/weights.h"
#include "pellucid/study/store.h"
#include "pellucid/training/train.h"

#include <chrono>

namespace pellucid::study {
namespace {

namespace fs = std::filesystem;
using core::Json;

// A subject with its row of the result file.
struct Prepared {
  Subject subject;
  Json row;
};

std::string training_of(const fs::path& weights) {
  const auto metadata = nets::read_metadata(weights);
  const auto found = metadata.find("description");
  return found == metadata.end() ? "given as " + weights.string() : found->second;
}

// Loads the weights that were named, or trains them, and measures the accuracy.
Prepared prepare(const std::string& id, const std::string& label, const std::string& weights, training::TrainingOptions training,
                 const DemoOptions& options, const data::Dataset& train_set, const data::Dataset& test_set, const fs::path& folder,
                 core::Run run) {
  run.label = id;
  training.seed = options.seed;
  training.test_attack = options.judge;
  Prepared prepared{.subject = {.id = id, .label = label, .network = {}}, .row = {}};
  Json curve;
  std::string file = weights, note;
  if (weights.empty()) {
    const nets::Spec spec{.net = options.net,
                          .input = train_set.images.sizes().slice(1).vec(),
                          .classes = static_cast<std::int64_t>(train_set.classes.size())};
    auto trained = training::train(spec, train_set, test_set, training, folder / id, run);
    prepared.subject.network = std::move(trained.network);
    if (trained.kept_epoch < static_cast<std::int64_t>(trained.curve.size())) {
      note = fmt::format(" (overfitted to its attack after epoch {}: the weights of epoch {})", trained.curve.size(), trained.kept_epoch);
    }
    curve = training::to_json(trained.curve);
    file = id + "/model.safetensors";
  } else {
    prepared.subject.network = nets::on(nets::load_network(weights), run.device);
  }
  const auto& network = prepared.subject.network;
  const auto& shape = network.architecture.spec.input;
  if (test_set.images.sizes().slice(1) != at::IntArrayRef(shape)) {
    throw core::Error(core::ErrorKind::kUsage, "{}: takes images of shape [{}], the data set {} has [{}]", file, fmt::join(shape, ", "),
                      test_set.name, fmt::join(test_set.images.sizes().slice(1), ", "));
  }

  Store store(folder);
  const Json accuracy = store.cell({{"version", 1}, {"accuracy", nets::fingerprint(network)}, {"data", test_set.name},
                                      {"source", test_set.source}, {"judge", evasion::describe(options.judge)}, {"images", options.judge_images}, {"seed", options.seed}},
                             [&] {
                               const auto judged = data::sample(test_set, options.judge_images, options.seed);
                               return Json{{"natural", evasion::to_json(evasion::natural_accuracy(network, test_set, run))},
                                           {"robust", evasion::to_json(evasion::robust_accuracy(network, judged, options.judge, options.seed, run))}};
                             });
  prepared.row = {{"id", id},
                  {"label", label},
                  {"architecture", network.architecture.spec.net},
                  {"parameters", nets::count_parameters(network.architecture)},
                  {"file", file},
                  {"training", weights.empty() ? training::describe(training) + note : training_of(weights)},
                  {"natural", accuracy["natural"]},
                  {"robust", accuracy["robust"]}};
  prepared.row["robust"]["attack"] = evasion::describe(options.judge);
  if (!curve.is_null()) prepared.row["curve"] = curve;
  prepared.subject.network = nets::on(std::move(prepared.subject.network), torch::kCPU);
  return prepared;
}

// What to say of a model called robust that is not.
std::vector<std::string> doubts(const Json& row) {
  const double natural = row["natural"]["value"], robust = row["robust"]["value"];
  if (robust >= natural / 2) return {};
  return {fmt::format("The robust model is right on {:.1f} % of the images under attack and on {:.1f} % without: it is not robust, and the comparison "
                      "says nothing about robustness. Train it longer, or with more iterations of the inner attack.",
                      100 * robust, 100 * natural)};
}

std::vector<Attack> chosen_attacks(const DemoOptions& options) {
  std::vector<Attack> list;
  if (options.attack != DemoOptions::Attacks::kIg) list.push_back({"residual", "Our attack (residual)", options.residual});
  if (options.attack != DemoOptions::Attacks::kResidual) list.push_back({"ig", "The published attack (ig)", options.ig});
  for (auto& attack : list) attack.options.seed = options.seed;
  return list;
}

}  // namespace

DemoOptions::DemoOptions() {
  standard.epochs = 3;
  adversarial.method = training::Method::kAdversarial;
  adversarial.epochs = 3;
  adversarial.learning_rate = 2e-3;
  adversarial.epsilon_warmup = 1;
  adversarial.attack.iterations = 5;
  adversarial.attack.step = core::Number("0.1");
  adversarial.guard_images = 200;
  // Without brain floats bfloat16 is emulated, ten times slower than float32.
  standard.precision = adversarial.precision = inversion::has_brain_floats() ? training::Precision::kMixed : training::Precision::kFloat32;
  standard.test_attack_images = adversarial.test_attack_images = 100;
  residual.restarts = 4;
  residual.iterations = 600;
  ig = inversion::preset("ig").options;
  ig.restarts = 4;
  ig.iterations = 600;
}

core::Fields fields(DemoOptions& o) {
  return {
      core::field("data", o.data, "data set; none is MNIST where it is found, else the built-in digits"),
      core::field("data_dir", o.data_dir, "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
      core::field("net", o.net, "network: see `pellucid list nets`"),
      core::field("standard_model", o.standard_model, "weight file of the standard model, instead of training it"),
      core::field("adversarial_model", o.adversarial_model, "weight file of the robust model, instead of training it"),
      core::field("images", o.images, "test images to reconstruct, a stratified sample", 1, 100000),
      core::field("train_images", o.train_images, "train on a stratified sample of so many images; 0 is all", 0, INT64_MAX),
      core::field("judge_images", o.judge_images, "test images for the accuracy under attack", 1, INT64_MAX),
      core::field("seed", o.seed, "seed of everything: trainings, start noise, attacks"),
      core::field("attack", o.attack, "ours, the published one, or both",
                  core::Choices<DemoOptions::Attacks>{{"both", DemoOptions::Attacks::kBoth},
                                                      {"residual", DemoOptions::Attacks::kResidual},
                                                      {"ig", DemoOptions::Attacks::kIg}}),
  };
}

Json run_demo(const DemoOptions& options, const Json& config, const fs::path& folder, const core::Run& run) {
  if (options.standard_model.empty() != options.adversarial_model.empty()) {
    throw core::Error(core::ErrorKind::kUsage, "standard_model and adversarial_model: got one, expected both or none");
  }
  const auto begin = std::chrono::steady_clock::now();
  std::string name = options.data;
  if (name.empty()) name = data::available("mnist", options.data_dir) ? "mnist" : "digits";
  auto train_set = data::load(name, data::Split::kTrain, options.data_dir);
  const auto test_set = data::load(name, data::Split::kTest, options.data_dir);
  train_set = data::sample(train_set, options.train_images, options.seed);
  core::write_file(folder / "config.json", core::to_text(config));

  const auto standard =
      prepare("standard", "Standard", options.standard_model, options.standard, options, train_set, test_set, folder, run);
  const auto robust =
      prepare("adversarial", "Robust", options.adversarial_model, options.adversarial, options, train_set, test_set, folder, run);
  const auto comparison = compare({standard.subject, robust.subject}, chosen_attacks(options), data::sample(test_set, options.images, options.seed), folder, run);

  Json warnings = doubts(robust.row);
  for (const auto& warning : comparison.warnings) warnings.push_back(warning);

  Json environment = core::environment(run.threads);
  environment["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const Json result = {{"schema", "pellucid.comparison/1"},
                       {"title", fmt::format("Does robustness hurt privacy? {}, {}", test_set.name, standard.row["architecture"].get<std::string>())},
                       {"headline", comparison.headline},
                       {"summary", comparison.summary},
                       {"warnings", warnings},
                       {"environment", environment},
                       {"config", config},
                       {"data", {{"name", test_set.name}, {"source", test_set.source}, {"train_images", train_set.size()},
                                 {"test_images", test_set.size()}, {"note", ""}}},
                       {"models", {standard.row, robust.row}},
                       {"attacks", comparison.attacks},
                       {"images", comparison.images},
                       {"reconstructions", comparison.reconstructions},
                       {"summaries", comparison.summaries},
                       {"paired", comparison.paired},
                       {"conventions", conventions("Intervals: 95 %; bootstrap (BCa) over images for scores, Clopper-Pearson for accuracies. One training "
                                                    "seed: they say nothing about other trainings.",
                                                    "evaluation mode")}};
  core::write_file(folder / "result.json", core::to_text(result));
  return result;
}

}  // namespace pellucid::study
