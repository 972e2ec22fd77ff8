// How far a long piece of work is. The library reports; only the command line draws.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace pellucid::core {

/// One report of a running task.
struct Progress {
  std::string task;           ///< what is being done: "train"
  std::int64_t done = 0;      ///< units finished
  std::int64_t total = 0;     ///< units in all; 0 where unknown
  std::string unit;           ///< what a unit is: "batches"
  std::string note = {};      ///< the newest figures: "loss 0.031"; may be empty
  std::string finished = {};  ///< a line to keep on what was just finished; may be empty
};

/// Receives reports, from one thread at a time. An empty sink drops them.
using ProgressSink = std::function<void(const Progress&)>;

/// Speed and remaining time of one task, from its reports.
///
/// The rate is units since the first report over the time since then, so work that was resumed is not counted as done
/// in this run; the remaining time assumes that rate.
class RateEstimate {
 public:
  using Clock = std::chrono::steady_clock;

  /// Takes a report that arrived at `now`.
  void update(const Progress& progress, Clock::time_point now = Clock::now());

  /// Units a second; 0 until two reports have come.
  [[nodiscard]] double rate() const { return rate_; }
  /// Seconds still to go; negative where unknown.
  [[nodiscard]] double remaining_s() const { return remaining_s_; }

 private:
  std::string task_;
  std::int64_t first_done_ = 0;
  Clock::time_point first_time_;
  double rate_ = 0;
  double remaining_s_ = -1;
};

/// "1 h 02 min", "3 min 20 s", "12 s".
[[nodiscard]] std::string format_duration(double seconds);

}  // namespace pellucid::core
