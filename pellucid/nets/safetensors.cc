#include "pellucid/nets/safetensors.h"

#include "pellucid/core/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

namespace pellucid::nets {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and so is this code");

using core::Error;
using core::ErrorKind;
using Json = nlohmann::json;  // sorted: a header of many names is read in n log n

constexpr std::uint64_t kLargestHeader = 100'000'000;
constexpr std::uint64_t kMostValues = std::uint64_t{1} << 40;
constexpr const char* kMetadata = "__metadata__";

const std::vector<std::pair<std::string, torch::ScalarType>>& types() {
  static const std::vector<std::pair<std::string, torch::ScalarType>> list = {
      {"F64", torch::kFloat64}, {"F32", torch::kFloat32}, {"F16", torch::kFloat16}, {"BF16", torch::kBFloat16}, {"I64", torch::kInt64},
      {"I32", torch::kInt32},   {"I16", torch::kInt16},   {"I8", torch::kInt8},     {"U8", torch::kUInt8},      {"BOOL", torch::kBool}};
  return list;
}

// JSON from the file as a message can hold it: one line of ASCII, not too long.
std::string excerpt(const Json& json) {
  constexpr std::size_t kMost = 80;
  const std::string text = json.dump(-1, ' ', /*ensure_ascii=*/true);
  return text.size() > kMost ? text.substr(0, kMost) + "..." : text;
}

// One tensor of the header, checked as far as it can be alone.
struct Slot {
  std::string name;
  torch::ScalarType type;
  std::vector<std::int64_t> shape;
  std::uint64_t begin, end;
};

Slot parse_slot(const std::string& name, const Json& json, const std::string& file) {
  auto fail = [&](const std::string& problem) { return Error(ErrorKind::kModel, "{}: tensor {}: {}", file, excerpt(name), problem); };
  Slot slot{.name = name, .type = torch::kFloat32, .shape = {}, .begin = 0, .end = 0};
  if (!json.is_object()) throw fail(fmt::format("got {}, expected an object", json.type_name()));
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!json.contains(key)) throw fail(fmt::format("{} is missing", key));
  }
  const auto& dtype = json["dtype"];
  const auto type = std::find_if(types().begin(), types().end(), [&](const auto& t) { return dtype == t.first; });
  if (type == types().end()) throw fail(fmt::format("dtype: got {}, expected F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL", excerpt(dtype)));
  slot.type = type->second;

  const auto& shape = json["shape"];
  std::uint64_t product = 1;  // of the sizes above 0: libtorch's strides are as large in a tensor without values
  bool empty = false;
  if (!shape.is_array()) throw fail(fmt::format("shape: got {}, expected a list", excerpt(shape)));
  for (const auto& n : shape) {
    if (!n.is_number_unsigned()) throw fail(fmt::format("shape: got {}, expected whole numbers from 0", excerpt(shape)));
    const auto size = n.get<std::uint64_t>();
    empty = empty || size == 0;
    if (__builtin_mul_overflow(product, std::max<std::uint64_t>(size, 1), &product) || product > kMostValues) {
      throw fail(fmt::format("shape: got {}, expected at most {} values", excerpt(shape), kMostValues));
    }
    slot.shape.push_back(static_cast<std::int64_t>(size));
  }

  const auto& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    throw fail(fmt::format("data_offsets: got {}, expected two whole numbers", excerpt(offsets)));
  }
  slot.begin = offsets[0].get<std::uint64_t>();
  slot.end = offsets[1].get<std::uint64_t>();
  const std::uint64_t expected = (empty ? 0 : product) * torch::elementSize(slot.type);
  if (slot.end < slot.begin || slot.end - slot.begin != expected) {
    throw fail(fmt::format("data_offsets: got {}, expected {} bytes", excerpt(offsets), expected));
  }
  return slot;
}

// Parses the header. Refuses names that occur twice (which JSON libraries silently merge), and lists deeper than the
// format's (which would exhaust the stack when a message shows them).
Json parse_header(std::span<const std::uint8_t> text, const std::string& file) {
  std::set<std::string> names;
  auto watch = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth == 1 && event == Event::key && !names.insert(parsed.get<std::string>()).second) {
      throw Error(ErrorKind::kModel, "{}: tensor {}: the name occurs twice", file, excerpt(parsed));
    }
    if (depth > 2 && (event == Event::object_start || event == Event::array_start)) {
      throw Error(ErrorKind::kModel, "{}: offset 8: header: got more than 3 levels, expected names, their keys and lists", file);
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text.begin(), text.end(), watch);
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kModel, "{}: offset 8: the header of {} bytes is not JSON", file, text.size());
  }
  if (!header.is_object()) throw Error(ErrorKind::kModel, "{}: offset 8: header: got {}, expected an object", file, header.type_name());
  return header;
}

}  // namespace

SafeTensors parse_safetensors(std::span<const std::uint8_t> bytes, const std::string& file) {
  std::uint64_t header_size = 0;
  if (bytes.size() < 8) {
    throw Error(ErrorKind::kModel, "{}: offset 0: got {} bytes, expected a header length of 8 bytes", file, bytes.size());
  }
  std::memcpy(&header_size, bytes.data(), 8);
  if (header_size > kLargestHeader || header_size > bytes.size() - 8) {
    throw Error(ErrorKind::kModel, "{}: offset 0: header length: got {}, expected at most {}", file, header_size,
                std::min<std::uint64_t>(kLargestHeader, bytes.size() - 8));
  }
  const Json header = parse_header(bytes.subspan(8, header_size), file);
  const auto data = bytes.subspan(8 + header_size);

  SafeTensors content;
  std::vector<Slot> slots;
  for (const auto& [name, json] : header.items()) {
    if (name != kMetadata) {
      slots.push_back(parse_slot(name, json, file));
      continue;
    }
    if (!json.is_object()) throw Error(ErrorKind::kModel, "{}: {}: got {}, expected an object", file, kMetadata, json.type_name());
    for (const auto& [key, value] : json.items()) {
      if (!value.is_string()) throw Error(ErrorKind::kModel, "{}: {}: {}: got {}, expected text", file, kMetadata, excerpt(key), value.type_name());
      content.metadata[key] = value.get<std::string>();
    }
  }

  std::sort(slots.begin(), slots.end(), [](const Slot& a, const Slot& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t next = 0;
  for (const auto& slot : slots) {
    if (slot.begin != next) {
      throw Error(ErrorKind::kModel, "{}: tensor {}: begins at byte {} of the data, expected {}", file, excerpt(slot.name), slot.begin, next);
    }
    if (slot.end > data.size()) {
      throw Error(ErrorKind::kModel, "{}: tensor {}: ends at byte {} of the data, expected at most {}: the file is truncated", file,
                  excerpt(slot.name), slot.end, data.size());
    }
    Tensor tensor = torch::empty(slot.shape, slot.type);
    if (slot.end > slot.begin) std::memcpy(tensor.data_ptr(), data.data() + slot.begin, slot.end - slot.begin);
    content.tensors[slot.name] = std::move(tensor);
    next = slot.end;
  }
  if (next != data.size()) {
    throw Error(ErrorKind::kModel, "{}: offset {}: got {} more bytes, expected the end of the file", file, 8 + header_size + next,
                data.size() - next);
  }
  return content;
}

SafeTensors read_safetensors(const std::filesystem::path& path) { return parse_safetensors(core::read_file(path), path.string()); }

core::Bytes write_safetensors(const SafeTensors& content) {
  Json header = Json::object();
  if (!content.metadata.empty()) header[kMetadata] = content.metadata;
  std::uint64_t offset = 0;
  std::vector<Tensor> tensors;
  for (const auto& [name, tensor] : content.tensors) {
    auto is_same = [wanted = tensor.scalar_type()](const auto& t) { return t.second == wanted; };
    const auto type = std::find_if(types().begin(), types().end(), is_same);
    if (type == types().end()) throw Error(ErrorKind::kInternal, "tensor \"{}\" has a type that safetensors lacks", name);
    tensors.push_back(tensor.detach().cpu().contiguous());
    const std::uint64_t end = offset + tensors.back().nbytes();
    header[name] = {{"dtype", type->first}, {"shape", tensor.sizes().vec()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begin at a multiple of 8

  core::Bytes bytes(8 + text.size() + offset);
  const std::uint64_t header_size = text.size();
  std::memcpy(bytes.data(), &header_size, 8);
  std::memcpy(bytes.data() + 8, text.data(), text.size());
  auto* out = bytes.data() + 8 + text.size();
  for (const auto& tensor : tensors) {
    if (tensor.nbytes() > 0) std::memcpy(out, tensor.data_ptr(), tensor.nbytes());
    out += tensor.nbytes();
  }
  return bytes;
}

}  // namespace pellucid::nets
