// A comparison result, checked and indexed: which reconstruction, summary or paired test belongs to which place.
#pragma once

#include "pellucid/report/node.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace pellucid::report {

/// The parts of result.json that the sections look things up in. It points into the document.
struct Comparison {
  Node root;
  std::filesystem::path folder;
  std::vector<Node> models, attacks, images;
  std::map<std::tuple<std::string, std::string, std::int64_t>, Node> reconstructions;  ///< by attack, model, image
  std::map<std::tuple<std::string, std::string, std::string>, Node> summaries;         ///< by attack, model, metric
  std::map<std::pair<std::string, std::string>, Node> paired;                          ///< by attack, metric
  std::map<std::string, std::vector<std::string>> metrics;  ///< of an attack, in the order in which the file has them
};

/// @throws Error(kData) as `render` in html.h, except for the image files.
[[nodiscard]] Comparison open_comparison(const core::Json& result, const std::filesystem::path& folder);

/// The mapped node, or nullptr where the result has none.
template <typename Map, typename... Key>
[[nodiscard]] const Node* find(const Map& map, Key... key) {
  const auto found = map.find(typename Map::key_type{std::move(key)...});
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace pellucid::report
