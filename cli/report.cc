// pellucid report: renders run folders again.
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "pellucid/report/html.h"

#include <memory>

namespace pellucid::cli {

void add_report(CLI::App& app) {
  auto* verb = app.add_subcommand("report", "Renders the report of a run folder again");
  auto folders = std::make_shared<std::vector<std::string>>();
  verb->add_option("folder", *folders, "run folders, each with a result.json of `pellucid demo`")->required()->option_text("FOLDER...");
  verb->callback([folders] {
    for (const auto& folder : *folders) fmt::print("{}\n", report::write_report(folder).string());
  });
}

}  // namespace pellucid::cli
