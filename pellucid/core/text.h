// Text that others wrote, made safe to show: names in files, values on command lines.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pellucid::core {

/// The text as a terminal may show it: control characters as \n, \t or \xNN, bytes that are not UTF-8 as U+FFFD, and
/// cut after `limit` characters, with "..." in place of the rest.
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 80);

/// The same in double quotes, as messages name things: got "abc".
[[nodiscard]] std::string quoted(std::string_view text, std::size_t limit = 80);

}  // namespace pellucid::core
