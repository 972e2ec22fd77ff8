// The verbs. Each file adds one: its help, its flags, and what it does once they are parsed.
#pragma once

#include <CLI/CLI.hpp>

namespace pellucid::cli {

void add_demo(CLI::App& app);
void add_train(CLI::App& app);
void add_evade(CLI::App& app);
void add_capture(CLI::App& app);
void add_imprint(CLI::App& app);
void add_inspect(CLI::App& app);
void add_invert(CLI::App& app);
void add_study(CLI::App& app);
void add_report(CLI::App& app);
void add_bench(CLI::App& app);
void add_privacy(CLI::App& app);
void add_aggregate(CLI::App& app);
void add_data(CLI::App& app);
void add_list(CLI::App& app);
void add_explain(CLI::App& app);

}  // namespace pellucid::cli
