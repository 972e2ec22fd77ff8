// What it takes to run the same again: data, attack and study settings as typed, and the environment.
#include "pellucid/report/format.h"
#include "pellucid/report/sections.h"

namespace pellucid::report {
namespace {

// The scalars of a table as rows, then its tables under their TOML names.
std::string settings_table(const std::string& name, const Node& table) {
  std::string rows, inner;
  for (const auto& [key, value] : table.fields()) {
    if (value.is_object()) {
      inner += settings_table(name.empty() ? escape(key) : name + "." + escape(key), value);
    } else {
      rows += "<div><dt>" + escape(key) + "</dt><dd>" + value.as_written() + "</dd></div>\n";
    }
  }
  if (!rows.empty()) {
    rows = (name.empty() ? "" : "<h4><code>[" + name + "]</code></h4>\n") +
           ("<dl class=\"settings\">\n" + rows + "</dl>\n");
  }
  return rows + inner;
}

std::string folded(const std::string& summary, const std::string& content) {
  return "<details><summary>" + summary + "</summary>\n" + content + "</details>\n";
}

}  // namespace

std::string settings_section(const Comparison& c) {
  std::string attacks;
  for (const Node& attack : c.attacks) {
    attacks += "<h4>" + attack["label"].html() + " <code>" + attack["id"].html() + "</code></h4>\n<p>" +
               attack["description"].html() + "</p>\n" + settings_table("", attack["settings"]);
  }
  return folded("Data", settings_table("", c.root["data"])) + folded("Attacks", attacks) +
         folded("Study settings", settings_table("", c.root["config"])) +
         folded("Environment", settings_table("", c.root["environment"]));
}

}  // namespace pellucid::report
