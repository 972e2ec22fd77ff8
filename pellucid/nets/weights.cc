#include "pellucid/nets/weights.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/nets/architecture_json.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/nets/zoo.h"

#include <algorithm>
#include <set>

namespace pellucid::nets {
namespace {

using core::Error;
using core::ErrorKind;

constexpr const char* kSpecKey = "pellucid.spec";
constexpr const char* kArchitectureKey = "pellucid.architecture";
constexpr const char* kClassesKey = "pellucid.classes";

// The spec that the file's metadata hold, if they do.
std::optional<Spec> written_spec(const SafeTensorsFile& file) {
  if (!file.metadata().contains(kSpecKey)) return std::nullopt;
  const auto json = file.json(kSpecKey);
  try {
    const bool flat =
        json.is_object() && json.size() <= 16 && std::all_of(json.begin(), json.end(), [](const auto& value) {
          return !value.is_object() &&
                 std::none_of(value.begin(), value.end(), [](const auto& item) { return item.is_structured(); });
        });
    if (!flat) throw Error(ErrorKind::kModel, "got something else than the description of a network");
    Spec spec = spec_from_json(core::Json(json));
    static_cast<void>(build(spec));
    return spec;
  } catch (const Error& error) {  // a usage error of the file's, not of the user's
    throw Error(ErrorKind::kModel, "{}: metadata \"{}\": {}", file.name(), kSpecKey,
                core::printable(error.what(), 400));
  }
}

// The architecture that the file's metadata hold, if they do: files of before hold the spec alone.
std::optional<Architecture> written_architecture(const SafeTensorsFile& file) {
  if (!file.metadata().contains(kArchitectureKey)) {
    const auto spec = written_spec(file);
    return spec ? std::optional(build(*spec)) : std::nullopt;
  }
  try {
    return architecture_from_json(file.json(kArchitectureKey));
  } catch (Error& error) {
    throw error.add_context(fmt::format("{}: metadata \"{}\"", file.name(), kArchitectureKey));
  }
}

// What stands before the names of the network's tensors: "module.", say; "" where nothing does, or where none fits.
std::string find_prefix(const SafeTensorsFile& file, const std::vector<Entry>& expected) {
  const auto fits = [&](const std::string& prefix) {
    return std::all_of(expected.begin(), expected.end(), [&](const Entry& entry) {
      return entry.kind == Entry::Kind::kCounter || file.tensors().contains(prefix + entry.name);
    });
  };
  if (fits("")) return "";
  std::set<std::string> prefixes;
  for (const auto& [name, unused] : file.tensors()) {
    if (!name.ends_with("." + expected.front().name)) continue;
    const auto prefix = name.substr(0, name.size() - expected.front().name.size());
    if (fits(prefix)) prefixes.insert(prefix);
  }
  if (prefixes.size() > 1) {
    throw Error(ErrorKind::kModel, "{}: holds several networks, below {} and {}: save one of them alone", file.name(),
                core::quoted(*prefixes.begin()), core::quoted(*std::next(prefixes.begin())));
  }
  return prefixes.empty() ? "" : *prefixes.begin();
}

// The spec of a state dict that came without one: classes and channels are those of its last and first layer.
Spec inferred_spec(const SafeTensorsFile& file, const Foreign& foreign) {
  Spec spec{.net = foreign.net, .input = {3, 32, 32}};
  const auto pattern = entries(build(spec));  // the names do not depend on the sizes
  const auto prefix = find_prefix(file, pattern);
  const auto sizes = [&](const Entry& entry) {
    const auto found = file.tensors().find(prefix + entry.name);
    return found == file.tensors().end() ? entry.shape : found->second.shape;
  };
  if (const auto first = sizes(pattern.front()); first.size() == 4)
    spec.input = {first[1], first[1] == 1 ? 28 : 32, first[1] == 1 ? 28 : 32};
  if (const auto last = sizes(pattern.back()); last.size() == 1) spec.classes = last[0];  // the last layer's bias
  if (!foreign.input.empty()) spec.input = foreign.input;
  spec.mean = foreign.mean;
  spec.deviation = foreign.deviation;
  return spec;
}

void compare(const Spec& written, const Foreign& foreign, const std::string& file) {
  const auto refuse = [&](const char* what, const std::string& got, const std::string& expected) {
    throw Error(ErrorKind::kUsage, "{}: {}: got {}, but the file itself says {}; leave it out", file, what, got,
                expected);
  };
  const auto list = [](const auto& values) { return fmt::format("[{}]", fmt::join(values, ", ")); };
  if (!foreign.net.empty() && foreign.net != written.net) refuse("network", core::quoted(foreign.net), written.net);
  if (!foreign.input.empty() && foreign.input != written.input)
    refuse("input", list(foreign.input), list(written.input));
  if (!foreign.mean.empty() && foreign.mean != written.mean) refuse("mean", list(foreign.mean), list(written.mean));
  if (!foreign.deviation.empty() && foreign.deviation != written.deviation)
    refuse("deviation", list(foreign.deviation), list(written.deviation));
}

Architecture find_architecture(const SafeTensorsFile& file, const Foreign& foreign) {
  if (auto written = written_architecture(file)) {
    compare(written->spec, foreign, file.name());
    return *std::move(written);
  }
  if (!foreign.net.empty()) return build(inferred_spec(file, foreign));
  throw Error(ErrorKind::kModel,
              "{}: the file does not say which network it holds (metadata \"{}\"); name it with --net", file.name(),
              kArchitectureKey);
}

// The classes' names, where the file holds them.
std::vector<std::string> find_classes(const SafeTensorsFile& file, std::int64_t expected) {
  if (!file.metadata().contains(kClassesKey)) return {};
  const auto fail = [&](const std::string& why) {
    return Error(ErrorKind::kModel, "{}: metadata \"{}\": {}", file.name(), kClassesKey, why);
  };
  std::vector<std::string> classes;
  try {
    classes = file.json(kClassesKey).get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception&) {
    throw fail("got something else, expected a list of names");
  }
  if (static_cast<std::int64_t>(classes.size()) != expected) {
    throw fail(fmt::format("got {} names, expected {}: one for each class", classes.size(), expected));
  }
  if (std::set(classes.begin(), classes.end()).size() != classes.size())
    throw fail("got a name twice, expected each once");
  return classes;
}

// Refuses a tensor of another shape, before it is read.
void check(const Entry& entry, const TensorInfo& info, const SafeTensorsFile& file, const Spec& spec) {
  if (info.shape == entry.shape) return;
  // A linear layer's inputs.
  const bool of_the_images = entry.shape.size() == 2 && info.shape.size() == 2 && info.shape[0] == entry.shape[0];
  throw Error(
      ErrorKind::kModel, "{}: tensor \"{}\": got shape [{}], expected [{}]{}", file.name(), entry.name,
      fmt::join(info.shape, ", "), fmt::join(entry.shape, ", "),
      of_the_images ? fmt::format(" for images of {}: does the network take others?", fmt::join(spec.input, "x")) : "");
}

// A parameter or statistic as float32, a counter as int64.
// @param from out: the types that were converted.
Tensor as_expected(const Entry& entry, Tensor tensor, const SafeTensorsFile& file, std::set<std::string>& from) {
  const bool counter = entry.kind == Entry::Kind::kCounter;
  const auto wanted = counter ? torch::kInt64 : torch::kFloat32;
  const auto got = tensor.scalar_type();
  if (!counter && !tensor.is_floating_point()) {
    throw Error(ErrorKind::kModel, "{}: tensor \"{}\": got type {}, expected Float", file.name(), entry.name,
                torch::toString(got));
  }
  if (tensor.is_floating_point()) {
    tensor = tensor.to(torch::kFloat32);
    if (!torch::isfinite(tensor).all().item<bool>()) {
      throw Error(ErrorKind::kModel, "{}: tensor \"{}\": got values that are not finite{}", file.name(), entry.name,
                  got == torch::kFloat32 ? "" : " in float32");
    }
  }
  if (got != wanted && !counter) from.insert(torch::toString(got));
  return tensor.to(wanted);
}

// The part of the network that a tensor belongs to: the first word of its name.
std::string part_of(const std::string& name) { return name.substr(0, name.find('.')); }

// Says which tensors are beside the network's, and refuses those inside its parts: the network is another one then.
void check_rest(const SafeTensorsFile& file, const std::string& prefix, const std::vector<Entry>& expected,
                const std::string& net, std::vector<std::string>& notes) {
  std::set<std::string> own, parts;
  for (const auto& entry : expected) own.insert(prefix + entry.name), parts.insert(part_of(entry.name));
  std::vector<std::string> rest;
  for (const auto& [name, unused] : file.tensors()) {
    if (own.contains(name)) continue;
    if (name.starts_with(prefix) && parts.contains(part_of(name.substr(prefix.size())))) {
      throw Error(ErrorKind::kModel, "{}: tensor {} is not one of {}'s: is it another network?", file.name(),
                  core::quoted(name), net);
    }
    rest.push_back(core::quoted(name));
  }
  if (rest.empty()) return;
  const auto count = rest.size();
  if (count > 5) rest.resize(5), rest.push_back("...");
  notes.push_back(fmt::format("{}: {} not {}'s {} left out: {}", file.name(),
                              count == 1 ? "a tensor that is" : fmt::format("{} tensors that are", count), net,
                              count == 1 ? "was" : "were", fmt::join(rest, ", ")));
}

Network read_network(const std::filesystem::path& path, const Foreign& foreign, std::vector<std::string>& notes) {
  const SafeTensorsFile file(path);
  Network network{.architecture = find_architecture(file, foreign), .state = {}, .classes = {}};
  const Spec& spec = network.architecture.spec;
  network.classes = find_classes(file, spec.classes);
  const auto expected = entries(network.architecture);
  const auto prefix = find_prefix(file, expected);
  for (const auto& entry : expected) {
    const auto found = file.tensors().find(prefix + entry.name);
    if (found != file.tensors().end()) {
      check(entry, found->second, file, spec);
    } else if (entry.kind != Entry::Kind::kCounter) {
      throw Error(ErrorKind::kModel, "{}: tensor \"{}\" is missing: is it another network than {}?", file.name(),
                  entry.name, spec.net);
    }
  }
  std::vector<std::string> remarks;
  if (!file.metadata().contains(kSpecKey) && !file.metadata().contains(kArchitectureKey)) {
    remarks.push_back(fmt::format("{}: taken for {} on images of {} with {} classes, {}", file.name(), spec.net,
                                  fmt::join(spec.input, "x"), spec.classes,
                                  spec.mean.empty() ? "not normalised" : "normalised as given"));
  }
  check_rest(file, prefix, expected, spec.net, remarks);
  std::set<std::string> from;
  for (const auto& entry : expected) {
    network.state[entry.name] = file.tensors().contains(prefix + entry.name)
                                    ? as_expected(entry, file.read(prefix + entry.name), file, from)
                                    : torch::zeros({}, torch::kInt64);  // older PyTorch files lack the counters
  }
  file.verify();
  if (!from.empty())
    remarks.push_back(fmt::format("{}: converted to float32 from {}", file.name(), fmt::join(from, ", ")));
  if (!prefix.empty())
    remarks.push_back(fmt::format("{}: read without the prefix {} of its names", file.name(), core::quoted(prefix)));
  notes.insert(notes.end(), remarks.begin(), remarks.end());
  return network;
}

}  // namespace

void save_network(const Network& network, const std::filesystem::path& path,
                  std::map<std::string, std::string> metadata) {
  metadata["format"] = "pt";
  metadata[kArchitectureKey] = to_json(network.architecture).dump();
  if (!network.classes.empty())
    metadata[kClassesKey] = core::Json(network.classes).dump(-1, ' ', false, core::Json::error_handler_t::replace);
  save_safetensors({.tensors = network.state, .metadata = std::move(metadata)}, path);
}

const std::vector<Reader>& readers() {
  static const std::vector<Reader> rows = {
      {"safetensors", "weights under PyTorch's names, as `pellucid train` and safetensors.torch write them",
       ".safetensors", read_network},
  };
  return rows;
}

Network load_network(const std::filesystem::path& path, const Foreign& foreign, std::vector<std::string>* notes) {
  const auto row = std::ranges::find(readers(), path.extension().string(), &Reader::extension);
  std::vector<std::string> unread;
  return (row == readers().end() ? readers().front() : *row).read(path, foreign, notes == nullptr ? unread : *notes);
}

std::map<std::string, std::string> read_metadata(const std::filesystem::path& path) {
  const SafeTensorsFile file(path);
  file.verify();
  auto metadata = file.metadata();
  metadata.erase(kSpecKey);
  metadata.erase(kArchitectureKey);
  metadata.erase(kClassesKey);
  metadata.erase("format");
  return metadata;
}

}  // namespace pellucid::nets
