// What the user sees: results on stdout, progress on stderr when that is a terminal.
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/core/run.h"

#include <string>
#include <string_view>

namespace pellucid::cli {

/// Before anything is opened: a closed stdin, stdout or stderr is held by something that refuses what it would do, so
/// that no file of ours becomes it; a broken pipe and a file-size limit are errors and not signals.
void prepare_streams();

/// Prints text to stdout. What others wrote cannot steer the terminal: the text is made `safe`.
/// @throws core::Error(kIo) if stdout cannot be written.
void print(std::string_view text);

/// The same of a format, as fmt::print.
template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  print(fmt::format(format, std::forward<Args>(args)...));
}

/// Prints text to stderr, made `safe`. That it cannot be written is no error.
void print_aside(std::string_view text);

/// The same of a format.
template <typename... Args>
void remark(fmt::format_string<Args...> format, Args&&... args) {
  print_aside(fmt::format(format, std::forward<Args>(args)...));
}

/// Writes out what `say` has kept. The last call of a program: what is not written by then is an error.
/// @throws core::Error(kIo) if stdout cannot be written.
void finish_output();

/// The text with its control characters escaped, but for line breaks and the sequences of `bold` and `grey`.
[[nodiscard]] std::string safe(std::string_view text);

/// What every verb shares.
struct Common {
  std::int64_t threads = 0;  ///< 0: all cores
  std::string device = "cpu";
  core::Size memory;  ///< 0: as much as the machine lets this process have
  bool quiet = false;
  bool json = false;
};

/// The flags of `Common`.
[[nodiscard]] core::Fields fields(Common& common);

/// A run on the device and with the threads that were asked for (libtorch's too) and a progress line where stderr is a
/// terminal.
/// @param lines what is finished is printed, a line each, where it is none.
[[nodiscard]] core::Run make_run(const Common& common, bool lines = false);

/// Ends the progress line, if one stands.
void end_progress();

/// Text in bold or in grey where stdout is a terminal and $NO_COLOR is not set.
[[nodiscard]] std::string bold(const std::string& text);
[[nodiscard]] std::string grey(const std::string& text);

enum class Columns { kNumbers, kText };

/// Prints rows as columns, the first row as headings. Numbers are set right, but for the first column.
void print_table(const std::vector<std::vector<std::string>>& rows, Columns columns = Columns::kNumbers);

/// Prints the result as JSON if that was asked for; says whether it did.
bool print_json(const Common& common, const core::Json& result);

/// "99.12 % [98.90, 99.30] (n = 10000)" from {"value", "low", "high", "n"}.
[[nodiscard]] std::string percent(const core::Json& accuracy);

}  // namespace pellucid::cli
