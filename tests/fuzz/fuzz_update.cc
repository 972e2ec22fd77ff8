// Updates: whole files, and text that stands where their metadata describe the observation. What was read must be read
// again.
#include "pellucid/sharing/formats.h"

#include "tests/fuzz/fuzz.h"

namespace {

using namespace pellucid;

// A network with ten parameters, so that files are small.
const nets::Network& network() {
  static const nets::Network tiny = [] {
    nets::Architecture architecture{
        .spec = {.net = "tiny", .input = {1, 2, 2}, .classes = 2},
        .layers = {{nets::Flatten{}, "", {nets::kNetworkInput}}, {nets::Linear{4, 2}, "fc", {0}}}};
    auto state = nets::initialise(architecture, 0);
    return nets::Network{.architecture = std::move(architecture), .state = std::move(state)};
  }();
  return tiny;
}

// A file whose metadata describe the observation as `text` does, with the network's fingerprint for "MODEL".
core::Bytes described(std::string text) {
  static const std::string fingerprint = nets::fingerprint(network());
  if (const auto at = text.find("MODEL"); at != std::string::npos) text.replace(at, 5, fingerprint);
  return nets::write_safetensors({.tensors = {{"fc.weight", torch::ones({2, 4})}, {"fc.bias", torch::ones({2})}},
                                  .metadata = {{"schema", "pellucid.update/2"}, {"observation", text}}});
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return read_or_refuse(core::ErrorKind::kModel, [&] {
    // A file begins with the length of its header, in ours a multiple of 8.
    const bool text = size > 0 && data[0] == '{';
    core::Bytes bytes(data, data + size);
    if (text) bytes = described({bytes.begin(), bytes.end()});
    const auto observation = sharing::load_observation(nets::SafeTensorsFile(bytes, "input"), network());
    if (observation.update.protocol.batch_size < 1 || observation.update.gradient.size() != 2) std::abort();
    if (!observation.labels.empty() &&
        static_cast<std::int64_t>(observation.labels.size()) != observation.update.protocol.batch_size)
      std::abort();
  });
}
