// pellucid demo: the whole story on this machine, to a report.
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "pellucid/core/text.h"
#include "pellucid/report/html.h"
#include "pellucid/study/demo.h"

#include <algorithm>
#include <memory>

namespace pellucid::cli {
namespace {

using core::Json;

std::string interval(const Json& value, const std::string& format) {
  if (value.is_null()) return "none";
  return fmt::format(fmt::runtime(format + " [" + format + ", " + format + "]"), value["value"].get<double>(), value["low"].get<double>(),
                     value["high"].get<double>());
}

// The entry of a list whose keys have the given values.
const Json* find(const Json& list, const Json& wanted) {
  for (const auto& entry : list) {
    bool same = true;
    for (const auto& [key, value] : wanted.items()) same = same && entry.at(key) == value;
    if (same) return &entry;
  }
  return nullptr;
}

// The fields but for those that the demo decides itself.
core::Fields without(core::Fields fields, const std::vector<std::string>& names) {
  std::erase_if(fields, [&](const core::Field& f) { return std::find(names.begin(), names.end(), f.name) != names.end(); });
  return fields;
}

void print_comparison(const Json& result) {
  std::vector<std::vector<std::string>> rows = {{"", "standard", "robust", "robust - standard"}};
  const auto& models = result["models"];
  rows.push_back({"accuracy", percent(models[0]["natural"]), percent(models[1]["natural"])});
  rows.push_back({"under attack", percent(models[0]["robust"]), percent(models[1]["robust"])});
  for (const auto& attack : result["attacks"]) {
    rows.push_back({attack["label"]});
    for (const auto& [metric, format] : {std::pair("psnr", "{:.1f}"), std::pair("ssim", "{:.3f}")}) {
      const auto* standard = find(result["summaries"], {{"attack", attack["id"]}, {"model", "standard"}, {"metric", metric}});
      const auto* robust = find(result["summaries"], {{"attack", attack["id"]}, {"model", "adversarial"}, {"metric", metric}});
      const auto* pair = find(result["paired"], {{"attack", attack["id"]}, {"metric", metric}});
      const auto label = fmt::format("  mean {}{}", (*standard)["label"].get<std::string>(), metric == std::string("psnr") ? ", dB" : "");
      rows.push_back({label, interval((*standard)["mean"], format), interval((*robust)["mean"], format), interval((*pair)["difference"], format)});
    }
  }
  print_table(rows);
  say("\n{}\n", bold(result["headline"].get<std::string>()));
  for (const auto& sentence : result["summary"]) say("{}\n", sentence.get<std::string>());
  for (const auto& warning : result["warnings"]) say("\nNote: {}\n", warning.get<std::string>());
}

struct Demo {
  Common common;
  std::string out = "runs/demo";
  bool pretrained = false;
  study::DemoOptions options;
  Settings settings;

  explicit Demo(CLI::App& app) : settings(app) {
    core::Fields own = {core::field("out", out, "run folder; a demo that was interrupted there goes on"),
                        core::field("pretrained", pretrained, "use the models that come with Pellucid (MNIST) instead of training")};
    for (auto& field : study::fields(options)) own.push_back(std::move(field));
    settings.add({"", std::move(own)}, "What");
    settings.add({"residual", without(inversion::fields(options.residual), {"seed"})}, "Our attack");
    settings.add({"ig", without(inversion::fields(options.ig), {"seed"})}, "The published attack");
    settings.add({"standard", without(training::fields(options.standard), {"method", "seed"})}, "Training of the standard model");
    settings.add({"adversarial", without(training::fields(options.adversarial), {"method", "seed"})}, "Training of the robust model");
    settings.add({"adversarial_attack", evasion::fields(options.adversarial.attack)}, "Inner attack of the robust model's training");
    settings.add({"judge", evasion::fields(options.judge)}, "Attack that judges both models' robustness");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    if (pretrained) {
      if (options.data.empty()) options.data = "mnist";
      options.standard_model = PELLUCID_MODELS "/mnist-standard.safetensors";
      options.adversarial_model = PELLUCID_MODELS "/mnist-adversarial.safetensors";
    }
    const auto warn = [](const std::string& sentence) {
      end_progress();
      remark("pellucid demo: {}\n", core::printable(sentence, 400));
    };
    const Json result = study::run_demo(options, settings.resolved(), out, make_run(common), warn);
    const auto report = report::write_report(out);
    if (print_json(common, result)) return;
    print_comparison(result);
    say("\n{}\n", report.string());
  }
};

}  // namespace

void add_demo(CLI::App& app) {
  auto* verb = app.add_subcommand("demo", "The whole story in minutes: trains both models, reads images back, writes a report");
  auto demo = std::make_shared<Demo>(*verb);
  verb->callback([demo] { demo->run(); });
}

}  // namespace pellucid::cli
