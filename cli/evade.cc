// pellucid evade: accuracy of a trained network, as it is and under attack.
#include "pellucid/core/config.h"
#include "pellucid/core/environment.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/run_folder.h"
#include "pellucid/core/text.h"
#include "pellucid/data/catalog.h"
#include "pellucid/evasion/fit.h"
#include "pellucid/evasion/lint.h"
#include "pellucid/record/store.h"

#include "cli/measurement.h"
#include "cli/network.h"
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <memory>

namespace pellucid::cli {
namespace {

std::string percent_of(const evasion::Accuracy& accuracy) { return percent(evasion::to_json(accuracy)); }

// "91.30" as RobustBench writes it.
std::string plain_percent(const evasion::Accuracy& accuracy) {
  return fmt::format("{:.2f}", 100 * accuracy.interval().value);
}

struct Evade {
  Common common;
  std::string model, data = "mnist", data_dir, out;
  std::int64_t images = 1000, first_image = 0, lint_images = 32;
  nets::Foreign foreign;
  evasion::AttackSettings attacks;
  evasion::WorstCaseOptions options;
  Settings settings;

  explicit Evade(CLI::App& app) : settings(app) {
    app.add_option("model", model, "weight file, as `pellucid train` writes it")->required()->option_text("MODEL");
    settings.add(
        {"",
         {core::field("data", data, "data set: " + data::choices()),
          core::field("data_dir", data_dir,
                      "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
          core::field("images", images,
                      "attack so many test images, drawn with the seed from all classes in proportion", 1, INT64_MAX),
          core::field("first_image", first_image,
                      "leave out so many of those drawn: 0, 1000, 2000 ... with 1000 images are parts of one sample", 0,
                      INT64_MAX),
          core::field("seed", attacks.seed, "seed of the sample, the random starts and the searches")}},
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
    const core::Run run = make_run(common, /*lines=*/true);
    evasion::check(attacks.ball(), "");
    evasion::check(options, attacks.pgd.norm);
    const auto network = nets::on(cli::load_network(model, foreign), torch::Device(run.device));
    const auto whole_set = evasion::fitted(data::load(data, data::Split::kTest, data_dir), network);
    const Tensor numbers = sample(whole_set);
    const auto test_set = part(whole_set, numbers);
    const auto answers = evasion::model_of(network);
    auto findings = settle_attacks(network);
    const bool by_name = !network.classes.empty();
    const auto classes = network.architecture.spec.classes;
    if (!by_name && static_cast<std::int64_t>(whole_set.classes.size()) != classes) {
      findings.push_back({"labels-by-place", evasion::Severity::kWarning,
                          fmt::format("the weight file does not name its classes: labels are matched by place, though "
                                      "the network has {} classes and the data {}",
                                      classes, whole_set.classes.size())});
    }

    std::optional<core::RunFolder> folder;
    std::optional<record::Store> store;
    evasion::Remember remember;
    if (!out.empty()) {
      folder.emplace(out, "evade", core::Workers::kSeveral);
      begin(*folder, config());
      store.emplace(out);
      remember = [&store](const auto& named, const auto& compute) { return store->cell(named, compute); };
    }

    const auto add = [&](const std::vector<evasion::Finding>& more) {
      findings.insert(findings.end(), more.begin(), more.end());
    };
    const Tensor rows = data::sample_order(test_set, attacks.seed).slice(0, 0, lint_images);
    const Tensor looked_at = data::pixels(test_set, rows), wanted = data::labels(test_set, rows);
    if (lint_images > 0) add(evasion::lint(answers, looked_at, wanted, rows, attacks.ball(), attacks.seed));
    const auto natural = evasion::natural_accuracy(network, whole_set, run);
    const auto commonest = evasion::commonest_class(whole_set);
    options.first = first_image;
    const auto judged = evasion::worst_case(answers, test_set, attacks, options, run,
                                            {{"network", nets::fingerprint(network)}}, remember);
    for (const auto& part : {evasion::lint(natural, whole_set), evasion::lint(judged)}) {
      for (const auto& finding : part) {
        const auto same = [&](const evasion::Finding& earlier) { return earlier.code == finding.code; };
        std::erase_if(findings, same);  // the whole run says it better than the first look
        findings.push_back(finding);
      }
    }
    if (lint_images > 0) add(evasion::lint(judged, answers, looked_at, wanted, rows, attacks.ball()));

    if (store) store->sync();
    const core::Json result = {
        {"schema", "pellucid.evasion/2"},
        {"environment", core::environment(run.threads)},
        {"model", model},
        {"config", config()},
        {"data",
         {{"name", whole_set.name},
          {"source", whole_set.source},
          {"images", whole_set.size()},
          {"classes", whole_set.classes},
          {"labels", by_name ? "by name" : "by place"},
          {"attacked",
           std::vector(numbers.data_ptr<std::int64_t>(), numbers.data_ptr<std::int64_t>() + numbers.numel())}}},
        {"findings", evasion::to_json(findings)},
        {"natural", evasion::to_json(natural)},
        {"commonest_class", {{"name", commonest.name}, {"accuracy", evasion::to_json(commonest.accuracy)}}},
        {"attack", judged.attacks.size() == 1 ? judged.attacks[0].description : judged.name},
        {"robust", evasion::to_json(judged.worst_case)},
        {"evaluation", evasion::to_json(judged)},
        {"model_info", model_info(network, natural, judged)}};
    if (!out.empty()) core::write_file(std::filesystem::path(out) / "result.json", core::to_text(result));
    if (print_json(common, result)) return;
    print(findings, natural, commonest, judged, whole_set);
    if (!by_name) say("The weight file does not name its classes: labels are matched by place.\n");
  }

  // The settings, and the model that they are for.
  [[nodiscard]] core::Json config() const {
    core::Json json = settings.resolved();
    json["model"] = model;
    return json;
  }

  // The numbers, in the whole set, of the images that are attacked.
  [[nodiscard]] Tensor sample(const data::Dataset& whole) const {
    if (first_image >= whole.size()) {
      throw core::Error(core::ErrorKind::kUsage, "--first-image: got {}, expected less than the {} test images of {}",
                        first_image, whole.size(), core::printable(whole.name));
    }
    return data::sample_order(whole, attacks.seed)
        .slice(0, first_image, first_image + std::min(images, whole.size() - first_image))
        .contiguous();
  }
  static data::Dataset part(data::Dataset whole, const Tensor& numbers) {
    whole.images = whole.images.index_select(0, numbers);
    whole.labels = whole.labels.index_select(0, numbers);
    return whole;
  }

  // Leaves out the attacks that the network's few classes do not allow, and says what is wrong with the others'
  // settings.
  std::vector<evasion::Finding> settle_attacks(const nets::Network& network) {
    std::vector<evasion::Finding> findings;
    const auto asked = options.attacks;
    const auto classes = network.architecture.spec.classes;
    options.attacks = evasion::applicable(asked, classes);
    for (const auto& name : asked) {
      if (uses(name)) continue;
      findings.push_back({"not-applicable", evasion::Severity::kWarning,
                          fmt::format("{} needs {} classes, the network has {}: left out", name,
                                      evasion::find_attack(name).least_classes, classes)});
    }
    if (uses("pgd") || uses("pgd-t") || attacks.pgd.epsilon.value == 0) {
      for (const auto& finding : evasion::lint(attacks.pgd, "pgd")) findings.push_back(finding);
    }
    return findings;
  }
  [[nodiscard]] bool uses(const std::string& name) const {
    return std::find(options.attacks.begin(), options.attacks.end(), name) != options.attacks.end();
  }

  // The entry that RobustBench's model_info files hold. "autoattack_acc" is null unless all four attacks ran with their
  // defaults; "reported" is the accuracy under the attacks that were run.
  [[nodiscard]] core::Json model_info(const nets::Network& network, const evasion::Accuracy& natural,
                                      const evasion::WorstCase& judged) const {
    // Of all four with their defaults, maybe among others.
    const bool auto_attack = judged.name.ends_with("AutoAttack");
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
            {"footnote",
             fmt::format("{}, {}, on {} test images, a sample drawn with seed {} in proportion of the classes{}.",
                         judged.name, evasion::to_string(attacks.pgd.norm), judged.worst_case.n, attacks.seed,
                         first_image > 0 ? fmt::format(" without its first {}", first_image) : "")}};
  }

  void print(const std::vector<evasion::Finding>& findings, const evasion::Accuracy& natural,
             const evasion::Commonest& commonest, const evasion::WorstCase& judged, const data::Dataset& set) const {
    print_findings(findings);
    std::vector<std::vector<std::string>> rows = {
        {"accuracy", "on " + core::printable(set.name), "attacked", "broken"},
        {"natural", percent_of(natural), "", ""},
        {fmt::format("always {}, the commonest class", core::quoted(commonest.name, 30)),
         percent_of(commonest.accuracy), "", ""}};
    for (const auto& a : judged.attacks) {
      const bool single = judged.attacks.size() == 1 || !options.early_exit;
      const std::string what = single || &a == &judged.attacks.front() ? a.description : "  then " + a.description;
      const evasion::Accuracy& accuracy = single && a.alone ? *a.alone : a.worst_case;
      rows.push_back({what, percent_of(accuracy), fmt::format("{}", a.attacked), fmt::format("{}", a.broken)});
    }
    if (judged.attacks.size() > 1 || !judged.complete)
      rows.push_back({judged.name, percent_of(judged.worst_case), "", ""});
    rows.push_back({"  saved with 8 bits", percent_of(judged.worst_case_8bit), "", ""});
    print_table(rows);
    if (const auto gap = evasion::pgd_gap(judged)) say("PGD alone flatters the model by {:.1f} points.\n", 100 * *gap);
    say("{}\n", describe_data(set));
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
