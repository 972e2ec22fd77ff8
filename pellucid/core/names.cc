#include "pellucid/core/names.h"

#include <algorithm>

namespace pellucid::core {

Field names_field(std::string name, std::vector<std::string>& value, std::string help,
                  std::vector<std::string> choices) {
  auto set = [&value, choices](const std::vector<std::string>& list) {
    for (auto item = list.begin(); item != list.end(); ++item) {
      if (std::find(choices.begin(), choices.end(), *item) == choices.end() ||
          std::find(list.begin(), item, *item) != item)
        return false;
    }
    return !list.empty() && (value = list, true);
  };
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = fmt::format("a list of different names, each {}", join_choices(choices)),
          .metavar = "NAME,..",
          .get = [&value] { return Json(value); },
          .set =
              [set](const Json& json) {
                const bool text = json.is_array() &&
                                  std::all_of(json.begin(), json.end(), [](const Json& x) { return x.is_string(); });
                return text && set(json.get<std::vector<std::string>>());
              },
          .set_text =
              [set](const std::string& text) {
                std::vector<std::string> list;
                for (std::size_t begin = 0; begin <= text.size();) {
                  const auto end = std::min(text.find(',', begin), text.size());
                  list.push_back(text.substr(begin, end - begin));
                  begin = end + 1;
                }
                return set(list);
              }};
}

}  // namespace pellucid::core
