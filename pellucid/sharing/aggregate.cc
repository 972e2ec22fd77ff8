#include "pellucid/sharing/aggregate.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/sharing/formats.h"
#include "pellucid/sharing/mechanisms.h"

#include <algorithm>
#include <array>

namespace pellucid::sharing {
namespace {

using core::Error;
using core::ErrorKind;
using nlohmann::json;

// The types that an update has, by the names of the format.
constexpr std::array<std::pair<const char*, torch::ScalarType>, 2> kTypes = {
    {{"F32", torch::kFloat32}, {"F64", torch::kFloat64}}};

}  // namespace

FlatUpdate read_flat(const std::filesystem::path& path) {
  const nets::SafeTensorsFile file(path);
  const auto schema = file.metadata().find("schema");
  if (schema == file.metadata().end() || schema->second != kUpdateSchema) {
    throw Error(ErrorKind::kModel,
                "{}: schema: got {}, expected {}: is this an update, as `pellucid capture` writes it?", file.name(),
                schema == file.metadata().end() ? "none" : core::printable(schema->second), kUpdateSchema);
  }
  json given = file.json("observation");
  if (!given.is_object())
    throw Error(ErrorKind::kModel, "{}: metadata \"observation\": expected an object", file.name());
  given["labels"] = nullptr;
  json tensors = json::object();
  FlatUpdate flat;
  for (const auto& [name, info] : file.tensors()) {
    const auto type = std::ranges::find(kTypes, info.type, &std::pair<const char*, torch::ScalarType>::second);
    if (type == kTypes.end()) {
      throw Error(ErrorKind::kModel, "{}: \"{}\": got {}, expected float32 or float64", file.name(),
                  core::printable(name), torch::toString(info.type));
    }
    tensors[name] = {{"type", type->first}, {"shape", info.shape}};
    const Tensor values = file.read(name).to(torch::kFloat64).contiguous();
    const auto* data = values.data_ptr<double>();
    flat.values.insert(flat.values.end(), data, data + values.numel());
  }
  file.verify();
  flat.layout =
      json({{"tensors", tensors}, {"observation", given}}).dump(-1, ' ', false, json::error_handler_t::replace);
  return flat;
}

namespace {

// The tensors of the layout with the mean's values.
std::map<std::string, Tensor> tensors_of(const json& layout, const std::vector<double>& mean) {
  std::map<std::string, Tensor> tensors;
  std::uint64_t taken = 0;
  for (const auto& [name, entry] : layout.at("tensors").items()) {
    const auto shape = entry.at("shape").get<std::vector<std::int64_t>>();
    const auto type = std::ranges::find(kTypes, entry.at("type").get<std::string>(),
                                        &std::pair<const char*, torch::ScalarType>::first);
    std::uint64_t size = 1;
    for (const auto n : shape) {
      const bool fits = n >= 0 && static_cast<std::uint64_t>(n) <= mean.size() && size <= mean.size();
      size = fits ? size * static_cast<std::uint64_t>(n) : mean.size() + 1;
    }
    if (type == kTypes.end() || size > mean.size() - taken)
      throw Error(ErrorKind::kModel, "\"{}\": got more values than the {} that were added up", core::printable(name),
                  mean.size());
    const auto* data = mean.data() + taken;
    taken += size;
    tensors[name] = torch::tensor(at::ArrayRef<double>(data, size), torch::kFloat64).reshape(shape).to(type->second);
  }
  if (taken != mean.size()) throw Error(ErrorKind::kModel, "got places for {} values, expected {}", taken, mean.size());
  return tensors;
}

// What the update of all says of itself.
json observation_of(json given, const MeanOf& of) {
  for (const auto* key : {"batch_size", "clients"}) {
    const auto before = given.value(key, std::int64_t{1});
    if (before < 1 || before > INT64_MAX / of.clients)
      throw Error(ErrorKind::kModel, "{}: got {}, expected a number above 0", key, before);
    given[key] = before * of.clients;
  }
  auto mechanisms = parse_mechanisms(given.value("mechanisms", ""));
  mechanisms.push_back({.name = "limit", .value = of.range});
  given["mechanisms"] = to_string(mechanisms);
  given["labels"] = nullptr;
  return given;
}

}  // namespace

void save_mean(const std::string& layout, const std::vector<double>& mean, const MeanOf& of,
               const std::filesystem::path& path) {
  nets::SafeTensors content;
  try {
    const json parsed = json::parse(layout);
    content.tensors = tensors_of(parsed, mean);
    content.metadata = {
        {"schema", kUpdateSchema},
        {"observation", observation_of(parsed.at("observation"), of).dump()},
        {"aggregation", json({{"scheme", of.scheme}, {"step", of.step}}).dump()},
        {"threat_model", fmt::format("the attacker is given the mean of the updates of {} clients, added "
                                     "up {}",
                                     of.clients, of.scheme)}};
  } catch (const json::exception&) {
    throw Error(ErrorKind::kModel, "the clients' layout: got {}, expected that of an update", core::quoted(layout));
  } catch (const Error& error) {
    throw Error(ErrorKind::kModel, "the clients' layout: {}", error.what());
  }
  nets::save_safetensors(content, path);
}

}  // namespace pellucid::sharing
