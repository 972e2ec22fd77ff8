#include "pellucid/core/progress.h"

#include <fmt/format.h>

#include <cmath>

namespace pellucid::core {

void RateEstimate::update(const Progress& progress, Clock::time_point now) {
  if (progress.task != task_) {
    *this = {};
    task_ = progress.task;
    first_done_ = progress.done;
    first_time_ = now;
    return;
  }
  const double seconds = std::chrono::duration<double>(now - first_time_).count();
  if (seconds <= 0 || progress.done <= first_done_) return;
  rate_ = static_cast<double>(progress.done - first_done_) / seconds;
  if (progress.total > 0) remaining_s_ = static_cast<double>(progress.total - progress.done) / rate_;
}

std::string format_duration(double seconds) {
  const auto s = static_cast<std::int64_t>(std::llround(seconds));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
}

}  // namespace pellucid::core
