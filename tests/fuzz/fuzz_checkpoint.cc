// States of trainings. The input is JSON text, a line break, and numbers for the tensors: a state whose parts are
// replaced by it, so that what lies behind the file's format and its checksum is reached.
#include "pellucid/training/checkpoint.h"

#include "tests/evasion/tiny.h"
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <string>

namespace {

using namespace pellucid;

const core::Json kIdentity = {{"version", 2}, {"options", {{"epochs", 4}, {"milestones", {1, 2}}}}};
constexpr std::int64_t kImages = 24;

training::TrainingOptions options() {
  training::TrainingOptions o;
  o.epochs = 4;
  o.batch_size = 8;
  return o;
}

nets::SafeTensors sound_state(const training::Model& model) {
  nets::SafeTensors file;
  for (const auto& [name, tensor] : model.network.state) file.tensors["network/" + name] = tensor;
  for (const auto& name : training::parameters(model).names) {
    for (const char* prefix : {"optimiser/first/", "optimiser/second/"})
      file.tensors[prefix + name] = torch::zeros_like(model.network.state.at(name));
  }
  file.metadata["identity"] = kIdentity.dump();
  return file;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const training::Model model{.network = tiny::normed()};
  static const training::TrainingOptions how = options();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto end = std::min(text.find('\n'), text.size());
  try {
    auto file = sound_state(model);
    file.metadata[size % 7 == 0 ? "identity" : "state"] = std::string(text.substr(0, end));
    if (size % 7 == 0) file.metadata["state"] = "{}";
    for (std::size_t i = end + 1; i + 1 < size;
         i += 2) {  // changes to a tensor each: gone, another type, another shape, not finite
      auto at = file.tensors.begin();
      std::advance(at, data[i] % file.tensors.size());
      switch (data[i + 1] % 5) {
        case 0: file.tensors.erase(at); break;
        case 1: at->second = at->second.to(torch::kFloat64); break;
        case 2: at->second = torch::zeros({data[i + 1], 1}); break;
        case 3: at->second = torch::full_like(at->second.to(torch::kFloat32), NAN); break;
        default: file.tensors[std::string(1, static_cast<char>(data[i]))] = torch::zeros({}); break;
      }
      if (file.tensors.empty()) break;
    }
    const auto state = training::parse_state(
        file, {.initial = model, .options = how, .images = kImages, .identity = kIdentity}, "input");
    const bool sound = state.epoch >= 0 && state.epoch <= how.epochs && state.batch >= 0 && state.batch < 3 &&
                       state.optimiser.steps == state.epoch * 3 + state.batch &&
                       static_cast<std::int64_t>(state.curve.size()) == state.epoch;
    if (!sound) std::abort();
    (void)training::to_json(state.curve);
  } catch (const core::Error& error) {
    const bool expected = error.kind() == core::ErrorKind::kModel || error.kind() == core::ErrorKind::kUsage;
    if (!expected || std::string(error.what()).find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
