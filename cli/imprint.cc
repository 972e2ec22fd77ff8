// pellucid imprint: the network that a malicious server would hand out, to read a batch by.
#include "pellucid/inversion/imprint.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/data/catalog.h"
#include "pellucid/evasion/fit.h"

#include "cli/network.h"
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <memory>

namespace pellucid::cli {
namespace {

struct Imprint {
  Common common;
  std::string model, data = "mnist", data_dir, out = "imprinted.safetensors";
  std::int64_t bins = 1000;
  nets::Foreign foreign;
  Settings settings;

  explicit Imprint(CLI::App& app) : settings(app) {
    app.add_option("model", model, "weight file, as `pellucid train` writes it")->required()->option_text("MODEL");
    settings.add(
        {"",
         {core::field("data", data, "images like the clients', whose brightness sets the bins: " + data::choices()),
          core::field("data_dir", data_dir,
                      "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
          core::field("bins", bins, "units of the layer: more bins, fewer images that share one", 2, 100'000),
          core::field("out", out, "weight file of the network with the layer before it")}},
        "What");
    settings.add({"", cli::fields(foreign)}, "Weights of PyTorch");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    static_cast<void>(make_run(common));
    if (same_file(out, model))
      throw core::Error(core::ErrorKind::kUsage, "--out: got {}, which is the model itself; name another file",
                        core::quoted(out, 4096));
    const auto network = cli::load_network(model, foreign);
    const auto images = evasion::fitted(data::load(data, data::Split::kTrain, data_dir), network);
    const auto edges = quantiles(images);
    nets::save_network(inversion::imprinted(network, edges), out);
    const core::Json result = {{"schema", "pellucid.imprint/1"}, {"out", out}, {"bins", edges.size()}};
    if (print_json(common, result)) return;
    if (static_cast<std::int64_t>(edges.size()) < bins) say("{} bins: so many differ in brightness\n", edges.size());
    say("{}\n", core::printable(out, 4096));
  }

  // The lower edges of bins that hold the same share of the images; the first begins at black.
  [[nodiscard]] std::vector<double> quantiles(const data::Dataset& images) const {
    const Tensor each = images.images.flatten(1).to(torch::kFloat64).mean(1) / 255;
    const Tensor sorted = std::get<0>(each.sort());
    std::vector<double> edges = {0};
    for (std::int64_t i = 1; i < bins; ++i) {
      const double edge = sorted[i * sorted.size(0) / bins].item<double>();
      if (edge > edges.back()) edges.push_back(edge);
    }
    return edges;
  }
};

}  // namespace

void add_imprint(CLI::App& app) {
  auto* verb = app.add_subcommand("imprint", "Plants a layer that a malicious server would, to read batches by");
  auto imprint = std::make_shared<Imprint>(*verb);
  verb->callback([imprint] { imprint->run(); });
}

}  // namespace pellucid::cli
