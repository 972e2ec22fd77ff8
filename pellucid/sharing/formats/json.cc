// Updates as JSON: {"batch_size": 1, "labels": [3], "gradient": {"fc.0.bias": [...], ...}}, each gradient flat.
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/sharing/formats.h"

namespace pellucid::sharing {

Observation read_json(const std::filesystem::path& path, const nets::Network& network) try {
  const auto json = nlohmann::json::parse(core::read_text(path));
  Observation observation{
      .network = network, .update = {}, .labels = json.value("labels", std::vector<std::int64_t>())};
  observation.update.model = nets::fingerprint(network);
  observation.update.protocol.batch_size = json.at("batch_size");
  for (const auto& entry : nets::entries(network.architecture)) {
    if (entry.kind == nets::Entry::Kind::kParameter)
      observation.update.gradient[entry.name] =
          torch::tensor(json.at("gradient").at(entry.name).get<std::vector<float>>()).view(entry.shape);
  }
  return observation;
} catch (const nlohmann::json::exception& error) {
  throw core::Error(core::ErrorKind::kModel, "{}: no update in JSON: {}", path.string(), error.what());
}

}  // namespace pellucid::sharing
