#include "pellucid/core/events.h"

#include "pellucid/core/error.h"

#include <events.pb.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>

namespace pellucid::core {
namespace {

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = (table[i] >> 1) ^ ((table[i] & 1) != 0 ? 0x82F63B78u : 0u);
  }
  return table;
}

template <typename Number>
std::string little_endian(Number number) {
  std::string bytes(sizeof number, '\0');
  for (auto& byte : bytes) {
    byte = static_cast<char>(number & 0xFF);
    number >>= 8;
  }
  return bytes;
}

// TensorFlow masks its checksums, since a checksum of data that hold checksums is weak.
std::string checksum(std::string_view bytes) { return little_endian(std::rotr(crc32c(bytes), 15) + 0xA282EAD8u); }

std::string framed(const std::string& record) {
  const std::string length = little_endian(static_cast<std::uint64_t>(record.size()));
  return length + checksum(length) + record + checksum(record);
}

double now_s() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

events::Event event(std::int64_t step, double wall_time = now_s()) {
  events::Event e;
  e.set_wall_time(wall_time);
  e.set_step(step);
  return e;
}

events::Event scalar_event(const EventPoint& point, double wall_time) {
  auto e = event(point.step, wall_time);
  auto* v = e.mutable_summary()->add_value();
  v->set_tag(point.tag);
  v->set_simple_value(static_cast<float>(point.value));
  return e;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = crc_table();
  std::uint32_t crc = ~0u;
  for (const char byte : bytes) crc = kTable[(crc ^ static_cast<std::uint8_t>(byte)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

void EventFile::scalar(const std::string& tag, std::int64_t step, double value) {
  write(scalar_event({tag, step, value}, now_s()).SerializeAsString());
}

std::string event_file(const std::vector<EventPoint>& points, double wall_time) {
  auto version = event(0, wall_time);
  version.set_file_version("brain.Event:2");
  std::string content = framed(version.SerializeAsString());
  for (const auto& point : points) content += framed(scalar_event(point, wall_time).SerializeAsString());
  return content;
}

void EventFile::image(const std::string& tag, std::int64_t step, std::span<const std::uint8_t> png, std::int64_t height,
                      std::int64_t width, std::int64_t channels) {
  auto e = event(step);
  auto* v = e.mutable_summary()->add_value();
  v->set_tag(tag);
  v->mutable_image()->set_height(static_cast<int>(height));
  v->mutable_image()->set_width(static_cast<int>(width));
  v->mutable_image()->set_colorspace(static_cast<int>(channels));
  v->mutable_image()->set_encoded_image_string(png.data(), png.size());
  write(e.SerializeAsString());
}

void EventFile::write(const std::string& record) {
  if (!file_.is_open()) {
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    std::error_code ignored;
    std::filesystem::create_directories(folder_, ignored);  // else the file cannot be opened
    // Milliseconds behind the seconds, in TensorBoard's order of names: two files of one second keep theirs.
    path_ = folder_ / ("events.out.tfevents." + std::to_string(now / 1000) + "." + std::to_string(1000 + now % 1000) +
                       "." + std::to_string(getpid()) + ".pellucid");
    file_.open(path_, std::ios::binary | std::ios::app);
    auto version = event(0);
    version.set_file_version("brain.Event:2");
    file_ << framed(version.SerializeAsString());
  }
  file_ << framed(record);
  file_.flush();
  if (!file_) throw Error(ErrorKind::kIo, "{}: cannot write: {}", path_.string(), std::strerror(errno));
}

}  // namespace pellucid::core
