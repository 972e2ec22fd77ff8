// pellucid evade: accuracy of a trained network, as it is and under attack.
#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/data/catalog.h"
#include "pellucid/evasion/lint.h"
#include "pellucid/study/store.h"

#include "cli/network.h"
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <memory>

namespace pellucid::cli {
namespace {

std::string percent(const evasion::Accuracy& accuracy) { return cli::percent(evasion::to_json(accuracy)); }

// "91.30" as RobustBench writes it.
std::string plain_percent(const evasion::Accuracy& accuracy) {
  return fmt::format("{:.2f}", 100 * accuracy.interval().value);
}

struct Evade {
  Common common;
  std::string model, data = "mnist", data_dir, out;
  std::int64_t images = 1000, lint_images = 32;
  nets::Foreign foreign;
  evasion::AttackSettings attacks;
  evasion::WorstCaseOptions options;
  Settings settings;

  explicit Evade(CLI::App& app) : settings(app) {
    app.add_option("model", model, "weight file, as `pellucid train` writes it")->required()->option_text("MODEL");
    settings.add({"",
                  {core::field("data", data, "data set: mnist, cifar10, digits, or a folder of images"),
                   core::field("data_dir", data_dir,
                               "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
                   core::field("images", images, "attack the first of the test images", 1, INT64_MAX),
                   core::field("seed", attacks.seed, "seed of the random starts and searches")}},
                 "What");
    settings.add({"", cli::fields(foreign)}, "Weights of PyTorch");
    settings.add({"", evasion::fields(options)}, "Attacks");
    settings.add({"",
                  {core::field("lint_images", lint_images,
                               "images that the model is checked with beforehand; 0 is none", 0, 10000)}},
                 "Attacks");
    settings.add({"", evasion::pgd_fields(attacks)}, "The ball, and PGD in it");
    for (const auto& attack : evasion::attacks()) {
      if (attack.name.starts_with("pgd")) continue;
      std::string table = attack.name;
      std::replace(table.begin(), table.end(), '-', '_');
      settings.add({table, attack.fields(attacks)}, attack.title);
    }
    core::Fields rest = cli::fields(common);
    rest.push_back(core::field(
        "out", out, "run folder: finished batches are kept there, and an interrupted run goes on; none keeps nothing"));
    settings.add({"", rest, /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    const core::Run run = make_run(common);
    const auto network = nets::on(cli::load_network(model, foreign), torch::Device(run.device));
    const auto whole_set = data::load(data, data::Split::kTest, data_dir);
    const auto test_set = data::sample(whole_set, images, attacks.seed);
    const auto answers = evasion::model_of(network);

    const Tensor ids = torch::arange(std::min(lint_images, test_set.size()));
    std::vector<evasion::Finding> findings;
    if (lint_images > 0) {
      findings = evasion::lint(answers, data::pixels(test_set, ids), data::labels(test_set, ids), ids, attacks.ball(),
                               attacks.seed);
    }
    const auto natural = evasion::natural_accuracy(network, whole_set, run);
    evasion::Remember remember;
    std::optional<study::Store> store;
    if (!out.empty()) {
      store.emplace(out);
      remember = [&store](const auto& named, const auto& compute) { return store->cell(named, compute); };
    }
    const auto judged = evasion::worst_case(answers, test_set, attacks, options, run,
                                            {{"network", nets::fingerprint(network)}}, remember);
    for (const auto& finding : evasion::lint(judged)) {
      const auto same = [&](const evasion::Finding& earlier) { return earlier.code == finding.code; };
      std::erase_if(findings, same);  // the whole run says it better than the first look
      findings.push_back(finding);
    }

    const core::Json result = {{"schema", "pellucid.evasion/2"},
                               {"environment", core::environment(run.threads)},
                               {"model", model},
                               {"config", settings.resolved()},
                               {"findings", evasion::to_json(findings)},
                               {"natural", evasion::to_json(natural)},
                               {"attack", judged.attacks.size() == 1 ? judged.attacks[0].description : judged.name},
                               {"robust", evasion::to_json(judged.worst_case)},
                               {"evaluation", evasion::to_json(judged)},
                               {"model_info", model_info(network, natural, judged)}};
    if (!out.empty()) core::write_file(std::filesystem::path(out) / "result.json", core::to_text(result));
    if (print_json(common, result)) return;
    print(findings, natural, judged, test_set.name);
  }

  // The entry that RobustBench's model_info files hold. "autoattack_acc" is null unless all four attacks ran with their
  // defaults; "reported" is the accuracy under the attacks that were run.
  [[nodiscard]] core::Json model_info(const nets::Network& network, const evasion::Accuracy& natural,
                                      const evasion::WorstCase& judged) const {
    const bool auto_attack =
        judged.name.ends_with("AutoAttack");  // of all four with their defaults, maybe among others
    return {{"link", ""},
            {"name", model},
            {"authors", ""},
            {"additional_data", false},
            {"number_forward_passes", 1},
            {"dataset", data},
            {"venue", "Unpublished"},
            {"architecture", network.architecture.spec.net},
            {"eps", attacks.pgd.epsilon.typed},
            {"clean_acc", plain_percent(natural)},
            {"reported", plain_percent(judged.worst_case)},
            {"autoattack_acc", auto_attack ? core::Json(plain_percent(judged.worst_case)) : core::Json()},
            {"footnote", fmt::format("{}, {}, on the first {} test images.", judged.name,
                                     evasion::to_string(attacks.pgd.norm), judged.worst_case.n)}};
  }

  void print(const std::vector<evasion::Finding>& findings, const evasion::Accuracy& natural,
             const evasion::WorstCase& judged, const std::string& set) const {
    end_progress();
    for (const auto& f : findings) {
      fmt::print("{} {}: {}\n", bold(f.severity == evasion::Severity::kError ? "error" : "warning"), f.code,
                 f.sentence);
    }
    std::vector<std::vector<std::string>> rows = {{"accuracy", "on " + set, "attacked", "broken"},
                                                  {"natural", percent(natural), "", ""}};
    for (const auto& a : judged.attacks) {
      const bool single = judged.attacks.size() == 1 || !options.early_exit;
      const std::string what = single || &a == &judged.attacks.front() ? a.description : "  then " + a.description;
      const evasion::Accuracy& accuracy = single && a.alone ? *a.alone : a.worst_case;
      rows.push_back({what, percent(accuracy), fmt::format("{}", a.attacked), fmt::format("{}", a.broken)});
    }
    if (judged.attacks.size() > 1 || !judged.complete)
      rows.push_back({judged.name, percent(judged.worst_case), "", ""});
    rows.push_back({"  saved with 8 bits", percent(judged.worst_case_8bit), "", ""});
    print_table(rows);
    if (const auto gap = evasion::pgd_gap(judged)) fmt::print("PGD alone flatters the model by {:.1f} points.\n", 100 * *gap);
  }
};

}  // namespace

void add_evade(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "evade", "Measures a network's accuracy, as it is and under attacks, and checks the measurement");
  auto evade = std::make_shared<Evade>(*verb);
  verb->callback([evade] { evade->run(); });
}

}  // namespace pellucid::cli
