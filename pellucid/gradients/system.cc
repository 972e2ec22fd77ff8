#include "pellucid/gradients/system.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/data/image_file.h"
#include "pellucid/gradients/controls.h"
#include "pellucid/gradients/estimate.h"
#include "pellucid/gradients/is_measured.h"
#include "pellucid/gradients/read_back.h"
#include "pellucid/gradients/summary.h"
#include "pellucid/metrics/image.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::gradients {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

constexpr double kLeastError = 1e-10;  // MSE at the 100 dB where PSNR ends
constexpr double kNearLoss = 2;        // times: losses that count as alike
constexpr double kNearMargin = 1;      // logits: sizes of margins that count as alike
constexpr std::size_t kNetworks = 4;   // kept in memory: cells come network by network

double decibels(double x) { return -10 * std::log10(x); }

// Losses compare only where they measure the same distance.
bool same_loss(const Json& settings, const Json& other) {
  const Json &a = settings["attack"], &b = other["attack"];
  const auto same = [&](const char* key) { return a[key] == b[key]; };
  return same("functional") && same("objective") && same("features");
}

}  // namespace

const grid::Words& System::words() const {
  static const grid::Words words = {.item = "image", .repetition = "training", .subject = "network"};
  return words;
}

const std::vector<record::Metric>& System::metrics() const { return gradients::metrics(); }

std::optional<grid::Pooled> System::pooled() const {
  return grid::Pooled{.of = "mse",
                      .in_group = "psnr_of_mean_error",
                      .in_contrast = "of_mean_error",
                      .least = kLeastError,
                      .transform = decibels,
                      .of_ratio = decibels};
}

std::vector<grid::Covariate> System::covariates() const {
  return {{.key = "at_equal_loss",
           .score = "matching_loss",
           .label = "matching loss",
           // Nothing where there is no logarithm: a loss that rounding made 0, or a cosine distance just below it.
           .transform = [](double x) { return x > 0 ? std::log10(x) : std::numeric_limits<double>::quiet_NaN(); },
           .near = std::log10(kNearLoss),
           .alike = fmt::format("have matching losses within a factor of {} of each other", kNearLoss),
           .needs_overlap = false,
           .ratio = "loss_ratio",
           .comparable = same_loss},
          {.key = "at_equal_margin",
           .score = "margin",
           .label = "",
           .transform = [](double x) { return std::abs(x); },
           .near = kNearMargin,
           .alike = fmt::format("have margins whose sizes are within {} of each other", kNearMargin),
           .needs_overlap = true,
           .ratio = "",
           .comparable = {}}};
}

Json System::resolve(const Json& tables, const fs::path& folder, const std::string& where) const {
  return to_json(read_settings(tables, folder, where));
}

void System::take_typed(Json& tables) const {
  for (const char* name : {"/model/weights", "/attack/prior"}) {
    const Json::json_pointer file(name);
    if (!tables.contains(file) || !tables[file].is_string()) continue;
    std::error_code none;  // an empty name stays one
    if (const auto typed = fs::absolute(tables[file].get<std::string>(), none); !none) tables[file] = typed.string();
  }
}

void System::check(const grid::Study& study, const std::string& where) const {
  for (const auto& group : study.groups) {
    if (study.seeds == 1 || group.settings["model"]["weights"].get<std::string>().empty()) continue;
    throw Error(ErrorKind::kUsage, "{}: seeds: got {}, expected 1: given weights (model.weights) are not trained anew",
                where, study.seeds);
  }
}

std::string System::source(const Json& settings) const {
  const auto data = settings["model"]["data"].get<std::string>(),
             folder = settings["model"]["data_dir"].get<std::string>();
  return folder.empty() ? data : fmt::format("{} of {}", data, folder);
}

void System::check_runs(const Json& json) { gradients::check_runs(settings(json), datasets_); }

std::int64_t System::item(const Json& json, std::int64_t place) {
  Settings s;  // where the images are is all that counts
  s.data = json["model"]["data"];
  s.data_dir = json["model"]["data_dir"];
  return datasets_.drawn(s, place);
}

grid::Subject System::subject(const Json& json, std::int64_t seed) {
  const auto training = training_of(settings(json), seed, datasets_);
  return {.id = training.id, .determinants = gradients::determinants(training), .settings = json, .seed = seed};
}

Training System::training(const grid::Subject& subject) {
  return training_of(settings(subject.settings), subject.seed, datasets_);
}

std::optional<Json> System::prepare(const grid::Subject& subject, const grid::Shared& shared, const core::Run& run) {
  return measured(training(subject), shared.store, shared.folder, datasets_, run);
}

std::string System::describe(const Json& prepared) const {
  return fmt::format("{:.2f} % natural, {:.2f} % under attack", 100 * prepared["natural"]["value"].get<double>(),
                     100 * prepared["robust"]["value"].get<double>());
}

bool System::is_prepared(const Json& result) const { return is_measured(result); }

Json System::determinants(const Json& json, const grid::Subject& /*subject*/, const Json& prepared) {
  Settings s = settings(json);
  return {
      {"network", prepared["fingerprint"]},          {"logit_scale", s.logit_scale},  {"client", client_of(s)},
      {"attack", inversion::determinants(s.attack)}, {"data", datasets_.identity(s)}, {"train_images", s.train_images}};
}

std::shared_ptr<const nets::Network> System::network(const Training& t, const fs::path& folder,
                                                     const std::string& fingerprint) {
  const auto key = fmt::format("{} {} {} {}", t.id, t.settings.checkpoint, t.settings.logit_scale, fingerprint);
  const std::lock_guard guard(mutex_);
  const auto found = std::find_if(networks_.begin(), networks_.end(), [&](const auto& n) { return n.first == key; });
  if (found != networks_.end()) {
    networks_.splice(networks_.begin(), networks_, found);
  } else {
    networks_.emplace_front(key, std::make_shared<nets::Network>(load(t, folder, fingerprint)));
    if (networks_.size() > kNetworks) networks_.pop_back();
  }
  return networks_.front().second;
}

record::Reading System::read(const Json& json, const grid::Subject& subject, const Json& prepared, std::int64_t item,
                             const grid::Shared& shared) {
  record::Reading reading;
  const auto why = failure([&] {
    const Settings s = settings(json);
    auto trained = training(subject);
    trained.settings.logit_scale = s.logit_scale;
    const auto net = network(trained, shared.folder, prepared["fingerprint"]);
    const Truth truth = datasets_.batch(s, item);
    Client sender = client(s);
    if (s.bound) sender.bound = datasets_.prior(s);
    auto back = read_back(*net, truth, item, s.attack, sender, datasets_.others(s));
    reading = std::move(back.reading);
    const auto label = truth.labels[0].item<std::int64_t>();
    const double guess = pellucid::metrics::psnr(datasets_.mean_image(s)[0], truth.images[0]);
    reading.scores["guess_psnr"] = guess;
    if (const auto psnr = reading.score("psnr")) reading.scores["gain"] = *psnr - guess;
    reading.more["label"] = label;
    if (const Json& read = reading.more["label_read"]; read.is_number() && read != label)
      reading.diagnoses.push_back({"label-wrong", "the label read off the last layer's gradient is not the image's"});
    if (back.image.defined()) reading.picture = core::base64(data::encode_png(back.image));
  });
  if (why) return {.status = record::Status::kFailed, .reason = *why};
  return reading;
}

void System::warm_up(const Json& json) { (void)datasets_.mean_image(settings(json)); }

double System::preparing_seconds(const grid::Subject& subject, const fs::path& shared) {
  const auto t = training(subject);
  std::error_code none;
  if (!t.given.empty() || fs::exists(shared / t.id / "model.safetensors", none)) return 0;
  Json kind = training::to_json(t.settings.training);
  for (const char* key : {"seed", "learning_rate", "checkpoint_steps", "test_attack"}) kind.erase(key);
  for (const char* key : {"epsilon", "step"}) kind["attack"].erase(key);
  const auto key = Json{"train", t.settings.net, t.settings.data, t.settings.train_images, kind}.dump();
  if (!timed_.contains(key)) timed_[key] = training_seconds(t, datasets_);  // one step of each kind is enough
  return timed_[key];
}

double System::reading_seconds(const Json& json) {
  Settings s = settings(json);
  Json kind = core::to_json(inversion::fields(s.attack));
  kind.erase("seed");
  const auto& protocol = s.protocol;  // what it computes and sends in costs the attacker nothing
  const auto key = Json{"read",
                        s.net,
                        s.data,
                        kind,
                        protocol.batch_size,
                        protocol.clients,
                        sharing::steps(protocol),
                        to_string(protocol.mode)}
                       .dump();
  if (!timed_.contains(key)) timed_[key] = gradients::reading_seconds(s, datasets_);
  return timed_[key] * static_cast<double>(s.rounds);
}

std::string System::budget(const Json& json, const Json& other) const {
  const Json &a = json["attack"], &b = other["attack"];
  if (a["iterations"] != b["iterations"] || a["restarts"] != b["restarts"]) return {};
  const auto iterations = a["iterations"].get<std::int64_t>(), restarts = a["restarts"].get<std::int64_t>();
  const char* unit = iterations == 1 ? "iteration" : "iterations";
  return restarts == 1 ? fmt::format("{} {}", iterations, unit) : fmt::format("{} x {} {}", restarts, iterations, unit);
}

std::vector<grid::Control> System::controls(const grid::Study& study) { return gradients::controls(study, datasets_); }

std::vector<record::Control> System::baselines(const grid::Study& study, const std::vector<grid::Cell>& cells) {
  return gradients::baselines(study, cells);
}

std::vector<std::size_t> System::meaningless(const grid::Finished& finished) { return untaught(finished, datasets_); }

Json System::original(const Json& json, std::int64_t item) {
  const auto& set = datasets_.all_test(settings(json));
  return {{"class", set.classes[static_cast<std::size_t>(set.labels[item].item<std::int64_t>())]},
          {"original", core::base64(data::encode_png(set.images[item]))}};
}

void System::complete(Json& result, const grid::Study& study, const grid::Finished& finished) {
  add_summary(result, study, finished, datasets_);
}

}  // namespace pellucid::gradients
