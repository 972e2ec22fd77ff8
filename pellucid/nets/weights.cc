#include "pellucid/nets/weights.h"

#include "pellucid/core/error.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/nets/zoo.h"

#include <set>

namespace pellucid::nets {
namespace {

using core::Error;
using core::ErrorKind;

constexpr const char* kSpecKey = "pellucid.spec";
constexpr const char* kClassesKey = "pellucid.classes";

Architecture find_architecture(const SafeTensors& content, const std::string& file, const std::optional<Spec>& foreign) {
  const auto found = content.metadata.find(kSpecKey);
  if (found == content.metadata.end()) {
    if (foreign) return build(*foreign);
    throw Error(ErrorKind::kModel, "{}: the file does not say which network it holds (metadata \"{}\"); name it with --net", file,
                kSpecKey);
  }
  try {
    return build(spec_from_json(core::Json::parse(found->second)));
  } catch (const core::Json::parse_error&) {
    throw Error(ErrorKind::kModel, "{}: metadata \"{}\" is not JSON", file, kSpecKey);
  } catch (const Error& error) {  // a usage error of the file's, not of the user's
    throw Error(ErrorKind::kModel, "{}: metadata \"{}\": {}", file, kSpecKey, error.what());
  }
}

// The classes' names, where the file holds them.
std::vector<std::string> find_classes(const SafeTensors& content, const std::string& file, std::int64_t expected) {
  const auto found = content.metadata.find(kClassesKey);
  if (found == content.metadata.end()) return {};
  const auto fail = [&](const std::string& why) {
    return Error(ErrorKind::kModel, "{}: metadata \"{}\": {}", file, kClassesKey, why);
  };
  std::vector<std::string> classes;
  try {
    classes = core::Json::parse(found->second).get<std::vector<std::string>>();
  } catch (const core::Json::exception&) {
    throw fail("got something else, expected a list of names");
  }
  if (static_cast<std::int64_t>(classes.size()) != expected) {
    throw fail(fmt::format("got {} names, expected {}: one for each class", classes.size(), expected));
  }
  if (std::set(classes.begin(), classes.end()).size() != classes.size()) throw fail("got a name twice, expected each once");
  return classes;
}

void check(const Entry& entry, const Tensor& tensor, const std::string& file) {
  if (tensor.sizes() != at::IntArrayRef(entry.shape)) {
    throw Error(ErrorKind::kModel, "{}: tensor \"{}\": got shape [{}], expected [{}]", file, entry.name, fmt::join(tensor.sizes(), ", "),
                fmt::join(entry.shape, ", "));
  }
  const auto expected = entry.kind == Entry::Kind::kCounter ? torch::kInt64 : torch::kFloat32;
  if (tensor.scalar_type() != expected) {
    throw Error(ErrorKind::kModel, "{}: tensor \"{}\": got type {}, expected {}", file, entry.name, torch::toString(tensor.scalar_type()),
                torch::toString(expected));
  }
  if (tensor.is_floating_point() && !torch::isfinite(tensor).all().item<bool>()) {
    throw Error(ErrorKind::kModel, "{}: tensor \"{}\": got values that are not finite", file, entry.name);
  }
}

}  // namespace

void save_network(const Network& network, const std::filesystem::path& path, std::map<std::string, std::string> metadata) {
  metadata["format"] = "pt";
  metadata[kSpecKey] = to_json(network.architecture.spec).dump();
  if (!network.classes.empty()) metadata[kClassesKey] = core::Json(network.classes).dump(-1, ' ', false, core::Json::error_handler_t::replace);
  core::write_file(path, write_safetensors({.tensors = network.state, .metadata = std::move(metadata)}));
}

Network load_network(const std::filesystem::path& path, const std::optional<Spec>& foreign) {
  SafeTensors content = read_safetensors(path);
  const std::string file = path.string();
  Network network{.architecture = find_architecture(content, file, foreign), .state = {}, .classes = {}};
  network.classes = find_classes(content, file, network.architecture.spec.classes);
  for (const auto& entry : entries(network.architecture)) {
    const auto found = content.tensors.find(entry.name);
    if (found == content.tensors.end()) {
      if (entry.kind != Entry::Kind::kCounter) throw Error(ErrorKind::kModel, "{}: tensor \"{}\" is missing", file, entry.name);
      network.state[entry.name] = torch::zeros({}, torch::kInt64);  // older PyTorch files lack the counters
      continue;
    }
    check(entry, found->second, file);
    network.state[entry.name] = found->second;
    content.tensors.erase(found);
  }
  if (!content.tensors.empty()) {
    throw Error(ErrorKind::kModel, "{}: tensor {} is not one of {}'s", file, core::Json(content.tensors.begin()->first).dump(),
                network.architecture.spec.net);
  }
  return network;
}

std::map<std::string, std::string> read_metadata(const std::filesystem::path& path) {
  auto metadata = read_safetensors(path).metadata;
  metadata.erase(kSpecKey);
  metadata.erase(kClassesKey);
  metadata.erase("format");
  return metadata;
}

}  // namespace pellucid::nets
