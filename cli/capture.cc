// pellucid capture: the update that a client would send for given images, as a file.
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/data/catalog.h"
#include "pellucid/evasion/fit.h"
#include "pellucid/gradients/datasets.h"
#include "pellucid/gradients/truth.h"
#include "pellucid/sharing/confidence.h"
#include "pellucid/sharing/dominance.h"
#include "pellucid/sharing/fisher.h"
#include "pellucid/sharing/formats.h"

#include "cli/network.h"
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

namespace pellucid::cli {
namespace {

struct Capture {
  Common common;
  std::string model, data = "mnist", data_dir, out = "update.safetensors", truth;
  std::vector<std::int64_t> images = {0};
  bool share_labels = false;
  sharing::Protocol protocol;
  std::uint64_t seed = 0;
  bool bound = false;
  std::int64_t bound_draws = 0;
  nets::Foreign foreign;
  Settings settings;

  explicit Capture(CLI::App& app) : settings(app) {
    app.add_option("model", model, "weight file, as `pellucid train` writes it")->required()->option_text("MODEL");
    settings.add(
        {"",
         {core::field("data", data, "data set: " + data::choices()),
          core::field("data_dir", data_dir,
                      "where the data sets lie; none searches $PELLUCID_DATA and the cache folder"),
          core::field("images", images, "the client's batch: numbers of test images, the first is 0", 0, INT64_MAX),
          nets::mode_field("mode", protocol.mode, "how the client evaluates the network"),
          core::field("clients", protocol.clients,
                      "clients whose average the server sees, each with as many of the images, in order", 1, 4096),
          core::field("share_statistics", protocol.share_statistics,
                      "the client shares the new running statistics of batch norm too, in training mode"),
          sharing::arithmetic_field("arithmetic", protocol.arithmetic, "what the client computes and shares in"),
          sharing::mechanisms_field("mechanisms", protocol.mechanisms, "what the client does to its update"),
          core::field("share_labels", share_labels, "the client shares the labels too"),
          core::field("seed", seed,
                      "seed of the client's dropout, in training mode, of its mechanisms and of the order of images in "
                      "local training"),
          core::field("out", out, "the update: all that an attacker is given"),
          core::field("truth", truth, "file for the images themselves, to score an attack by; none is none")}},
        "What");
    settings.add({"", sharing::fields(protocol.local)}, "Local training");
    settings.add(
        {"",
         {core::field("bound", bound,
                      "say what gaussian noise leaves of each image to any attack; seconds to minutes an image"),
          core::field("bound_draws", bound_draws,
                      "the bound of all attacks, on average over so many images drawn from a normal "
                      "distribution, for one image's label and a network without ReLU and max pooling; 0 is none",
                      0, 10'000)}},
        "Bounds");
    settings.add({"", cli::fields(foreign)}, "Weights of PyTorch");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    const core::Run run = make_run(common);
    check_paths();
    const auto network = cli::load_network(model, foreign);
    sharing::require_memory(network.architecture, static_cast<std::int64_t>(images.size()));
    const auto test_set = evasion::fitted(data::load(data, data::Split::kTest, data_dir), network);
    const Tensor indices = torch::tensor(images, torch::kInt64);
    gradients::Truth batch{.images = data::pixels(test_set, indices), .labels = data::labels(test_set, indices)};
    if (bound_draws == 1) throw core::Error(core::ErrorKind::kUsage, "--bound-draws: got 1, expected 0, or 2 or more");
    const core::Json bounds = bound ? bounds_of(network, batch) : core::Json();
    const core::Json all_attacks = bound_draws > 0 ? bound_of_all(network, batch) : core::Json();
    sharing::Observation observation{
        .network = network,
        .update = sharing::compute_update(nets::on(network, torch::Device(run.device)), batch.images, batch.labels,
                                          protocol, core::Stream(seed, "client dropout"), seed),
        .labels = {}};
    const double norm = sharing::gradient_norm(observation.update);
    if (!std::isfinite(norm))
      throw core::Error(core::ErrorKind::kModel,
                        "{}: the gradient is not finite: the network's values overflow float32",
                        core::printable(model, 4096));
    const auto* label = batch.labels.data_ptr<std::int64_t>();
    if (share_labels) observation.labels.assign(label, label + images.size());
    batch.update = sharing::digest(observation.update);
    if (!truth.empty()) gradients::save_truth(batch, truth);
    sharing::save_observation(observation, out);

    core::Json rows = core::Json::array();
    const auto confidence = sharing::confidence(network, batch.images, batch.labels);
    sharing::Dominance dominance;  // of a batch: one image is all of it
    if (images.size() > 1) dominance = sharing::dominance(network, batch.images, batch.labels);
    for (std::size_t i = 0; i < images.size(); ++i) {
      rows.push_back({{"image", images[i]},
                      {"label", label[i]},
                      {"class", test_set.classes.at(static_cast<std::size_t>(label[i]))},
                      {"margin", confidence[i].margin},
                      {"p_true", confidence[i].p_true},
                      {"share", dominance.share.empty() ? core::Json() : core::Json(dominance.share[i])}});
      if (bound) rows.back()["bound"] = bounds[i];
    }
    core::Json result = {{"schema", "pellucid.capture/1"},
                         {"update", out},
                         {"observation", sharing::describe(observation)},
                         {"gradient_norm", norm},
                         {"d_snr", dominance.layer.empty() ? core::Json() : core::Json(dominance.ratio)},
                         {"d_snr_layer", dominance.layer.empty() ? core::Json() : core::Json(dominance.layer)},
                         {"images", rows}};
    if (bound_draws > 0) result["bound_of_all"] = all_attacks;
    if (print_json(common, result)) return;
    std::vector<std::vector<std::string>> table = {
        {"image", "label", "class", "logit margin", "1 - p(true)", "share of the gradient, %"}};
    bool rounded = false;
    for (const auto& row : rows) {
      table.push_back({row["image"].dump(), row["label"].dump(), core::printable(row["class"].get<std::string>(), 24),
                       fmt::format("{:.2f}", row["margin"].get<double>()),
                       fmt::format("{:.2e}", 1 - row["p_true"].get<double>()),
                       row["share"].is_null() ? "-" : fmt::format("{:.1f}", 100 * row["share"].get<double>())});
      rounded = rounded || row["margin"].get<double>() > sharing::kWarningMargin;
    }
    print_table(table);
    if (bound) print_bounds(rows);
    if (bound_draws > 0) {
      say("All attacks, on average over images of class {} that a normal distribution with the training images' mean "
          "and "
          "covariance draws: PSNR of the mean error at most {:.2f} dB ({:.2f} to {:.2f} within two standard errors, {} "
          "draws); without the update {:.2f} dB.\n",
          core::printable(rows[0]["class"].get<std::string>(), 24), all_attacks["psnr"].get<double>(),
          all_attacks["low"].get<double>(), all_attacks["high"].get<double>(), bound_draws,
          all_attacks["prior_psnr"].get<double>());
    }
    say("gradient norm {:.3e}; {}\n", norm, result["observation"].get<std::string>());
    if (norm == 0) say("Note: the gradient is zero everywhere: no attack can read anything back from this update.\n");
    if (dominance.ratio > 1)
      say("Note: one image's gradient is {:.1f} times those of all others in {} (D-SNR): the batch does not hide it. A "
          "network that was changed to single images out looks so, and one that is sure of all others.\n",
          dominance.ratio, dominance.layer);
    if (rounded)
      say("Note: past a margin of {} float32 loses 1 - p(true): a failing attack may be rounding, not privacy.\n",
          sharing::kWarningMargin);
    say("{}\n", core::printable(out, 4096));
  }

  // What the noise leaves of each image. Of many pixels only what 64 products say.
  [[nodiscard]] core::Json bounds_of(const nets::Network& network, const gradients::Truth& batch) const {
    constexpr std::int64_t kProducts = 64;
    const std::int64_t pixels = batch.images[0].numel();
    std::optional<sharing::Prior> prior;
    if (pixels <= sharing::kMostPixels)
      prior = gradients::public_prior(data::load(data, data::Split::kTrain, data_dir));
    core::Json all = core::Json::array();
    for (std::int64_t i = 0; i < batch.images.size(0); ++i) {
      Tensor information;
      sharing::UnbiasedBound found;
      if (prior) {
        information = sharing::fisher_information(network, batch.images, batch.labels, protocol, i);
        found = sharing::unbiased_bound(information);
      } else {
        const auto product = sharing::fisher_product(network, batch.images, batch.labels, protocol, i);
        found = sharing::estimated_bound(product, pixels, kProducts, seed);
      }
      all.push_back({{"unbiased_psnr", prior ? core::Json(sharing::psnr_of(found.error)) : core::Json()},
                     {"trace_psnr", sharing::psnr_of(found.by_trace)},
                     {"trace_deviation", found.trace_deviation},
                     {"fisher_loss", found.largest},
                     {"rank", prior ? core::Json(found.rank) : core::Json()},
                     {"pixels", pixels},
                     {"linear_psnr", prior ? core::Json(sharing::psnr_of(sharing::linear_error(information, *prior)))
                                           : core::Json()}});
    }
    return all;
  }

  [[nodiscard]] core::Json bound_of_all(const nets::Network& network, const gradients::Truth& batch) const {
    auto one = protocol;
    one.batch_size = batch.images.size(0);
    const auto prior = gradients::public_prior(data::load(data, data::Split::kTrain, data_dir));
    const auto found =
        sharing::bayes_bound(network, batch.labels[0].item<std::int64_t>(), one, prior, bound_draws, seed);
    const double low = std::max(found.error - 2 * found.deviation, 1e-300);
    return {{"psnr", sharing::psnr_of(found.error)},
            {"low", sharing::psnr_of(found.error + 2 * found.deviation)},
            {"high", sharing::psnr_of(low)},
            {"trace_psnr", sharing::psnr_of(found.by_trace)},
            {"prior_psnr", sharing::psnr_of(found.prior)},
            {"error", found.error},
            {"deviation", found.deviation},
            {"draws", found.draws}};
  }

  static void print_bounds(const core::Json& rows) {
    say("\n{}\n", bold("What the noise leaves, as the PSNR of a mean error"));
    std::vector<std::vector<std::string>> table = {{"image", "unbiased, at most, dB", "by the trace, at most, dB",
                                                    "Fisher information loss", "rank", "linear and normal, dB"}};
    const auto number = [](const core::Json& value) {
      return value.is_null() ? "-" : fmt::format("{:.1f}", value.get<double>());
    };
    for (const auto& row : rows) {
      const auto& b = row["bound"];
      table.push_back({row["image"].dump(), number(b["unbiased_psnr"]), number(b["trace_psnr"]),
                       fmt::format("{:.3g}", b["fisher_loss"].get<double>()),
                       b["rank"].is_null() ? "-" : fmt::format("{} of {}", b["rank"].dump(), b["pixels"].dump()),
                       number(b["linear_psnr"])});
    }
    print_table(table);
    if (const double off = rows[0]["bound"]["trace_deviation"].get<double>(); off > 0)
      say("Of so many pixels the trace and the loss are estimates by random directions; the first image's trace has a "
          "standard error of {:.0f} %.\n",
          100 * off);
    say("Only estimates that are right on average over the noise keep below the first two: an attack that knows what "
        "images look like does not. The last is no bound: what the best estimate would reach if the update were linear "
        "near the image, and images normally distributed.\n\n");
  }

  // Update, truth and model are three files, whatever their paths look like.
  void check_paths() const {
    if (images.empty())
      throw core::Error(core::ErrorKind::kUsage, "--images: got none, expected the number of at least one test image");
    if (out.empty()) throw core::Error(core::ErrorKind::kUsage, "--out: got none, expected a file for the update");
    const auto refuse = [](const char* flag, const std::string& path, const char* other) {
      throw core::Error(core::ErrorKind::kUsage, "{}: got {}, which is {}; name another file", flag,
                        core::quoted(path, 4096), other);
    };
    if (same_file(out, model)) refuse("--out", out, "the model itself");
    if (truth.empty()) return;
    if (same_file(truth, model)) refuse("--truth", truth, "the model itself");
    if (same_file(truth, out)) refuse("--truth", truth, "the file of the update (--out)");
  }
};

}  // namespace

void add_capture(CLI::App& app) {
  auto* verb = app.add_subcommand("capture", "Writes the update that a client would send for given test images");
  auto capture = std::make_shared<Capture>(*verb);
  verb->callback([capture] { capture->run(); });
}

}  // namespace pellucid::cli
