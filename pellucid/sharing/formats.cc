#include "pellucid/sharing/formats.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include <algorithm>

namespace pellucid::sharing {
namespace {

using core::Error;
using core::ErrorKind;
using Json = nlohmann::json;

// With "id", the test image's number, which nobody reads any more.
constexpr const char* kEarlierSchema = "pellucid.update/1";

// Checks that the file's tensors are exactly the network's parameters, and its statistics where they are shared.
void check_tensors(const nets::SafeTensorsFile& file, const nets::Architecture& architecture,
                   const Protocol& protocol) {
  const auto expected = protocol.arithmetic == Arithmetic::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  std::size_t count = 0;
  for (const auto& entry : nets::entries(architecture)) {
    const bool gradient = entry.kind == nets::Entry::Kind::kParameter;
    if (!gradient && !(protocol.share_statistics && entry.kind == nets::Entry::Kind::kStatistic)) continue;
    ++count;
    const auto what = fmt::format("the {} \"{}\"", gradient ? "gradient of" : "statistic", entry.name);
    const auto found = file.tensors().find(entry.name);
    if (found == file.tensors().end()) throw Error(ErrorKind::kModel, "{}: {} is missing", file.name(), what);
    const auto& [type, shape, begin, end] = found->second;
    if (shape != entry.shape || type != expected) {
      throw Error(ErrorKind::kModel, "{}: {}: got {} [{}], expected {} [{}]", file.name(), what, torch::toString(type),
                  fmt::join(shape, ", "), torch::toString(expected), fmt::join(entry.shape, ", "));
    }
  }
  if (file.tensors().size() != count) {
    throw Error(ErrorKind::kModel, "{}: got {} tensors, expected {}: one for each parameter{} of {}", file.name(),
                file.tensors().size(), count, protocol.share_statistics ? " and statistic" : "", architecture.spec.net);
  }
}

// What the metadata say of the update, checked against the network.
Observation parse_given(const Json& given, const nets::Network& network) {
  const auto fail = [](const std::string& what, const Json& got, const std::string& expected) {
    return Error(ErrorKind::kModel, "{}: got {}, expected {}", what,
                 got.is_structured() ? got.type_name() : core::printable(got.dump()), expected);
  };
  const auto get = [&](const char* key) -> const Json& {
    if (!given.contains(key)) throw Error(ErrorKind::kModel, "{} is missing", key);
    return given.at(key);
  };
  if (!given.is_object()) throw fail("the metadata", given, "an object");
  Observation observation{.network = network, .update = {}, .labels = {}};
  Update& update = observation.update;
  const auto& batch_size = get("batch_size");
  if (!batch_size.is_number_unsigned() || batch_size < 1 || batch_size > INT64_MAX)
    throw fail("batch_size", batch_size, "a whole number from 1");
  Protocol& protocol = update.protocol;
  protocol.batch_size = batch_size;
  const auto mode = nets::mode_field("mode", protocol.mode, "");
  if (!get("mode").is_string() || !mode.set_text(get("mode").get<std::string>()))
    throw fail("mode", get("mode"), mode.expected);
  if (given.contains("arithmetic")) {
    const auto arithmetic = arithmetic_field("arithmetic", protocol.arithmetic, "");
    if (!given.at("arithmetic").is_string() || !arithmetic.set_text(given.at("arithmetic").get<std::string>()))
      throw fail("arithmetic", given.at("arithmetic"), arithmetic.expected);
  }
  if (given.contains("mechanisms")) {
    const Json& text = given.at("mechanisms");
    if (!text.is_string()) throw fail("mechanisms", text, "a text such as \"clip 1\"");
    try {
      protocol.mechanisms = parse_mechanisms(text.get<std::string>());
    } catch (const Error& error) {
      throw Error(ErrorKind::kModel, "{}", error.what());
    }
  }
  core::Fields more = fields(protocol.local);
  more.push_back(core::field("clients", protocol.clients, "", 1, 4096));
  more.push_back(core::field("share_statistics", protocol.share_statistics, ""));
  for (const auto& field : more) {
    if (!given.contains(field.name)) continue;
    try {
      core::assign({field}, {{field.name, given.at(field.name)}}, "");
    } catch (const Error&) {
      throw fail(field.name, given.at(field.name), field.expected);
    }
  }
  if (protocol.batch_size % protocol.clients != 0)
    throw fail("clients", protocol.clients, fmt::format("a number that divides the {} images", protocol.batch_size));
  if (!get("model").is_string()) throw fail("model", get("model"), "the network's fingerprint");
  update.model = get("model");

  if (const auto& labels = get("labels"); !labels.is_null()) {
    if (!labels.is_array()) throw fail("labels", labels, "a list, or null");
    const std::int64_t classes = network.architecture.spec.classes;
    for (const auto& label : labels) {
      if (!label.is_number_integer() || label < 0 || label >= classes)
        throw fail("label", label, fmt::format("0 to {}", classes - 1));
      observation.labels.push_back(label);
    }
    if (static_cast<std::int64_t>(labels.size()) != protocol.batch_size) {
      throw Error(ErrorKind::kModel, "labels: got {}, expected {}: one for each image", labels.size(),
                  protocol.batch_size);
    }
  }

  if (!given.contains("classes") || given.at("classes").is_null()) return observation;
  const auto& classes = given.at("classes");
  const bool names = classes.is_array() &&
                     static_cast<std::int64_t>(classes.size()) == network.architecture.spec.classes &&
                     std::all_of(classes.begin(), classes.end(), [](const Json& c) { return c.is_string(); });
  if (!names) throw fail("classes", classes, fmt::format("{} names", network.architecture.spec.classes));
  const auto listed = classes.get<std::vector<std::string>>();
  if (!network.classes.empty() && network.classes != listed)
    throw Error(ErrorKind::kModel, "classes: the update's have other names than the network's");
  observation.network.classes = listed;
  return observation;
}

Observation read_safetensors(const std::filesystem::path& path, const nets::Network& network) {
  return load_observation(nets::SafeTensorsFile(path), network);
}

}  // namespace

const std::vector<Format>& formats() {
  static const std::vector<Format> rows = {
      {"safetensors", "what `pellucid capture` writes", ".safetensors", read_safetensors},
  };
  return rows;
}

void save_observation(const Observation& observation, const std::filesystem::path& path) {
  auto labels = observation.labels;
  std::sort(labels.begin(), labels.end());
  const auto& classes = observation.network.classes;
  const auto& protocol = observation.update.protocol;
  Json given = {{"batch_size", protocol.batch_size},
                {"mode", nets::to_string(protocol.mode)},
                {"model", observation.update.model},
                {"labels", labels.empty() ? Json() : Json(labels)},
                {"classes", classes.empty() ? Json() : Json(classes)}};
  if (protocol.arithmetic != Arithmetic::kFloat32) given["arithmetic"] = to_string(protocol.arithmetic);
  auto local = protocol.local;
  if (local.epochs > 0) given.update(core::to_json(fields(local)));
  if (protocol.clients > 1) given["clients"] = protocol.clients;
  if (protocol.share_statistics) given["share_statistics"] = true;
  if (!protocol.mechanisms.empty()) given["mechanisms"] = to_string(protocol.mechanisms);
  nets::TensorMap tensors = observation.update.gradient;
  for (const auto& [name, tensor] : observation.update.statistics) tensors[name] = tensor;
  nets::save_safetensors({.tensors = std::move(tensors),
                          .metadata = {{"schema", kUpdateSchema},
                                       {"observation", given.dump(-1, ' ', false, Json::error_handler_t::replace)},
                                       {"threat_model", describe(observation)}}},
                         path);
}

Observation load_observation(const std::filesystem::path& path, const nets::Network& network) {
  const auto row = std::ranges::find(formats(), path.extension().string(), &Format::extension);
  return (row == formats().end() ? formats().front() : *row).read(path, network);
}

Observation load_observation(const nets::SafeTensorsFile& file, const nets::Network& network) {
  const std::string& name = file.name();
  const auto schema = file.metadata().find("schema");
  if (schema == file.metadata().end() || (schema->second != kUpdateSchema && schema->second != kEarlierSchema)) {
    throw Error(ErrorKind::kModel, "{}: schema: got {}, expected {}: is this an update?", name,
                schema == file.metadata().end() ? "none" : core::printable(schema->second), kUpdateSchema);
  }
  Observation observation{.network = network, .update = {}, .labels = {}};
  const Json given = file.json("observation");
  try {
    observation = parse_given(given, network);
  } catch (Error& error) {
    throw error.add_context(name + ": metadata \"observation\"");
  }
  Update& update = observation.update;
  const auto fingerprint = nets::fingerprint(network);
  if (update.model != fingerprint) {
    throw Error(ErrorKind::kModel, "{}: computed with the network {}, not with the one given, {:.12}", name,
                core::printable(update.model.substr(0, 12)), fingerprint);
  }
  check_tensors(file, network.architecture, update.protocol);
  for (const auto& entry : nets::entries(network.architecture)) {
    if (!file.tensors().contains(entry.name)) continue;
    const bool gradient = entry.kind == nets::Entry::Kind::kParameter;
    (gradient ? update.gradient : update.statistics)[entry.name] = file.read(entry.name);
  }
  file.verify();
  for (const auto* shared : {&update.gradient, &update.statistics}) {
    for (const auto& [entry, tensor] : *shared) {
      if (torch::isfinite(tensor).all().item<bool>()) continue;
      throw Error(ErrorKind::kModel,
                  "{}: the {} \"{}\": got values that are not finite: no image can be read back from them", name,
                  shared == &update.gradient ? "gradient of" : "statistic", entry);
    }
  }
  observation.id = static_cast<std::int64_t>(std::stoull(digest(update).substr(0, 15), nullptr, 16));
  return observation;
}

}  // namespace pellucid::sharing
