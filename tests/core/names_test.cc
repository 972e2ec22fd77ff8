#include "pellucid/core/names.h"

#include "tests/core/expect_error.h"

namespace pellucid::core {
namespace {

TEST(NamesField, TakesDifferentChoicesInAnyOrder) {
  std::vector<std::string> value = {"a"};
  const Field field = names_field("list", value, "help", {"a", "b", "c"});
  assign_text(field, "c,a", "--list");
  EXPECT_EQ(value, (std::vector<std::string>{"c", "a"}));
  assign({field}, {{"list", {"b"}}}, "test");
  EXPECT_EQ(field.get(), Json::array({"b"}));
}

TEST(NamesField, RefusesOthersRepeatsAndNothing) {
  std::vector<std::string> value = {"a"};
  const Field field = names_field("list", value, "help", {"a", "b", "c"});
  for (const char* text : {"d", "a,a", "", "a,", ",a"}) {
    expect_error([&] { assign_text(field, text, "--list"); }, ErrorKind::kUsage,
                 fmt::format("--list: got \"{}\", expected a list of different names, each a, b or c", text));
  }
  for (const Json& json : {Json("a"), Json::array(), Json::array({1}), Json::array({"a", "a"})}) {
    expect_error(
        [&] {
          assign({field}, {{"list", json}}, "test");
        },
        ErrorKind::kUsage, "expected a list of different names");
  }
  EXPECT_EQ(value, (std::vector<std::string>{"a"}));
}

}  // namespace
}  // namespace pellucid::core
