// pellucid list and pellucid explain: what exists, and what each thing is.
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include "cli/items.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <memory>

namespace pellucid::cli {
namespace {

void list(const std::string& kind, const Common& common) {
  core::Json result = core::Json::array();
  std::vector<std::string> kinds;
  std::string heading;
  for (const auto& item : all_items()) {
    if (std::find(kinds.begin(), kinds.end(), item.kind) == kinds.end()) kinds.push_back(item.kind);
    if (!kind.empty() && kind != item.kind) continue;
    result.push_back({{"kind", item.kind}, {"name", item.name}, {"summary", item.summary}});
  }
  if (result.empty()) {
    throw core::Error(core::ErrorKind::kUsage, "got {}, expected {}{}", core::quoted(kind), core::join_choices(kinds),
                      core::suggestion(kind, kinds));
  }
  if (print_json(common, result)) return;
  for (const auto& item : result) {
    if (item["kind"] != heading) say("{}\n", bold(heading = item["kind"]));
    say("  {:<18} {}\n", item["name"].get<std::string>(), item["summary"].get<std::string>());
  }
}

void explain(const std::string& name, const Common& common) {
  std::vector<std::string> names;
  for (const auto& item : all_items()) {
    names.push_back(item.name);
    if (item.name != name) continue;
    const std::string text = item.text + (item.measured == nullptr ? "" : item.measured());
    const core::Json result = {{"kind", item.kind}, {"name", item.name}, {"summary", item.summary}, {"text", text}};
    if (!print_json(common, result)) say("{}: {}\n\n{}", bold(item.name), item.summary, text);
    return;
  }
  throw core::Error(core::ErrorKind::kUsage, "got {}, expected a name from `pellucid list`{}", core::quoted(name),
                    core::suggestion(name, names));
}

struct Lookup {
  Common common;
  std::string name;
};

std::shared_ptr<Lookup> lookup(CLI::App& verb, const std::string& help, bool required) {
  auto state = std::make_shared<Lookup>();
  verb.add_option("name", state->name, help)->required(required)->option_text("NAME");
  verb.add_flag("--json", state->common.json, "print the result as JSON");
  return state;
}

}  // namespace

void add_list(CLI::App& app) {
  auto* verb = app.add_subcommand("list", "Lists what exists: nets, attacks, data, metrics, terms");
  auto state = lookup(*verb, "only this kind: nets, attacks, data, metrics or terms", false);
  verb->callback([state] { list(state->name, state->common); });
}

void add_explain(CLI::App& app) {
  auto* verb = app.add_subcommand("explain", "Says what a net, an attack, a metric or a term is, and its source");
  auto state = lookup(*verb, "a name from `pellucid list`", true);
  verb->callback([state] { explain(state->name, state->common); });
}

}  // namespace pellucid::cli
