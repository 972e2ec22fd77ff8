// pellucid report: renders run folders again, and sets two of them side by side.
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/sealed.h"
#include "pellucid/report/html.h"
#include "pellucid/report/side_by_side.h"

#include "cli/terminal.h"
#include "cli/verbs.h"

#include <memory>

namespace pellucid::cli {
namespace {

struct Report {
  std::vector<std::string> folders;
  std::string out;

  void run() const {
    if (!out.empty() && folders.size() != 2) {
      throw core::Error(core::ErrorKind::kUsage, "--out: got {} folders, expected two to compare", folders.size());
    }
    for (const auto& folder : folders) say("{}\n", report::write_report(folder).string());
    if (folders.size() == 2) compare(folders[0], folders[1]);
  }

  void compare(const std::filesystem::path& a, const std::filesystem::path& b) const {
    const report::RunResult left{a, core::read_sealed(a / "result.json")},
        right{b, core::read_sealed(b / "result.json")};
    for (const auto& table : report::side_by_side(left, right)) {
      say("\n{}\n", bold(table.title));
      print_table(table.rows, Columns::kText);
    }
    const std::filesystem::path page = out.empty() ? b / "comparison.html" : std::filesystem::path(out);
    core::write_file(page, report::render_side_by_side(left, right));
    say("\n{}\n", page.string());
  }
};

}  // namespace

void add_report(CLI::App& app) {
  auto* verb = app.add_subcommand("report", "Renders the report of a run folder again; compares two");
  auto report = std::make_shared<Report>();
  verb->add_option("folder", report->folders,
                   "run folders, each with a result.json; two of one kind are also set side by side")
      ->required()
      ->option_text("FOLDER...");
  verb->add_option("--out", report->out,
                   "the page that sets two runs side by side; comparison.html in the second folder if not given")
      ->option_text("FILE");
  verb->callback([report] { report->run(); });
}

}  // namespace pellucid::cli
