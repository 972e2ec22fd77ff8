#include "pellucid/core/config.h"

#include "pellucid/core/file.h"

#include "folder.h"
#include "tests/core/expect_error.h"

#include <cmath>
#include <limits>

namespace pellucid::core {
namespace {

TEST(ParseToml, KeepsTypesOrderAndNesting) {
  const Json document =
      parse_toml("seed = 7\nrate = 1.0\nname = 'x'\n[a.b]\non = true\nlist = [1, -2]\n[[cell]]\nn = 1\n", "t");
  EXPECT_EQ(document["a"].dump(), R"({"b":{"list":[1,-2],"on":true}})");
  EXPECT_EQ(document["cell"].dump(), R"([{"n":1}])");
  EXPECT_TRUE(document["seed"].is_number_unsigned());
  EXPECT_TRUE(document["rate"].is_number_float());
  EXPECT_EQ(document["name"], "x");
}

TEST(ParseToml, WholeNumbersKeepTheirSign) {
  const Json document = parse_toml("low = -9223372036854775808\nhigh = 9223372036854775807\nhex = 0xff", "t");
  EXPECT_EQ(document["low"].get<std::int64_t>(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(document["high"].get<std::int64_t>(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(document["hex"], 255);
}

TEST(ParseToml, DatesBecomeText) {
  EXPECT_EQ(parse_toml("on = 2021-05-06", "t")["on"], "2021-05-06");
  EXPECT_EQ(parse_toml("at = 07:32:00", "t")["at"], "07:32:00");
}

TEST(ParseToml, AnEmptyDocumentIsAnEmptyObject) { EXPECT_EQ(parse_toml("# nothing\n", "t"), Json::object()); }

TEST(ParseToml, AnErrorNamesDocumentLineAndColumn) {
  expect_error([] { (void)parse_toml("a = 1\nb = ]", "demo.toml"); }, ErrorKind::kUsage, "demo.toml:2:5: not TOML: ");
}

// The second half was found by fuzzing: it breaks assertions inside toml++ 3.3.0.
TEST(ParseToml, RefusesMalformedDocuments) {
  for (const char* text : {"a",
                           "a =",
                           "a = 1 b = 2",
                           "a = 1\na = 2",
                           "[a",
                           "[a]\n[a]",
                           "[[a]]\n[a]",
                           "a = [1, ",
                           "a = {b = 1",
                           "a = '",
                           "a = \"\\q\"",
                           "a = 1e999",
                           "a = 99999999999999999999",
                           "a = 2021-13-01",
                           "\xff = 1",
                           "[&",
                           "[%",
                           "[\x7f",
                           "[\xef\xbf\xbb",
                           "[\x01",
                           "a = [{x = 1}]\n[\ng",
                           "[a]#\nb = [1, }`"}) {
    expect_error([&] { (void)parse_toml(text, "t"); }, ErrorKind::kUsage, "not TOML: ");
  }
}

TEST(ParseToml, RefusesBottomlessNesting) {
  const std::string text = std::string("a = ").append(100'000, '[');
  expect_error([&] { (void)parse_toml(text, "t"); }, ErrorKind::kUsage, "not TOML: ");
}

TEST(ParseToml, RefusesKeysOfVeryManyParts) {
  std::string deep = "a", quoted = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a", quoted += ".\"[,=\"";
  const std::string header = "[" + deep + "]";
  for (const std::string& text :
       {deep + " = 1", quoted + " = 1", header, "b = \"\"\"\n\"\"\"\n" + deep + " = 1", "# it's\n" + deep + " = 1",
        "b = 'x\\'\n" + deep + " = 1", "b = {c = \"\"\"\n\"\"\", " + deep + " = 1}"}) {
    expect_error([&] { (void)parse_toml(text, "t"); }, ErrorKind::kUsage, "t: not TOML: a key of more than 1000 parts");
  }
  const std::string dots(5000, '.');
  std::string list = "[";
  for (int i = 0; i < 5000; ++i) list += "0.5, ";
  EXPECT_EQ(
      parse_toml("a = '" + dots + "' # " + dots + "\nb = \"\"\"\n" + dots + "\"\"\"\nc = " + list + "]", "t")["a"],
      dots);
}

TEST(ReadToml, ReadsAFileAndNamesItInErrors) {
  const Folder folder;
  write_file(folder / "good.toml", "a = 1");
  write_file(folder / "bad.toml", "a = ");
  EXPECT_EQ(read_toml(folder / "good.toml"), Json({{"a", 1}}));
  expect_error([&] { (void)read_toml(folder / "bad.toml"); }, ErrorKind::kUsage, "bad.toml:1:");
  expect_error([&] { (void)read_toml(folder / "none.toml"); }, ErrorKind::kIo, "none.toml: cannot open: ");
}

TEST(ReadJson, ReadsWhatToTextWrote) {
  const Folder folder;
  const Json document = {{"z", 1}, {"a", {1.5, "x", nullptr, true}}};
  write_file(folder / "x.json", to_text(document));
  EXPECT_EQ(read_json(folder / "x.json").dump(), document.dump());  // the order of the keys included
}

TEST(ReadJson, RefusesWhatIsNotJson) {
  const Folder folder;
  for (const char* text : {"", "{", "[1,]", "{\"a\": nul}", "\"\xff\"", "{} {}"}) {
    write_file(folder / "x.json", text);
    expect_error([&] { (void)read_json(folder / "x.json"); }, ErrorKind::kData, "x.json: not JSON: at byte ");
  }
  expect_error([&] { (void)read_json(folder / "none.json"); }, ErrorKind::kIo, "none.json: cannot open: ");
}

TEST(ReadJson, RefusesANumberThatNoDoubleHolds) {
  const Folder folder;
  write_file(folder / "x.json", "{\"a\": 1e999}");
  expect_error([&] { (void)read_json(folder / "x.json"); }, ErrorKind::kData, "x.json: not JSON: ");
}

TEST(ReadJson, RefusesWhatIsNestedTooDeeply) {
  const Folder folder;
  write_file(folder / "x.json", std::string(100, '[') + std::string(100, ']'));
  EXPECT_EQ(read_json(folder / "x.json").dump().size(), 200u);
  for (const std::size_t depth : {std::size_t{101}, std::size_t{1'000'000}}) {
    write_file(folder / "x.json", std::string(depth, '[') + std::string(depth, ']'));
    expect_error([&] { (void)read_json(folder / "x.json"); }, ErrorKind::kData, "x.json: nested more than 100 deep");
  }
}

TEST(ParseJson, TakesTimeInProportionToTheLength) {  // a parser with a callback would need minutes for the first
  std::string objects = "[{}";
  for (int i = 0; i < 400'000; ++i) objects += ",{}";
  EXPECT_EQ(parse_json(objects + "]", "x").size(), 400'001u);
  std::string keys = "{\"a\": 1";
  for (int i = 0; i < 400'000; ++i) keys += fmt::format(",\"{}\": 1", i);
  expect_error([&] { (void)parse_json(keys + "}", "x"); }, ErrorKind::kData, "x: an object has more than 1000 keys");
}

TEST(ReadConfig, TakesTomlWithItsLines) {
  const Folder folder;
  write_file(folder / "c.toml", "seed = 7\n\n[attack]\nepsilon = 0.3\nstep.size = 1\n");
  const Config config = read_config(folder / "c.toml");
  EXPECT_EQ(config.values, Json::parse(R"({"attack": {"epsilon": 0.3, "step": {"size": 1}}, "seed": 7})"));
  EXPECT_EQ(config.lines.at("seed"), 1u);
  EXPECT_EQ(config.lines.at("attack"), 3u);
  EXPECT_EQ(config.lines.at("attack.epsilon"), 4u);
  EXPECT_EQ(config.lines.at("attack.step.size"), 5u);
}

TEST(ReadConfig, TakesJson) {
  const Folder folder;
  for (const char* before : {"", " \n", "\xEF\xBB\xBF"}) {
    write_file(folder / "c", std::string(before) + R"({"verb": "train", "attack": {"epsilon": "8/255"}})");
    const Config config = read_config(folder / "c");
    EXPECT_EQ(config.values, Json::parse(R"({"verb": "train", "attack": {"epsilon": "8/255"}})"));
    EXPECT_TRUE(config.lines.empty());
  }
  write_file(folder / "c", "{\"a\": }");
  expect_error([&] { (void)read_config(folder / "c"); }, ErrorKind::kUsage, "c: not JSON: at byte 7");
}

TEST(ReadConfig, IsNeverLarge) {
  const Folder folder;
  write_file(folder / "c", "");
  std::filesystem::resize_file(folder / "c", (16 << 20) + 1);
  expect_error([&] { (void)read_config(folder / "c"); }, ErrorKind::kIo, "expected at most 16777216");
}

TEST(ParseToml, AnUnquotedFractionIsAnErrorThatSaysHow) {
  for (const auto& [text, advice] : {std::pair("epsilon = 8/255", "epsilon = \"8/255\""),
                                     std::pair("a = 1\n[attack]\n  step=2 / 255 # small\n", "step = \"2 / 255\""),
                                     std::pair("attack.epsilon = 0.5/1", "attack.epsilon = \"0.5/1\"")}) {
    expect_error([text = text] { (void)parse_toml(text, "t"); }, ErrorKind::kUsage,
                 std::string("a fraction is text: ") + advice);
  }
  for (const char* text : {"epsilon = 8 255", "epsilon = ", "a/b = 1", "x = [8/255]"}) {
    try {
      (void)parse_toml(text, "t");
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("fraction"))) << text;
    }
  }
}

TEST(ToText, IsIndentedEndsInANewlineAndHasNoNan) {
  EXPECT_EQ(to_text({{"a", std::nan("")}, {"b", "\xff"}}), "{\n  \"a\": null,\n  \"b\": \"\xef\xbf\xbd\"\n}\n");
}

}  // namespace
}  // namespace pellucid::core
