// Text of others: what a terminal obeys never reaches it.
#include "pellucid/core/text.h"

#include <gmock/gmock.h>

namespace pellucid::core {
namespace {

TEST(Text, LeavesWhatIsPlain) {
  EXPECT_EQ(printable("abc äß 字 🦀"), "abc äß 字 🦀");
  EXPECT_EQ(quoted("abc"), "\"abc\"");
  EXPECT_EQ(printable(""), "");
}

TEST(Text, EscapesWhatTerminalsObey) {
  EXPECT_EQ(printable("a\033[31mb\r\n\tc\x7F"), "a\\x1b[31mb\\x0d\\n\\tc\\x7f");
  EXPECT_EQ(printable(std::string_view("\0x", 2)), "\\x00x");
  EXPECT_EQ(printable("a\xC2\x9B"
                      "31m"),
            "a\\x9b31m");  // the one-character form of ESC [
}

TEST(Text, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(printable("a\xE9"
                      "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(printable("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");          // an overlong slash
  EXPECT_EQ(printable("\xED\xA0\x80").find('\xED'), std::string::npos);  // a surrogate
  EXPECT_EQ(printable("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");          // cut short
}

TEST(Text, CutsAfterSoManyCharacters) {
  EXPECT_EQ(printable(std::string(100'000, 'x')), std::string(80, 'x') + "...");
  EXPECT_EQ(printable(std::string(80, 'x')), std::string(80, 'x'));
  EXPECT_EQ(printable("äöü", 2), "äö...");
}

}  // namespace
}  // namespace pellucid::core
