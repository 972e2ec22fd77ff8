#include "pellucid/gradients/truth.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/nets/safetensors.h"

#include <algorithm>

namespace pellucid::gradients {
namespace {

using core::Error;
using core::ErrorKind;

constexpr const char* kSchema = "pellucid.truth/1";
constexpr const char* kUpdate = "update";

}  // namespace

void save_truth(const Truth& truth, const std::filesystem::path& path) {
  nets::SafeTensors file{.tensors = {{"images", truth.images}, {"labels", truth.labels}},
                         .metadata = {{"schema", kSchema}}};
  if (!truth.update.empty()) file.metadata[kUpdate] = truth.update;
  nets::save_safetensors(file, path, 0600);
}

Truth load_truth(const std::filesystem::path& path, const nets::Spec& spec) {
  return load_truth(nets::SafeTensorsFile(path), spec);
}

Truth load_truth(const nets::SafeTensorsFile& file, const nets::Spec& spec) {
  const auto schema = file.metadata().find("schema");  // tensors of these names are a truth without it too
  if (schema != file.metadata().end() && schema->second != kSchema) {
    throw Error(ErrorKind::kModel, "{}: schema: got {}, expected {}: got no truth", file.name(),
                core::printable(schema->second), kSchema);
  }
  const auto images = file.tensors().find("images"), labels = file.tensors().find("labels");
  bool shaped = images != file.tensors().end() && labels != file.tensors().end();
  if (shaped) {
    const auto& a = images->second;
    const auto& b = labels->second;
    shaped = a.type == torch::kFloat32 && b.type == torch::kInt64 && a.shape.size() == 4 && b.shape.size() == 1 &&
             a.shape[0] == b.shape[0] && std::equal(spec.input.begin(), spec.input.end(), a.shape.begin() + 1) &&
             a.shape[0] > 0;
  }
  if (!shaped) {
    throw Error(ErrorKind::kModel, "{}: got no truth of {}, expected float images [B, {}] and a label for each",
                file.name(), spec.net, fmt::join(spec.input, ", "));
  }
  Truth truth{.images = file.read("images"), .labels = file.read("labels")};
  file.verify();
  const bool in_range = truth.images.ge(0).logical_and(truth.images.le(1)).all().item<bool>() &&
                        truth.labels.ge(0).logical_and(truth.labels.lt(spec.classes)).all().item<bool>();
  if (!in_range)
    throw Error(ErrorKind::kModel, "{}: got pixels outside [0, 1] or labels outside 0 to {}", file.name(),
                spec.classes - 1);
  if (const auto update = file.metadata().find(kUpdate); update != file.metadata().end()) truth.update = update->second;
  return truth;
}

void check_belongs(const Truth& truth, const sharing::Observation& observation) {
  const auto refuse = [](const std::string& why) {
    throw Error(ErrorKind::kModel, "the truth is not this update's: {}; give the file that was captured with it", why);
  };
  const auto images = truth.images.size(0), batch = observation.update.protocol.batch_size;
  if (images != batch)
    refuse(fmt::format("got {} image{}, the update is of {}", images, images == 1 ? "" : "s", batch));
  if (!observation.labels.empty()) {
    const Tensor shared = torch::tensor(observation.labels, torch::kInt64);
    if (!torch::equal(std::get<0>(shared.sort()), std::get<0>(truth.labels.sort())))
      refuse("its labels are not those that were shared");
  }
  if (truth.update.empty()) return;
  std::vector<std::string> digests;
  for (const auto& round : sharing::rounds(observation)) digests.push_back(sharing::digest(round.update));
  if (std::ranges::find(digests, truth.update) == digests.end()) {
    refuse(fmt::format("it belongs to the update {}, this is {:.12}", core::printable(truth.update.substr(0, 12)),
                       fmt::join(digests, ", ")));
  }
}

}  // namespace pellucid::gradients
