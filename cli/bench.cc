// pellucid bench: how fast this machine is.
#include "pellucid/aggregation/benchmark.h"
#include "pellucid/core/environment.h"
#include "pellucid/gradients/benchmark.h"

#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <memory>

namespace pellucid::cli {
namespace {

void print_engine(const gradients::BenchmarkOptions& options, const core::Json& result) {
  auto number = [](const core::Json& value, const char* unit = "") {
    return value.is_null() ? "none" : fmt::format("{:.3g}{}", value.get<double>(), unit);
  };
  if (!result.contains("peak_gflops")) {
    std::vector<std::vector<std::string>> table = {{"network", "attack", "batch", "device", "by", "restarts",
                                                    "ms an iteration", "restarts x iterations a second", "error"}};
    for (const auto& row : result["rows"]) {
      table.push_back({row["net"], row["attack"], row["batch"].dump(), row["device"], row["method"],
                       row["restarts"].dump(), number(row["ms_per_iteration"]),
                       fmt::format("{:.0f}", row["trial_iterations_per_s"].get<double>()),
                       fmt::format("{:.1e}", row["error_to_float64"].get<double>())});
    }
    print_table(table);
    say("Whole iterations, medians of {}; error: of the first restart's gradient, against double backward in "
        "float64.\n",
        options.repeats);
    return;
  }
  std::vector<std::vector<std::string>> table = {{"network", "batch", "restarts", "cores", "double backward, ms",
                                                  "engine, ms", "ratio", "mixed, ms", "ratio", "of peak", "memory"}};
  for (const auto& row : result["rows"]) {
    table.push_back({row["net"], row["batch"].dump(), row["trials"].dump(), row["cores"].dump(),
                     number(row["double_backward_ms"]), number(row["engine_ms"]), number(row["ratio"], "x"),
                     number(row["mixed_ms"]), number(row["mixed_ratio"], "x"),
                     fmt::format("{:.0f} %", 100 * row["of_peak"].get<double>()),
                     fmt::format("{:.0f} MB", 1e-6 * row["memory_bytes"].get<double>())});
  }
  print_table(table);
  say("Milliseconds for one image and one iteration, medians, on {}. Peak: the highest float32 rate of one core in "
      "this run, {:.0f} GFLOP/s "
      "(oneDNN alone, or the engine).\n",
      result["environment"]["processor"].get<std::string>(), result["peak_gflops"].get<double>());
}

void print_training(const gradients::TrainingBenchmarkOptions& options, const core::Json& result) {
  std::vector<std::vector<std::string>> table = {{"network", "training", "plain, /s", "images only, /s", "ours, /s",
                                                  "to plain", "mixed, /s", "to plain", "to images only"}};
  for (const auto& row : result["rows"]) {
    auto number = [&](const char* key, const char* unit = "") {
      return fmt::format("{:.3g}{}", row[key].get<double>(), unit);
    };
    table.push_back({row["net"], row["mode"], number("plain"), number("plain_images_only"), number("float32"),
                     number("ratio", "x"), number("mixed"), number("mixed_ratio", "x"),
                     number("mixed_ratio_images_only", "x")});
  }
  print_table(table);
  say("Images a second, medians of {}, batches of {}, {} cores. Plain: libtorch in float32, the attack by backward() "
      "as the published codes "
      "do; images only: the attack asks for the images' gradients alone.\n",
      options.repeats, options.batch, result["rows"][0]["cores"].get<int>());
}

void print_aggregation(const aggregation::BenchmarkOptions& options, const core::Json& result) {
  std::vector<std::vector<std::string>> table = {{"scheme", "client, s", "protects in, s", "update, MB", "sends, MB",
                                                  "receives, MB", "server, s", "largest error", "of a step of"}};
  for (const auto& row : result["rows"]) {
    const auto number = [&](const char* key, double unit) {
      return fmt::format("{:.3g}", row[key].get<double>() / unit);
    };
    table.push_back({row["scheme"], number("client_s", 1), number("protect_s", 1), number("update_bytes", 1e6),
                     number("sent_bytes", 1e6), number("received_bytes", 1e6), number("server_s", 1),
                     number("largest_error", 1), number("step", 1)});
  }
  print_table(table);
  say("{} values, {} clients, in one process on one core; medians of {} rounds. Client: one client's round; protects: "
      "the step in which it masks or encrypts its values, keys added up included.\n",
      options.values, options.clients, options.repeats);
}

template <typename Options>
struct Bench {
  Common common;
  Options options;
  Settings settings;

  explicit Bench(CLI::App& app) : settings(app) {
    settings.add({"", fields(options)}, "What");  // of the namespace of the options
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }
};

// Adds a subcommand that runs a benchmark and prints it.
template <typename Options>
void add(CLI::App& verb, const char* name, const char* help, core::Json (*measure)(const Options&, const core::Run&),
         void (*print)(const Options&, const core::Json&)) {
  auto* command = verb.add_subcommand(name, help);
  auto bench = std::make_shared<Bench<Options>>(*command);
  command->callback([=] {
    bench->settings.apply();
    const core::Run run = make_run(bench->common);
    core::Json result = {{"schema", "pellucid.benchmark/1"},
                         {"environment", core::environment(run.threads)},
                         {"config", bench->settings.resolved()}};
    result.update(measure(bench->options, run));
    if (!print_json(bench->common, result)) print(bench->options, result);
  });
}

}  // namespace

void add_bench(CLI::App& app) {
  auto* verb = app.add_subcommand("bench", "Times the parts of Pellucid on this machine");
  verb->require_subcommand(1);
  add(*verb, "engine", "The matching engine beside double backward, in one run", gradients::benchmark_engine,
      print_engine);
  add(*verb, "train", "Training beside plain libtorch in float32, in one run", gradients::benchmark_training,
      print_training);
  add(*verb, "aggregation", "Masked and encrypted sums of several clients' updates", aggregation::benchmark,
      print_aggregation);
}

}  // namespace pellucid::cli
