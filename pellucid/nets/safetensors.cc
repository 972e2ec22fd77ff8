#include "pellucid/nets/safetensors.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>

namespace pellucid::nets {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and so is this code");

using core::Error;
using core::ErrorKind;
using Json = nlohmann::json;  // sorted: equal content gives equal text

constexpr std::uint64_t kLargestHeader = 16 << 20;
constexpr std::size_t kMostNames = 1 << 17, kMostDimensions = 64;
constexpr std::uint64_t kMostValues = std::uint64_t{1} << 40;
constexpr const char* kMetadata = "__metadata__";
// What a checksum begins with: damage to its key is seen by it.
constexpr const char* kChecksumForm = "pellucid sha256 ";

const std::vector<std::pair<std::string, torch::ScalarType>>& types() {
  static const std::vector<std::pair<std::string, torch::ScalarType>> list = {
      {"F64", torch::kFloat64}, {"F32", torch::kFloat32}, {"F16", torch::kFloat16}, {"BF16", torch::kBFloat16},
      {"I64", torch::kInt64},   {"I32", torch::kInt32},   {"I16", torch::kInt16},   {"I8", torch::kInt8},
      {"U8", torch::kUInt8},    {"BOOL", torch::kBool}};
  return list;
}

// JSON from the file as a message can hold it.
std::string excerpt(const Json& json) { return core::printable(json.dump()); }

// What the header says of one tensor, checked as far as it can be alone.
TensorInfo tensor_info(const std::string& name, const Json& json, const std::string& file) {
  auto fail = [&](const std::string& problem) {
    return Error(ErrorKind::kModel, "{}: tensor {}: {}", file, core::quoted(name), problem);
  };
  TensorInfo info;
  if (!json.is_object()) throw fail(fmt::format("got {}, expected an object", json.type_name()));
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!json.contains(key)) throw fail(fmt::format("{} is missing", key));
  }
  const auto& dtype = json["dtype"];
  const auto type = std::find_if(types().begin(), types().end(), [&](const auto& t) { return dtype == t.first; });
  if (type == types().end())
    throw fail(
        fmt::format("dtype: got {}, expected F64, F32, F16, BF16, I64, I32, I16, I8, U8 or BOOL", excerpt(dtype)));
  info.type = type->second;

  const auto& shape = json["shape"];
  std::uint64_t product = 1;  // of the sizes above 0: libtorch's strides are as large in a tensor without values
  bool empty = false;
  if (!shape.is_array()) throw fail(fmt::format("shape: got {}, expected a list", excerpt(shape)));
  for (const auto& n : shape) {
    if (!n.is_number_unsigned())
      throw fail(fmt::format("shape: got {}, expected whole numbers from 0", excerpt(shape)));
    const auto size = n.get<std::uint64_t>();
    empty = empty || size == 0;
    if (__builtin_mul_overflow(product, std::max<std::uint64_t>(size, 1), &product) || product > kMostValues) {
      throw fail(fmt::format("shape: got {}, expected at most {} values", excerpt(shape), kMostValues));
    }
    info.shape.push_back(static_cast<std::int64_t>(size));
  }

  const auto& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    throw fail(fmt::format("data_offsets: got {}, expected two whole numbers", excerpt(offsets)));
  }
  info.begin = offsets[0].get<std::uint64_t>();
  info.end = offsets[1].get<std::uint64_t>();
  const std::uint64_t expected = (empty ? 0 : product) * torch::elementSize(info.type);
  if (info.end < info.begin || info.end - info.begin != expected) {
    throw fail(fmt::format("data_offsets: got {}, expected {} bytes", excerpt(offsets), expected));
  }
  return info;
}

// Takes the header apart while it is parsed, one entry at a time, so that time and memory grow with its length and no
// faster. Refuses names that occur twice, which JSON libraries silently merge, and lists deeper than the format's.
class HeaderParser : public nlohmann::json_sax<Json> {
 public:
  HeaderParser(const std::string& file, std::map<std::string, TensorInfo>& tensors,
               std::map<std::string, std::string>& metadata)
      : file_(file), tensors_(tensors), metadata_(metadata) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool b) override { return value(b); }
  bool number_integer(std::int64_t n) override { return value(n); }
  bool number_unsigned(std::uint64_t n) override { return value(n); }
  bool number_float(double x, const std::string& /*text*/) override { return value(x); }
  bool string(std::string& text) override { return value(text); }
  bool binary(Json::binary_t& /*bytes*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return open(Json::object()); }
  bool start_array(std::size_t /*size*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/, const Json::exception& /*error*/) override {
    return false;
  }

  bool key(std::string& name) override {
    if (depth_ == 1) {
      name_ = name;
      const bool known = name == kMetadata ? has_metadata_ : tensors_.contains(name);
      if (known) throw Error(ErrorKind::kModel, "{}: tensor {}: the name occurs twice", file_, core::quoted(name));
    } else if (depth_ == 2) {
      key_ = name;
      if (entry_.size() == kMostNames)
        refuse(fmt::format("{}: got more than {} names", core::quoted(name_), kMostNames));
      if (entry_.contains(name))
        throw Error(ErrorKind::kModel, "{}: tensor {}: {} occurs twice", file_, core::quoted(name_),
                    core::quoted(name));
    }
    return true;
  }

 private:
  [[noreturn]] void refuse(const std::string& problem) const {
    throw Error(ErrorKind::kModel, "{}: offset 8: header: {}", file_, problem);
  }

  bool value(Json json) {
    if (depth_ == 0) refuse(fmt::format("got {}, expected an object", json.type_name()));
    if (depth_ == 1) return finish(json);
    if (depth_ == 2 && entry_.is_object()) {
      entry_[key_] = std::move(json);
    } else if (depth_ == 3 && entry_.is_object() && entry_[key_].is_array()) {
      auto& list = entry_[key_];
      if (list.size() == kMostDimensions) {
        throw Error(ErrorKind::kModel, "{}: tensor {}: {}: got more than {} values", file_, core::quoted(name_),
                    core::quoted(key_), kMostDimensions);
      }
      list.push_back(std::move(json));
    }
    return true;
  }

  bool open(Json container) {
    if (depth_ == 0 && !container.is_object()) refuse("got array, expected an object");
    if (depth_ > 2) refuse("got more than 3 levels, expected names, their keys and lists");
    if (depth_ == 1)
      entry_ = std::move(container);
    else if (depth_ == 2 && entry_.is_object())
      entry_[key_] = std::move(container);
    ++depth_;
    return true;
  }

  bool close() { return --depth_ != 1 || finish(entry_); }

  bool finish(const Json& entry) {
    if (name_ != kMetadata) {
      if (tensors_.size() == kMostNames) refuse(fmt::format("got more than {} tensors", kMostNames));
      tensors_.emplace(name_, tensor_info(name_, entry, file_));
      return true;
    }
    has_metadata_ = true;
    if (!entry.is_object())
      throw Error(ErrorKind::kModel, "{}: {}: got {}, expected an object", file_, kMetadata, entry.type_name());
    for (const auto& [name, text] : entry.items()) {
      if (!text.is_string())
        throw Error(ErrorKind::kModel, "{}: {}: {}: got {}, expected text", file_, kMetadata, core::quoted(name),
                    text.type_name());
      metadata_[name] = text.get<std::string>();
    }
    return true;
  }

  const std::string& file_;
  std::map<std::string, TensorInfo>& tensors_;
  std::map<std::string, std::string>& metadata_;
  bool has_metadata_ = false;
  int depth_ = 0;           // open containers
  std::string name_, key_;  // of the entry at hand, and within it
  Json entry_;
};

// The tensors one after the other, in order of their names.
std::map<std::string, TensorInfo> in_order(std::map<std::string, TensorInfo> tensors) {
  std::uint64_t offset = 0;
  for (auto& [unused, info] : tensors) {
    const std::uint64_t size = info.end - info.begin;
    info.begin = offset;
    info.end = offset += size;
  }
  return tensors;
}

// The JSON of a header, without a space and padded so that the data begin at a multiple of 8.
std::string header_text(const std::map<std::string, TensorInfo>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  for (const auto& [name, info] : tensors) {
    const auto type = std::find_if(types().begin(), types().end(),
                                   [wanted = info.type](const auto& t) { return t.second == wanted; });
    if (type == types().end())
      throw Error(ErrorKind::kInternal, "tensor \"{}\" has a type that safetensors lacks", name);
    header[name] = {{"dtype", type->first}, {"shape", info.shape}, {"data_offsets", {info.begin, info.end}}};
  }
  std::string text = header.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

std::span<const std::uint8_t> bytes_of(const Tensor& tensor) {
  return {static_cast<const std::uint8_t*>(tensor.data_ptr()), tensor.nbytes()};
}

// The checksum of what `header_text` says without it, and of the tensors' bytes. @param digests SHA-256 of each, by
// name.
std::string checksum(const std::string& header, const std::vector<std::string>& digests) {
  return kChecksumForm + core::sha256(header + fmt::format("{}", fmt::join(digests, "")));
}

struct Descriptor {
  int fd;
  explicit Descriptor(int fd_in) : fd(fd_in) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd); }
};

}  // namespace

SafeTensorsFile::SafeTensorsFile(const std::filesystem::path& path) : name_(core::printable(path.string(), 4096)) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) {  // a pipe has no size and cannot be read twice
    *this = SafeTensorsFile(core::read_file(path, core::memory_budget()), std::move(name_));
    return;
  }
  const auto fail = [name = name_] { return Error(ErrorKind::kIo, "{}: cannot read: {}", name, std::strerror(errno)); };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw fail();
  const auto file = std::make_shared<Descriptor>(fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw fail();
  source_ = [file, fail, name = name_](std::uint64_t offset, std::span<std::uint8_t> out) {
    for (std::size_t done = 0; done < out.size();) {
      const auto n = ::pread(file->fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno != EINTR) throw fail();
      if (n == 0) throw Error(ErrorKind::kIo, "{}: became shorter while it was read", name);
      if (n > 0) done += static_cast<std::size_t>(n);
    }
  };
  read_header(static_cast<std::uint64_t>(status.st_size));
}

SafeTensorsFile::SafeTensorsFile(core::Bytes bytes, std::string name) : name_(std::move(name)) {
  const auto kept = std::make_shared<const core::Bytes>(std::move(bytes));
  source_ = [kept](std::uint64_t offset, std::span<std::uint8_t> out) {
    if (!out.empty()) std::memcpy(out.data(), kept->data() + offset, out.size());
  };
  read_header(kept->size());
}

void SafeTensorsFile::read_header(std::uint64_t size) {
  if (size < 8)
    throw Error(ErrorKind::kModel, "{}: offset 0: got {} bytes, expected a header length of 8 bytes", name_, size);
  core::Bytes text(8);
  source_(0, text);
  if (text[0] == 'P' && text[1] == 'K') {
    throw Error(ErrorKind::kModel,
                "{}: got a zip archive, as torch.save and numpy.savez write them, expected safetensors: "
                "in Python, safetensors.torch.save_file(torch.load(FILE), NEW_FILE)",
                name_);
  }
  std::memcpy(&header_size_, text.data(), 8);
  const auto most = std::min(kLargestHeader, size - 8);
  if (header_size_ > most) {
    throw Error(ErrorKind::kModel, "{}: offset 0: header length: got {}, expected at most {}", name_, header_size_,
                most);
  }
  text.resize(header_size_);
  source_(8, text);
  HeaderParser parser(name_, tensors_, metadata_);
  const bool ended = std::find(text.begin(), text.end(), 0) != text.end();  // which the parser takes for the end
  if (ended || !Json::sax_parse(text.begin(), text.end(), &parser)) {
    throw Error(ErrorKind::kModel, "{}: offset 8: the header of {} bytes is not JSON", name_, header_size_);
  }

  std::vector<std::pair<const TensorInfo*, const std::string*>> order;
  for (const auto& [name, info] : tensors_) order.emplace_back(&info, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->begin, a.first->end) < std::pair(b.first->begin, b.first->end);
  });
  const std::uint64_t data = size - 8 - header_size_;
  std::uint64_t next = 0;
  for (const auto& [info, name] : order) {
    if (info->begin != next) {
      throw Error(ErrorKind::kModel, "{}: tensor {}: begins at byte {} of the data, expected {}", name_,
                  core::quoted(*name), info->begin, next);
    }
    if (info->end > data) {
      throw Error(ErrorKind::kModel,
                  "{}: tensor {}: ends at byte {} of the data, expected at most {}: the file is truncated", name_,
                  core::quoted(*name), info->end, data);
    }
    next = info->end;
  }
  if (next != data) {
    throw Error(ErrorKind::kModel, "{}: offset {}: got {} more bytes, expected the end of the file", name_,
                8 + header_size_ + next, data - next);
  }

  for (auto entry = metadata_.begin(); entry != metadata_.end();) {
    const bool named = entry->first == kChecksumKey, formed = entry->second.starts_with(kChecksumForm);
    if (named != formed)
      throw Error(ErrorKind::kModel, "{}: metadata {}: the checksum itself is damaged", name_,
                  core::quoted(entry->first));
    if (named) checksum_ = entry->second;
    entry = named ? metadata_.erase(entry) : std::next(entry);
  }
}

Json SafeTensorsFile::json(const std::string& key) const {
  constexpr std::size_t kLongest = 1 << 20;  // a list of lists takes eighty times its text
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) return nullptr;
  if (found->second.size() > kLongest) {
    throw Error(ErrorKind::kModel, "{}: metadata {}: got {} bytes, expected at most {}", name_, core::quoted(key),
                found->second.size(), kLongest);
  }
  try {
    return Json::parse(found->second);
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kModel, "{}: metadata {} is not JSON", name_, core::quoted(key));
  }
}

Tensor SafeTensorsFile::read(const std::string& tensor) const {
  const TensorInfo& info = tensors_.at(tensor);
  core::require_memory(info.end - info.begin, fmt::format("{}: tensor {}", name_, core::quoted(tensor)));
  Tensor values = torch::empty(info.shape, info.type);
  source_(8 + header_size_ + info.begin, {static_cast<std::uint8_t*>(values.data_ptr()), info.end - info.begin});
  return values;
}

void SafeTensorsFile::verify() const {
  if (checksum_.empty()) return;
  auto with_checksum = metadata_;
  with_checksum[kChecksumKey] = checksum_;
  if (header_text(tensors_, with_checksum).size() != header_size_)
    return;  // Python's JSON has spaces: another program wrote it anew
  std::vector<std::string> digests;
  for (const auto& [name, unused] : tensors_) digests.push_back(core::sha256(bytes_of(read(name))));
  if (checksum(header_text(in_order(tensors_), metadata_), digests) == checksum_) return;
  throw Error(ErrorKind::kModel,
              "{}: the content is not what its checksum says: the file is damaged; if it was changed on purpose, take "
              "\"{}\" out of its metadata",
              name_, kChecksumKey);
}

SafeTensors SafeTensorsFile::read_all() const {
  std::uint64_t size = 0;
  for (const auto& [unused, info] : tensors_) size += info.end - info.begin;
  core::require_memory(size, name_);
  SafeTensors content{.tensors = {}, .metadata = metadata_};
  for (const auto& [name, unused] : tensors_) content.tensors[name] = read(name);
  verify();
  return content;
}

SafeTensors parse_safetensors(std::span<const std::uint8_t> bytes, const std::string& name) {
  return SafeTensorsFile({bytes.begin(), bytes.end()}, name).read_all();
}

SafeTensors read_safetensors(const std::filesystem::path& path) { return SafeTensorsFile(path).read_all(); }

namespace {

core::Bytes write(const SafeTensors& content, bool with_checksum) {
  std::map<std::string, TensorInfo> infos;
  std::vector<Tensor> tensors;
  std::vector<std::string> digests;
  std::uint64_t size = 0;
  for (const auto& [name, tensor] : content.tensors) {
    tensors.push_back(tensor.detach().cpu().contiguous());
    const std::uint64_t bytes = tensors.back().nbytes();
    infos[name] = {.type = tensor.scalar_type(), .shape = tensor.sizes().vec(), .begin = 0, .end = bytes};
    size += bytes;
    if (with_checksum) digests.push_back(core::sha256(bytes_of(tensors.back())));
  }
  infos = in_order(std::move(infos));
  std::string text = header_text(infos, content.metadata);
  if (with_checksum) {
    auto metadata = content.metadata;
    metadata[kChecksumKey] = checksum(text, digests);
    text = header_text(infos, metadata);
  }
  core::Bytes bytes(8 + text.size() + size);
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

}  // namespace

core::Bytes write_safetensors(const SafeTensors& content) { return write(content, /*with_checksum=*/false); }

void save_safetensors(const SafeTensors& content, const std::filesystem::path& path, unsigned mode) {
  core::write_file(path, write(content, /*with_checksum=*/true), mode);
}

}  // namespace pellucid::nets
