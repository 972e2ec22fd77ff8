// What exists, in one list: `pellucid list` prints it and `pellucid explain` looks things up in it.
#pragma once

#include <string>
#include <vector>

namespace pellucid::cli {

struct Item {
  std::string kind;  ///< "nets", "attacks", ...
  std::string name;
  std::string summary;                  ///< one line
  std::string text;                     ///< what explain says beyond it
  std::string (*measured)() = nullptr;  ///< what explain measures on this machine, a line or more
};

[[nodiscard]] std::vector<Item> all_items();

}  // namespace pellucid::cli
