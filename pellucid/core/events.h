// TensorBoard event files: curves and pictures of a run while it goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

namespace pellucid::core {

/// An event file `events.out.tfevents.<time>.<process>.pellucid` in a run folder, made with the first event.
///
/// Each event is flushed when it is written, so a run that is killed loses none before it. A run that goes on begins
/// another file beside the first; where their steps overlap TensorBoard shows the later one. Format: TFRecord, each
/// record with its length and the masked CRC-32C of both.
///
/// @throws Error(kIo), from each call, if an event cannot be written (a full disk).
class EventFile {
 public:
  explicit EventFile(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// A point of a curve. @param tag its name, '/' between groups: "accuracy/natural".
  void scalar(const std::string& tag, std::int64_t step, double value);

  /// A picture. @param png the content of a PNG file of this size, with 1 or 3 channels.
  void image(const std::string& tag, std::int64_t step, std::span<const std::uint8_t> png, std::int64_t height,
             std::int64_t width, std::int64_t channels);

 private:
  void write(const std::string& record);

  std::filesystem::path folder_;
  std::filesystem::path path_;
  std::ofstream file_;
};

/// A point of a curve.
struct EventPoint {
  std::string tag;
  std::int64_t step = 0;
  double value = 0;
};

/// The content of an event file with these points, all written at `wall_time` (seconds since 1970): the same points
/// give the same bytes.
[[nodiscard]] std::string event_file(const std::vector<EventPoint>& points, double wall_time);

/// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4.
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes);

}  // namespace pellucid::core
