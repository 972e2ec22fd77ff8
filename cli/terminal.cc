#include "cli/terminal.h"

#include "pellucid/core/config.h"
#include "pellucid/core/device.h"
#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/text.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

namespace pellucid::cli {
namespace {

bool line_stands = false;

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// One line, rewritten at most ten times a second: "standard: train  [#####....] 512/938 batches, 31/s, 14 s left, loss
// 0.1".
class ProgressLine {
 public:
  void operator()(const core::Progress& progress) {
    if (!progress.finished.empty()) {
      std::fprintf(stderr, "%s%s\n", line_stands ? "\r\033[K" : "", safe(progress.finished).c_str());
      line_stands = false;
      drawn_ = {};
    }
    rate_.update(progress);
    const auto now = core::RateEstimate::Clock::now();
    const bool finished = progress.total > 0 && progress.done >= progress.total;
    if (now - drawn_ < std::chrono::milliseconds(100) && !finished && progress.task == task_) return;
    drawn_ = now;
    task_ = progress.task;
    std::string text = progress.task + "  ";
    if (progress.total > 0) {
      const auto filled = static_cast<std::size_t>(20 * std::min(progress.done, progress.total) / progress.total);
      text += fmt::format("[{:#<{}}{:.<{}}] {}/{} {}", "", filled, "", 20 - filled, progress.done, progress.total,
                          progress.unit);
    }
    if (rate_.rate() > 0) text += fmt::format(", {:.3g}/s", rate_.rate());
    if (rate_.remaining_s() >= 0 && !finished)
      text += fmt::format(", {} left", core::format_duration(rate_.remaining_s()));
    if (!progress.note.empty()) text += ", " + progress.note;
    constexpr std::size_t kDots = 3;  // of what is cut
    std::fprintf(stderr, "\r\033[K%s",
                 core::printable(text, std::max(terminal_width(), 2 * kDots) - kDots - 1).c_str());
    std::fflush(stderr);
    line_stands = true;
  }

 private:
  core::RateEstimate rate_;
  core::RateEstimate::Clock::time_point drawn_;
  std::string task_;
};

std::string styled(const std::string& text, const char* code) {
  static const bool colours = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  return colours ? fmt::format("\033[{}m{}\033[0m", code, text) : text;
}

[[noreturn]] void fail_output() {
  throw core::Error(core::ErrorKind::kIo, "standard output: cannot write: {}", std::strerror(errno));
}

// As JSON, whose own escapes leave DEL and U+0080 to U+009F as they are.
std::string without_controls(const std::string& json) {
  std::string text;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const auto byte = static_cast<unsigned char>(json[i]),
               next = static_cast<unsigned char>(i + 1 < json.size() ? json[i + 1] : '\0');
    if (byte == 0x7F || (byte == 0xC2 && next < 0xA0)) {
      text += fmt::format("\\u{:04x}", byte == 0x7F ? byte : next);
      i += byte == 0x7F ? 0 : 1;
    } else {
      text += json[i];
    }
  }
  return text;
}

// Columns that a text takes: UTF-8 continuation bytes and escape sequences take none.
std::size_t width(const std::string& text) {
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033') {
      i = text.find('m', i);
    } else if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) {
      ++columns;
    }
  }
  return columns;
}

// Refuses threads whose stacks and buffers do not fit into what `ulimit -v` leaves: the C library and OpenMP crash
// there.
void check_room_for(int threads) {
  constexpr std::uint64_t kEach = 40 << 20;  // a stack of 8 MiB, and what libraries keep for each thread: fewer crashed
  rlimit space{};
  if (threads <= 2 || getrlimit(RLIMIT_AS, &space) != 0 || space.rlim_cur == RLIM_INFINITY) return;
  std::uint64_t used = 0;  // pages
  std::ifstream("/proc/self/statm") >> used;
  used *= static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t needed = static_cast<std::uint64_t>(threads) * kEach,
                      left = space.rlim_cur > used ? space.rlim_cur - used : 0;
  if (needed <= left) return;
  throw core::Error(core::ErrorKind::kIo,
                    "out of memory: {} threads need {}, and {} of the address space are left; take fewer --threads or "
                    "allow this process more (ulimit -v)",
                    threads, core::format_bytes(needed), core::format_bytes(left));
}

}  // namespace

void prepare_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
    if (open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) != stream)
      std::_Exit(core::exit_code(core::ErrorKind::kIo));
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void print(std::string_view text) {
  const std::string shown = safe(text);
  if (std::fwrite(shown.data(), 1, shown.size(), stdout) != shown.size()) fail_output();
}

void print_aside(std::string_view text) { std::fputs(safe(text).c_str(), stderr); }

void finish_output() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) fail_output();
  const int copy = dup(STDOUT_FILENO);  // some file systems say only now that there was no room
  if (copy >= 0 && close(copy) != 0) fail_output();
}

std::string safe(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    std::size_t length = 0;
    for (const std::string_view ours : {"\n", "\033[1m", "\033[90m", "\033[0m"}) {
      if (text.starts_with(ours)) length = ours.size();
    }
    if (length > 0) {
      shown += text.substr(0, length);
    } else {
      length = std::min(text.find_first_of("\n\033", 1), text.size());
      shown += core::printable(text.substr(0, length), length);
    }
    text.remove_prefix(length);
  }
  return shown;
}

core::Fields fields(Common& common) {
  return {
      core::field("threads", common.threads, "cores to use; 0 is all of them", 0, 4096),
      core::field(
          "device", common.device,
          "where networks are trained and attacked and invert computes: cpu, cuda or cuda:N; studies read images "
          "back on the cpu"),
      core::field("memory", common.memory,
                  "memory that this process may use: 4G, 500M; 0 is what the machine allows. Files that claim more are "
                  "refused"),
      core::field("quiet", common.quiet, "no progress, no hints"),
      core::field("json", common.json, "print the result as JSON"),
  };
}

core::Run make_run(const Common& common, bool lines) {
  core::set_memory_budget(common.memory.bytes);
  core::Run run;
  run.device = core::device(common.device).str();
  run.threads = common.threads > 0 ? static_cast<int>(common.threads) : core::available_cores();
  check_room_for(run.threads);
  core::set_threads(run.threads);
  if (!common.quiet && isatty(STDERR_FILENO) != 0) {
    run.progress = [line = std::make_shared<ProgressLine>()](const core::Progress& progress) { (*line)(progress); };
  } else if (!common.quiet && lines) {
    run.progress = [](const core::Progress& progress) {
      if (!progress.finished.empty()) std::fprintf(stderr, "%s\n", safe(progress.finished).c_str());
    };
  }
  return run;
}

void end_progress() {
  if (line_stands) std::fputs("\r\033[K", stderr);
  line_stands = false;
}

std::string bold(const std::string& text) { return styled(text, "1"); }
std::string grey(const std::string& text) { return styled(text, "90"); }

void print_table(const std::vector<std::vector<std::string>>& rows, Columns columns) {
  end_progress();
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(safe(row[c])));
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const std::string text = safe(rows[r][c]);
      const std::string padding(widths[c] - width(text), ' ');
      const std::string cell = r == 0 ? bold(text) : text;
      const bool left = c == 0 || columns == Columns::kText;
      line += (c == 0 ? "  " : "   ") + (left ? cell + padding : padding + cell);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    print(line + "\n");
  }
}

bool print_json(const Common& common, const core::Json& result) {
  end_progress();
  if (common.json) print(without_controls(core::to_text(result)));
  return common.json;
}

std::string percent(const core::Json& accuracy) {
  auto number = [&](const char* key) { return 100 * accuracy.at(key).get<double>(); };
  return fmt::format("{:.2f} % [{:.2f}, {:.2f}] (n = {})", number("value"), number("low"), number("high"),
                     accuracy.at("n").get<std::int64_t>());
}

}  // namespace pellucid::cli
