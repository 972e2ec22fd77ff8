// What it takes to run the same again: data, attack and study settings as typed, and the environment.
#include "pellucid/report/format.h"
#include "pellucid/report/sections.h"

namespace pellucid::report {
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
