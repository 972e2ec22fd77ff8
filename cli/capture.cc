// pellucid capture: the update that a client would send for given images, as a file.
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "pellucid/data/catalog.h"
#include "pellucid/nets/weights.h"
#include "pellucid/sharing/update.h"
#include "pellucid/study/score.h"

#include <memory>

namespace pellucid::cli {
namespace {

struct Capture {
  Common common;
  std::string model, data = "mnist", data_dir, out = "update.safetensors", truth;
  std::vector<std::int64_t> images = {0};
  bool share_labels = false;
  nets::Mode mode = nets::Mode::kEvaluation;
  std::uint64_t seed = 0;
  Settings settings;

  explicit Capture(CLI::App& app) : settings(app) {
    app.add_option("model", model, "weight file, as `pellucid train` writes it")->required()->option_text("MODEL");
    settings.add({"",
                  {core::field("data", data, "data set: mnist, cifar10, digits, or a folder of images"),
                   core::field("data_dir", data_dir, "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
                   core::field("images", images, "the client's batch: indices of test images", 0, INT64_MAX),
                   nets::mode_field("mode", mode, "how the client evaluates the network"),
                   core::field("share_labels", share_labels, "the client tells the labels too"),
                   core::field("seed", seed, "seed of the client's dropout, in training mode"),
                   core::field("out", out, "the update: all that an attacker is given"),
                   core::field("truth", truth, "file for the images themselves, to score an attack by; none is none")}},
                 "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    const core::Run run = make_run(common);
    const auto network = nets::load_network(model);
    const auto test_set = data::load(data, data::Split::kTest, data_dir);
    const Tensor indices = torch::tensor(images, torch::kInt64);
    const study::Truth batch{.images = data::pixels(test_set, indices), .labels = data::labels(test_set, indices)};
    sharing::Observation observation{
        .network = network,
        .update = sharing::compute_update(nets::on(network, torch::Device(run.device)), batch.images, batch.labels, mode, core::Stream(seed, "client dropout")),
        .labels = {},
        .id = images.front()};
    if (share_labels) observation.labels.assign(batch.labels.data_ptr<std::int64_t>(), batch.labels.data_ptr<std::int64_t>() + batch.labels.numel());
    sharing::save_observation(observation, out);
    if (!truth.empty()) study::save_truth(batch, truth);

    core::Json rows = core::Json::array();
    const auto confidence = sharing::confidence(network, batch.images, batch.labels);
    for (std::size_t i = 0; i < images.size(); ++i) {
      rows.push_back({{"image", images[i]}, {"label", batch.labels[static_cast<std::int64_t>(i)].item<std::int64_t>()},
                      {"margin", confidence[i].margin}, {"p_true", confidence[i].p_true}});
    }
    const core::Json result = {{"schema", "pellucid.capture/1"}, {"update", out}, {"observation", sharing::describe(observation)},
                               {"gradient_norm", sharing::gradient_norm(observation.update)}, {"images", rows}};
    if (print_json(common, result)) return;
    std::vector<std::vector<std::string>> table = {{"image", "label", "logit margin", "1 - p(true)"}};
    bool rounded = false;
    for (const auto& row : rows) {
      table.push_back({row["image"].dump(), row["label"].dump(), fmt::format("{:.2f}", row["margin"].get<double>()),
                       fmt::format("{:.2e}", 1 - row["p_true"].get<double>())});
      rounded = rounded || row["margin"].get<double>() > sharing::kWarningMargin;
    }
    print_table(table);
    fmt::print("gradient norm {:.3e}; {}\n", result["gradient_norm"].get<double>(), result["observation"].get<std::string>());
    if (rounded) fmt::print("Note: past a margin of {} float32 loses 1 - p(true): a failing attack may be rounding, not privacy.\n", sharing::kWarningMargin);
    fmt::print("{}\n", out);
  }
};

}  // namespace

void add_capture(CLI::App& app) {
  auto* verb = app.add_subcommand("capture", "Writes the update that a client would send for given test images");
  auto capture = std::make_shared<Capture>(*verb);
  verb->callback([capture] { capture->run(); });
}

}  // namespace pellucid::cli
