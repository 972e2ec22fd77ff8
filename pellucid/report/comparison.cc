#include "pellucid/report/comparison.h"

#include "pellucid/core/error.h"

#include <fmt/format.h>

#include <algorithm>

namespace pellucid::report {
namespace {

constexpr char kSchema[] = "pellucid.comparison/1";

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string check_listed(const Node& id, const std::vector<Node>& list, const std::string& what) {
  const std::string text = id.text();
  std::vector<std::string> ids;
  for (const Node& item : list) ids.push_back(item["id"].text());
  if (!contains(ids, text)) id.fail("the id of " + what + ": " + core::join_choices(ids));
  return text;
}

template <typename Map>
void insert(Map& map, typename Map::key_type key, const Node& node) {
  if (map.contains(key)) {
    throw core::Error(core::ErrorKind::kData, "{}: got a second entry for the same place, expected one", node.where());
  }
  map.emplace(std::move(key), node);
}

}  // namespace

Comparison open_comparison(const core::Json& result, const std::filesystem::path& folder) {
  const Node root(result, (folder / "result.json").string());
  if (root["schema"].text() != kSchema) root["schema"].fail(fmt::format("\"{}\"", kSchema));
  Comparison c{.root = root,
               .folder = folder,
               .models = root["models"].items(),
               .attacks = root["attacks"].items(),
               .images = root["images"].items(),
               .reconstructions = {},
               .summaries = {},
               .paired = {},
               .metrics = {}};
  if (c.models.empty()) root["models"].fail("one model or more");
  if (c.attacks.empty()) root["attacks"].fail("one attack or more");

  std::vector<std::int64_t> indices;
  for (const Node& image : c.images) indices.push_back(image["index"].whole());
  for (const Node& node : root["reconstructions"].items()) {
    const std::int64_t image = node["image"].whole();
    if (std::find(indices.begin(), indices.end(), image) == indices.end()) node["image"].fail("the index of an image");
    insert(
        c.reconstructions,
        {check_listed(node["attack"], c.attacks, "an attack"), check_listed(node["model"], c.models, "a model"), image},
        node);
  }
  for (const Node& node : root["summaries"].items()) {
    const std::string attack = check_listed(node["attack"], c.attacks, "an attack");
    const std::string metric = node["metric"].text();
    insert(c.summaries, {attack, check_listed(node["model"], c.models, "a model"), metric}, node);
    if (!contains(c.metrics[attack], metric)) c.metrics[attack].push_back(metric);
  }
  for (const Node& node : root["paired"].items()) {
    const std::string attack = check_listed(node["attack"], c.attacks, "an attack");
    const std::string metric = node["metric"].text();
    const auto& metrics = c.metrics[attack];
    if (!contains(metrics, metric)) {
      node["metric"].fail("a metric of that attack's summaries: " + core::join_choices(metrics));
    }
    insert(c.paired, {attack, metric}, node);
  }
  return c;
}

}  // namespace pellucid::report
