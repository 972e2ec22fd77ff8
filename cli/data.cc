// pellucid data: lists and fetches data sets.
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include "pellucid/data/catalog.h"
#include "pellucid/data/fetch.h"

#include <memory>

namespace pellucid::cli {
namespace {

struct Data {
  Common common;
  std::string data_dir;
  Settings settings;

  explicit Data(CLI::App& app) : settings(app) {
    settings.add({"", {core::field("data_dir", data_dir, "where the data sets lie; none is $PELLUCID_DATA, else the cache folder")}}, "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void list() {
    settings.apply();
    core::Json result = core::Json::array();
    std::vector<std::vector<std::string>> table = {{"data set", "where", "what"}};
    for (const auto& found : data::list(data_dir)) {
      result.push_back({{"name", found.name}, {"summary", found.summary}, {"where", found.where}, {"missing", found.missing}, {"fix", found.fix}});
      const std::string where = found.missing.empty() ? found.where : found.where.empty() ? "not here" : found.where + " (incomplete)";
      table.push_back({found.name, where, found.summary});
      if (!found.missing.empty()) {
        table.push_back({"", grey("missing"), grey(fmt::format("{}", fmt::join(found.missing, ", ")))});
        table.push_back({"", grey("fix"), grey(found.fix)});
      }
    }
    if (!print_json(common, result)) print_table(table, Columns::kText);
  }

  void fetch(const std::vector<std::string>& names) {
    settings.apply();
    const core::Run run = make_run(common);
    for (const auto& name : names) {
      const auto folder = data::fetch(name, data_dir, run.progress);
      end_progress();
      fmt::print("{}\n", folder.string());
    }
  }
};

}  // namespace

void add_data(CLI::App& app) {
  auto* verb = app.add_subcommand("data", "Lists, checks and fetches data sets");
  verb->require_subcommand(1);

  auto* list_verb = verb->add_subcommand("list", "Says what is found where, and how to get the rest");
  auto list = std::make_shared<Data>(*list_verb);
  list_verb->callback([list] { list->list(); });

  auto* fetch_verb = verb->add_subcommand("fetch", "Downloads data sets over HTTPS, resumed and checked by SHA-256");
  auto fetch = std::make_shared<Data>(*fetch_verb);
  auto names = std::make_shared<std::vector<std::string>>();
  fetch_verb->add_option("name", *names, "mnist or cifar10")->required()->option_text("NAME...");
  fetch_verb->callback([fetch, names] { fetch->fetch(*names); });
}

}  // namespace pellucid::cli
