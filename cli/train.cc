// pellucid train: trains a network to a run folder.
#include "pellucid/training/train.h"

#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/file.h"
#include "pellucid/core/run_folder.h"
#include "pellucid/core/text.h"
#include "pellucid/data/catalog.h"
#include "pellucid/evasion/lint.h"
#include "pellucid/privacy/loss_distribution.h"
#include "pellucid/privacy/noise.h"
#include "pellucid/training/autoencoder.h"

#include "cli/measurement.h"
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <memory>
#include <optional>
#include <tuple>

namespace pellucid::cli {
namespace {

struct Train {
  Common common;
  std::string data = "mnist", data_dir, net = "small_cnn", out = "runs/train";
  std::int64_t train_images = 0, test_images = 0, judge_images = 1000;
  bool normalise = false;
  double epsilon = 0, delta = 1e-5;
  training::TrainingOptions options;
  Settings settings;

  explicit Train(CLI::App& app) : settings(app) {
    settings.add(
        {"",
         {core::field("data", data, "data set: " + data::choices()),
          core::field("data_dir", data_dir,
                      "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
          core::field("net", net, "network: see `pellucid list nets`"),
          core::field("normalise", normalise,
                      "the network's first layer takes the training images' mean away and divides by their deviation"),
          core::field("out", out, "run folder; a training that was interrupted there goes on"),
          core::field("train_images", train_images,
                      "train on so many images, drawn with the seed from all classes in proportion; 0 is all", 0,
                      INT64_MAX),
          core::field("test_images", test_images, "measure on so many test images, drawn likewise; 0 is all", 0,
                      INT64_MAX),
          core::field("judge_images", judge_images, "test images, drawn likewise, that the final attack is run on", 1,
                      INT64_MAX)}},
        "What");
    settings.add({.table = "", .fields = training::fields(options), .full_name = "training"}, "Training");
    settings.add({"",
                  {core::field("epsilon", epsilon,
                               "with --clip-norm: the noise multiplier that guarantees this epsilon at the end, by "
                               "privacy loss distributions; 0 is the given one",
                               0, 1e6),
                   core::field("delta", delta, "the delta of the guarantee", 1e-100, 1)}},
                 "Differential privacy");
    settings.add({.table = "attack", .fields = evasion::fields(options.attack), .full_name = "training.attack"},
                 "Inner attack of adversarial training");
    settings.add(
        {.table = "test_attack", .fields = evasion::fields(options.test_attack), .full_name = "training.test_attack"},
        "Attack that judges robustness; it may be another when the same training is run again");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
    app.footer(
        "\nThe same command goes on with a training that was interrupted, and judges anew where only the test attack "
        "or the test\n"
        "images differ. With schedule constant or step, more --epochs make a finished training longer. The last bits "
        "of the\n"
        "weights depend on --threads: another number adds up in another order. result.json says which there was.");
  }

  void run() {
    settings.apply();
    core::Run run = make_run(common, /*lines=*/true);
    auto train_set = data::load(data, data::Split::kTrain, data_dir);
    auto test_set = data::relabelled(data::load(data, data::Split::kTest, data_dir), train_set.classes);
    train_set = data::sample(train_set, train_images, options.seed);
    test_set = data::sample(test_set, test_images, options.seed);
    nets::Spec spec{.net = net,
                    .input = train_set.images.sizes().slice(1).vec(),
                    .classes = static_cast<std::int64_t>(train_set.classes.size())};
    if (!training::classifies(options.method)) spec.classes = c10::multiply_integers(spec.input);
    if (normalise) std::tie(spec.mean, spec.deviation) = data::channel_statistics(train_set);
    const auto processes = core::Processes::from_environment(torch::Device(run.device));
    if (!processes.first()) run.progress = {};
    const auto solved = with_noise(train_set.size());
    training::check(spec, train_set, test_set, solved, processes);

    std::optional<core::RunFolder> folder;
    std::function<void()> accepted;
    if (processes.first()) {
      folder.emplace(out, "train", core::Workers::kOne);
      accepted = [&] { begin(*folder, settings.resolved()); };
    }
    const auto trained = training::train(spec, train_set, test_set, solved, out, run, processes, accepted);
    if (processes.first()) finish(trained, train_set, test_set, run);
  }

  // The options with the noise for the epsilon that is asked for. What was asked for stays in config.json, so that it
  // can be run again.
  [[nodiscard]] training::TrainingOptions with_noise(std::int64_t images) const {
    if (epsilon == 0) return options;
    if (!training::is_private(options) || options.noise_multiplier > 0) {
      throw core::Error(core::ErrorKind::kUsage,
                        "--epsilon: got {} with clip_norm {} and noise_multiplier {}, expected a clip_norm above 0 and "
                        "no noise_multiplier, which follows from it",
                        epsilon, options.clip_norm, options.noise_multiplier);
    }
    const auto steps = training::private_steps(options, images);
    auto solved = options;
    solved.noise_multiplier =
        privacy::noise_for(epsilon, delta, steps.rate, steps.steps, privacy::Accountant::kLossDistribution);
    return solved;
  }

  // What the training guarantees of its images.
  [[nodiscard]] std::optional<privacy::Guarantee> guarantee(const training::TrainingOptions& done,
                                                            std::int64_t images) const {
    if (done.noise_multiplier == 0) return std::nullopt;
    return privacy::tight_guarantee({training::private_steps(done, images)}, delta, privacy::kNoiseAccuracy);
  }

  // What result.json says of any training.
  [[nodiscard]] core::Json describe(const training::Trained& trained, const data::Dataset& train_set,
                                    const data::Dataset& test_set, const core::Run& run) const {
    core::Json workers = core::Json::array();
    for (const auto& w : trained.workers) workers.push_back({{"processes", w.processes}, {"threads", w.threads}});
    return {{"schema", "pellucid.training/1"},
            {"environment", core::environment(run.threads)},
            {"config", settings.resolved()},
            {"data",
             {{"name", test_set.name},
              {"train_source", train_set.source},
              {"test_source", test_set.source},
              {"train_images", train_set.size()},
              {"test_images", test_set.size()},
              {"classes", train_set.classes}}},
            {"training", training::describe(trained.options)},
            {"precision", training::to_json(trained.options)["precision"]},
            {"workers", workers},
            {"notes", trained.notes},
            {"parameters", nets::count_parameters(trained.network.architecture)},
            {"kept_epoch", trained.kept_epoch},
            {"curve", training::to_json(trained.curve)}};
  }

  // Judges what was trained, and says so.
  void finish(const training::Trained& trained, const data::Dataset& train_set, const data::Dataset& test_set,
              const core::Run& run) const {
    const auto guaranteed = guarantee(trained.options, train_set.size());
    core::Json result = describe(trained, train_set, test_set, run);
    const auto judged = training::classifies(options.method) ? judge_classifier(trained, test_set, run)
                                                             : judge_autoencoder(trained, test_set, run);
    result.update(judged.result);
    if (guaranteed) result["guarantee"] = privacy::to_json(*guaranteed);
    core::write_file(std::filesystem::path(out) / "result.json", core::to_text(result));
    if (print_json(common, result)) return;
    print_findings(judged.findings);
    print_table(judged.table);
    if (trained.clean_network)
      say("  with the clean images' batch norms: natural {}\n", percent(result["clean_route"]["natural"]));
    if (trained.kept_epoch < static_cast<std::int64_t>(trained.curve.size())) {
      say("  overfitted to its attack after epoch {}: the accuracy under PGD-10 on training images fell from {:.1f} % "
          "to {:.1f} %; these are the weights of epoch {}\n",
          trained.curve.size(), 100 * trained.curve[trained.kept_epoch - 1].guard.interval().value,
          100 * trained.curve.back().guard.interval().value, trained.kept_epoch);
    }
    if (guaranteed) say("{}\n", privacy::sentence(*guaranteed));
    if (training::is_private(trained.options) && !guaranteed)
      say("without noise the clipping guarantees nothing; --epsilon finds the noise for one\n");
    say("{}\n", describe_data(train_set));
    if (train_set.source != test_set.source) say("{}\n", describe_data(test_set));
    for (const auto& note : trained.notes) say("Note: {}\n", core::printable(note, 1000));
    say("{}\n", (std::filesystem::path(out) / "model.safetensors").string());
  }

  struct Judged {
    core::Json result;
    std::vector<evasion::Finding> findings;
    std::vector<std::vector<std::string>> table;
  };

  [[nodiscard]] Judged judge_classifier(const training::Trained& trained, const data::Dataset& test_set,
                                        const core::Run& run) const {
    const auto natural = evasion::natural_accuracy(trained.network, test_set, run);
    const auto robust = evasion::robust_accuracy(trained.network, data::sample(test_set, judge_images, options.seed),
                                                 options.test_attack, options.seed, run);
    const auto commonest = evasion::commonest_class(test_set);
    auto findings = evasion::lint(natural, test_set);
    auto add = [&](const std::vector<evasion::Finding>& more) {
      findings.insert(findings.end(), more.begin(), more.end());
    };
    if (training::attacks(options.method)) add(evasion::lint(options.attack, "attack"));
    add(evasion::lint(options.test_attack, "test_attack"));
    core::Json result = {
        {"findings", evasion::to_json(findings)},
        {"natural", evasion::to_json(natural)},
        {"commonest_class", {{"name", commonest.name}, {"accuracy", evasion::to_json(commonest.accuracy)}}},
        {"robust", evasion::to_json(robust)},
        {"robust_attack", evasion::describe(options.test_attack)}};
    if (trained.clean_network) {
      result["clean_route"] = {
          {"natural", evasion::to_json(evasion::natural_accuracy(*trained.clean_network, test_set, run))}};
    }
    return {.result = result,
            .findings = findings,
            .table = {{"accuracy", "on " + core::printable(test_set.name)},
                      {"natural", percent(result["natural"])},
                      {fmt::format("always {}, the commonest class", core::quoted(commonest.name, 30)),
                       percent(result["commonest_class"]["accuracy"])},
                      {evasion::describe(options.test_attack), percent(result["robust"])}}};
  }

  [[nodiscard]] static Judged judge_autoencoder(const training::Trained& trained, const data::Dataset& test_set,
                                                const core::Run& run) {
    const auto mean = stats::mean_interval(training::reconstruction_errors(trained.network, test_set, run));
    const core::Json error = {{"value", mean.value}, {"low", mean.low}, {"high", mean.high}, {"n", test_set.size()}};
    return {.result = {{"reconstruction_error", error}},
            .findings = {},
            .table = {{"mean squared error", "on " + core::printable(test_set.name)},
                      {"reconstruction", fmt::format("{:.3g} [{:.3g}, {:.3g}] (n = {})", mean.value, mean.low,
                                                     mean.high, test_set.size())}}};
  }
};

}  // namespace

void add_train(CLI::App& app) {
  auto* verb = app.add_subcommand("train", "Trains a network, standard, robust or mixed, to a run folder");
  auto train = std::make_shared<Train>(*verb);
  verb->callback([train] { train->run(); });
}

}  // namespace pellucid::cli
