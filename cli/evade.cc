// pellucid evade: accuracy of a trained network, as it is and under attack.
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "pellucid/core/environment.h"
#include "pellucid/data/catalog.h"
#include "pellucid/evasion/accuracy.h"
#include "pellucid/nets/weights.h"

#include <memory>

namespace pellucid::cli {
namespace {

struct Evade {
  Common common;
  std::string model, data = "mnist", data_dir;
  std::int64_t images = 1000;
  std::uint64_t seed = 0;
  evasion::PgdOptions attack;
  Settings settings;

  explicit Evade(CLI::App& app) : settings(app) {
    app.add_option("model", model, "weight file, as `pellucid train` writes it")->required()->option_text("MODEL");
    settings.add({"",
                  {core::field("data", data, "data set: mnist, cifar10, digits, or a folder of images"),
                   core::field("data_dir", data_dir, "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
                   core::field("images", images, "attack the first of the test images", 1, INT64_MAX),
                   core::field("seed", seed, "seed of the random starts")}},
                 "What");
    settings.add({"", evasion::fields(attack)}, "PGD");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    const core::Run run = make_run(common);
    const auto network = nets::load_network(model);
    const auto test_set = data::load(data, data::Split::kTest, data_dir);
    const auto natural = evasion::natural_accuracy(network, test_set, run);
    const auto robust = evasion::robust_accuracy(network, data::first(test_set, images), attack, seed, run);
    const core::Json result = {{"schema", "pellucid.evasion/1"},
                               {"environment", core::environment(run.threads)},
                               {"model", model},
                               {"config", settings.resolved()},
                               {"natural", evasion::to_json(natural)},
                               {"attack", evasion::describe(attack)},
                               {"robust", evasion::to_json(robust)}};
    if (print_json(common, result)) return;
    print_table({{"accuracy", "on " + test_set.name},
                 {"natural", percent(result["natural"])},
                 {evasion::describe(attack), percent(result["robust"])}});
  }
};

}  // namespace

void add_evade(CLI::App& app) {
  auto* verb = app.add_subcommand("evade", "Measures a network's accuracy, as it is and under PGD");
  auto evade = std::make_shared<Evade>(*verb);
  verb->callback([evade] { evade->run(); });
}

}  // namespace pellucid::cli
