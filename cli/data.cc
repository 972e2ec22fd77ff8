// pellucid data: lists, checks and fetches data sets.
#include "pellucid/core/error.h"
#include "pellucid/data/catalog.h"
#include "pellucid/data/fetch.h"
#include "pellucid/data/places.h"
#include "pellucid/data/shown.h"

#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <memory>

namespace pellucid::cli {
namespace {

struct Data {
  Common common;
  std::string data_dir;
  Settings settings;

  explicit Data(CLI::App& app) : settings(app) {
    settings.add(
        {"",
         {core::field("data_dir", data_dir, "where the data sets lie; none is $PELLUCID_DATA, else the cache folder")}},
        "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void list() {
    settings.apply();
    core::Json result = core::Json::array();
    std::vector<std::vector<std::string>> table = {{"data set", "where", "what"}};
    for (const auto& found : data::list(data_dir)) {
      result.push_back({{"name", found.name},
                        {"summary", found.summary},
                        {"where", found.where},
                        {"missing", found.missing},
                        {"fix", found.fix},
                        {"problem", found.problem}});
      const std::string where = found.missing.empty() ? found.where
                                : found.where.empty() ? "not here"
                                                      : found.where + " (incomplete)";
      table.push_back({found.name, found.problem.empty() ? where : "unknown", found.summary});
      if (!found.problem.empty()) {
        table.push_back({"", grey("problem"), grey(found.problem)});
      } else if (!found.missing.empty()) {
        table.push_back({"", grey("missing"), grey(fmt::format("{}", fmt::join(found.missing, ", ")))});
        table.push_back({"", grey("fix"), grey(found.fix)});
      }
    }
    if (print_json(common, result)) return;
    print_table(table, Columns::kText);
    const auto folder = data::data_folder(data_dir);
    say("{}\n", grey(folder.empty() ? "No data folder is known; set PELLUCID_DATA."
                                    : "Looked in " + data::shown(folder) + "."));
  }

  // Reads both splits whole and says what they hold.
  // @throws Error(kData) if they do not belong together.
  void check(const std::string& name) {
    settings.apply();
    (void)make_run(common);
    core::Json splits = core::Json::array();
    for (const auto split : {data::Split::kTrain, data::Split::kTest}) {
      const auto set = data::load(name, split, data_dir);
      const auto counts = torch::bincount(set.labels, {}, static_cast<std::int64_t>(set.classes.size()));
      core::Json classes = core::Json::object();
      for (std::size_t c = 0; c < set.classes.size(); ++c)
        classes[set.classes[c]] = counts[static_cast<std::int64_t>(c)].item<std::int64_t>();
      splits.push_back({{"split", data::to_string(split)},
                        {"source", set.source},
                        {"images", set.size()},
                        {"shape", set.images.sizes().slice(1).vec()},
                        {"classes", classes}});
    }
    const core::Json &train = splits[0], &test = splits[1];
    if (train["shape"] != test["shape"]) {
      throw core::Error(core::ErrorKind::kData, "{}: images of test, got shape {}, expected {} as those of train have",
                        core::quoted(name), test["shape"].dump(), train["shape"].dump());
    }
    std::vector<std::vector<std::string>> classes = {{"class", "train", "test"}};
    for (const auto& [label, images] : test["classes"].items()) {
      const auto trained = train["classes"].value(label, std::int64_t{0});
      if (trained == 0 && images > 0) {
        throw core::Error(core::ErrorKind::kData, "{}: class {}: {} images in test and none in train",
                          core::quoted(name), core::quoted(label), images.get<std::int64_t>());
      }
      classes.push_back(
          {core::printable(label, 40), fmt::format("{}", trained), fmt::format("{}", images.get<std::int64_t>())});
    }
    if (print_json(common, {{"name", name}, {"splits", splits}})) return;

    std::vector<std::vector<std::string>> table = {{"split", "images", "shape", "from"}};
    for (const auto& split : splits) {
      table.push_back({split["split"], split["images"].dump(), split["shape"].dump(), split["source"]});
    }
    print_table(table, Columns::kText);
    constexpr std::size_t kShown = 30;
    const std::size_t hidden = classes.size() - std::min(classes.size(), kShown + 1);
    classes.resize(classes.size() - hidden);
    say("\n");
    print_table(classes);
    if (hidden > 0) say("  and {} classes more\n", hidden);
  }

  void fetch(const std::vector<std::string>& names) {
    settings.apply();
    const core::Run run = make_run(common);
    for (const auto& name : names) {
      const auto folder = data::fetch(name, data_dir, run.progress);
      end_progress();
      say("{}\n", core::printable(folder.string(), std::string::npos));
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

  auto* check_verb = verb->add_subcommand("check", "Reads both splits of a data set whole, and says what they hold");
  auto check = std::make_shared<Data>(*check_verb);
  auto name = std::make_shared<std::string>();
  check_verb->add_option("name", *name, data::choices())->required()->option_text("NAME");
  check_verb->callback([check, name] { check->check(*name); });

  auto* fetch_verb = verb->add_subcommand("fetch", "Downloads data sets, resumed and checked by SHA-256");
  auto fetch = std::make_shared<Data>(*fetch_verb);
  auto names = std::make_shared<std::vector<std::string>>();
  fetch_verb->add_option("name", *names, core::join_choices(data::source_names()))->required()->option_text("NAME...");
  fetch_verb->callback([fetch, names] { fetch->fetch(*names); });
}

}  // namespace pellucid::cli
