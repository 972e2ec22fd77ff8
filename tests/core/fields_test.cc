#include "pellucid/core/fields.h"

#include "tests/core/expect_error.h"

#include <limits>

namespace pellucid::core {
namespace {

using testing::ElementsAre;

enum class Colour { kRed, kGreen };

// One field of each kind.
struct Options {
  bool fast = false;
  std::string name = "none";
  std::int64_t steps = 10;
  std::uint64_t seed = 0;
  double rate = 0.5;
  Number epsilon{"8/255"};
  std::vector<std::int64_t> images = {0};
  Colour colour = Colour::kRed;

  Fields fields() {
    return {field("fast", fast, ""),
            field("name", name, ""),
            field("steps", steps, "", 1, 64),
            field("seed", seed, ""),
            field("rate", rate, "", 0, 1),
            field("epsilon", epsilon, "", 0, 1),
            field("images", images, "", 0, 9),
            field("colour", colour, "", Choices<Colour>{{"red", Colour::kRed}, {"green", Colour::kGreen}})};
  }
};

void assign_one(const std::string& key, const Json& value) {
  Options options;
  assign(options.fields(), {{key, value}}, "t.toml");
}

void flag(const std::string& name, const std::string& text) {
  Options options;
  for (const auto& f : options.fields()) {
    if (f.name == name) assign_text(f, text, "--" + name);
  }
}

TEST(Fields, EveryKindTakesItsValue) {
  Options options;
  const Json table = {{"fast", true}, {"name", "x"},    {"steps", 64},      {"seed", 18446744073709551615u},
                      {"rate", 1},    {"epsilon", 0.3}, {"images", {3, 1}}, {"colour", "green"}};
  assign(options.fields(), table, "t.toml");
  EXPECT_TRUE(options.fast);
  EXPECT_EQ(options.name, "x");
  EXPECT_EQ(options.steps, 64);
  EXPECT_EQ(options.seed, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(options.rate, 1);
  EXPECT_EQ(options.epsilon.value, 0.3);
  EXPECT_THAT(options.images, ElementsAre(3, 1));
  EXPECT_EQ(options.colour, Colour::kGreen);
}

TEST(Fields, EveryKindTakesTheTextOfAFlag) {
  Options options;
  const std::vector<std::string> texts = {"true", "x", "64", "18446744073709551615", "0.25", "16/255", "3,1", "green"};
  const Fields fields = options.fields();
  for (std::size_t i = 0; i < fields.size(); ++i) assign_text(fields[i], texts[i], "--" + fields[i].name);
  EXPECT_TRUE(options.fast);
  EXPECT_EQ(options.name, "x");
  EXPECT_EQ(options.steps, 64);
  EXPECT_EQ(options.seed, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(options.rate, 0.25);
  EXPECT_EQ(options.epsilon.value, 16.0 / 255);
  EXPECT_THAT(options.images, ElementsAre(3, 1));
  EXPECT_EQ(options.colour, Colour::kGreen);
}

TEST(Fields, JsonGoesOutAndInAgain) {
  Options options, copy{.fast = true,
                        .name = "y",
                        .steps = 2,
                        .seed = 9,
                        .rate = 0,
                        .epsilon = {},
                        .images = {},
                        .colour = Colour::kGreen};
  const Json table = to_json(options.fields());
  EXPECT_EQ(table.dump(),
            R"({"fast":false,"name":"none","steps":10,"seed":0,"rate":0.5,"epsilon":"8/255","images":[0],)"
            R"("colour":"red"})");
  assign(copy.fields(), table, "t.toml");
  EXPECT_EQ(to_json(copy.fields()), table);
}

TEST(Fields, WhatIsNotNamedStays) {
  Options options;
  assign(options.fields(), {{"steps", 3}}, "t.toml");
  EXPECT_EQ(options.steps, 3);
  EXPECT_EQ(options.rate, 0.5);
}

TEST(Fields, AnUnknownKeyNamesTheNearest) {
  expect_error([] { assign_one("stesp", 3); }, ErrorKind::kUsage,
               "t.toml: unknown key \"stesp\" (did you mean steps?)");
}

TEST(Fields, AnUnknownKeyLikeNoneNamesNone) {
  expect_error([] { assign_one("zzzzzz", 3); }, ErrorKind::kUsage, "t.toml: unknown key \"zzzzzz\"");
  try {
    assign_one("zzzzzz", 3);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("mean")));
  }
}

TEST(Fields, AValueOutOfRangeSaysGotAndExpected) {
  expect_error([] { assign_one("steps", 65); }, ErrorKind::kUsage,
               "t.toml: steps: got 65, expected a whole number from 1 to 64");
  expect_error([] { flag("steps", "0"); }, ErrorKind::kUsage,
               "--steps: got \"0\", expected a whole number from 1 to 64");
  expect_error([] { assign_one("rate", -0.1); }, ErrorKind::kUsage, "rate: got -0.1, expected a number from 0 to 1");
  expect_error([] { assign_one("epsilon", 2); }, ErrorKind::kUsage,
               "expected a number from 0 to 1, or a fraction such as 8/255");
  expect_error(
      [] {
        assign_one("images", {1, 10});
      },
      ErrorKind::kUsage, "got [1,10], expected a list, each a whole number from 0");
  expect_error([] { assign_one("colour", "blue"); }, ErrorKind::kUsage, "colour: got \"blue\", expected red or green");
  expect_error([] { assign_one("seed", -1); }, ErrorKind::kUsage, "seed: got -1, expected a whole number from 0");
}

TEST(Fields, EveryKindRefusesValuesOfOtherTypes) {
  const std::vector<std::pair<std::string, std::vector<Json>>> wrong = {
      {"fast", {1, "true", nullptr}},           {"name", {1, true, nullptr}},
      {"steps", {1.5, "3", true, nullptr}},     {"seed", {1.5, "3", true, nullptr}},
      {"rate", {"0.5", true, nullptr}},         {"epsilon", {"x", true, nullptr, Json::array({0.1})}},
      {"images", {3, "3", Json{1.5}, nullptr}}, {"colour", {0, true, nullptr}}};
  for (const auto& [key, values] : wrong) {
    for (const auto& value : values) {
      expect_error([&, key = key] { assign_one(key, value); }, ErrorKind::kUsage,
                   "t.toml: " + key + ": got " + value.dump());
    }
  }
}

TEST(Fields, EveryKindRefusesOtherText) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> wrong = {
      {"fast", {"", "1", "yes"}},
      {"steps", {"", "1.5", "3x", " 3", "99999999999999999999"}},
      {"seed", {"", "-1", "1e3"}},
      {"rate", {"", "nan", "inf", "0.5x", "1e999"}},
      {"epsilon", {"", "1/0", "a/b", "1/2/3", "nan", "0.1 "}},
      {"images", {"1,,2", ",", "a", "1,2x", "99"}},
      {"colour", {"", "Red"}}};
  for (const auto& [name, texts] : wrong) {
    for (const auto& text : texts) {
      expect_error([&, name = name] { flag(name, text); }, ErrorKind::kUsage,
                   "--" + name + ": got \"" + text + "\", expected ");
    }
  }
}

TEST(Fields, ARefusedValueChangesNothing) {
  Options options;
  const Json before = to_json(options.fields());
  for (const auto& f : options.fields()) {
    EXPECT_FALSE(f.set(Json::object())) << f.name;
    EXPECT_TRUE(f.name == "name" || !f.set_text("?")) << f.name;
  }
  EXPECT_EQ(to_json(options.fields()), before);
}

TEST(Fields, OnlyTrueAndFalseIsASwitch) {
  Options options;
  for (const auto& f : options.fields()) EXPECT_EQ(f.is_switch, f.name == "fast");
}

TEST(Fields, HelpNamesTheValueOfEveryKind) {
  Options options;
  std::vector<std::string> metavars;
  for (const auto& f : options.fields()) metavars.push_back(f.metavar);
  EXPECT_THAT(metavars, ElementsAre("", "TEXT", "N", "N", "X", "X", "N,N,..", "red|green"));
}

TEST(Fields, AnOpenRangeIsSaidAsSuch) {
  std::int64_t count = 0;
  double weight = 0;
  EXPECT_EQ(field("count", count, "", 1, INT64_MAX).expected, "a whole number from 1");
  const Field open = field("weight", weight, "", 0);
  EXPECT_EQ(open.expected, "a number from 0");
  EXPECT_FALSE(open.set_text("inf"));
}

// A file may hold what int64 does not.
TEST(Fields, AWholeNumberTooLargeDoesNotWrapAround) {
  std::int64_t offset = 0;
  std::vector<std::int64_t> offsets;
  const Json huge = 18446744073709551615u;  // -1 as int64
  EXPECT_FALSE(field("offset", offset, "", -5, 5).set(huge));
  EXPECT_FALSE(field("offsets", offsets, "", -5, 5).set(Json::array({huge})));
}

TEST(Fields, AListOfNumbersTakesFractions) {
  std::vector<double> rates;
  const Field list = field("rates", rates, "", 0, 1);
  EXPECT_TRUE(list.set_text("0.5,1,8/255"));
  EXPECT_THAT(rates, ElementsAre(0.5, 1, 8.0 / 255));
  for (const char* text : {"2", "0.5,-1", "x", "0.5,,1", "nan"}) EXPECT_FALSE(list.set_text(text)) << text;
  EXPECT_TRUE(list.set(Json({0, 0.25})));
  EXPECT_THAT(rates, ElementsAre(0, 0.25));
  EXPECT_EQ(list.get().dump(), "[0.0,0.25]");
  EXPECT_FALSE(list.set(Json({"0.25"})));
  EXPECT_EQ(list.expected, "a list, each a number from 0 to 1, or a fraction such as 8/255");
}

TEST(Number, KeepsWhatWasTyped) {
  const Number fraction("8/255"), decimal("0.0314");
  EXPECT_EQ(fraction.typed, "8/255");
  EXPECT_EQ(fraction.value, 8.0 / 255);
  EXPECT_EQ(decimal.typed, "0.0314");
  EXPECT_EQ(decimal.value, 0.0314);
  EXPECT_EQ(Number().typed, "0");
}

TEST(Number, KeepsWhatATableHolds) {
  Options options;
  assign(options.fields(), {{"epsilon", 0.0314}}, "t.toml");
  EXPECT_EQ(to_json(options.fields())["epsilon"], "0.0314");
  assign(options.fields(), {{"epsilon", "4/255"}}, "t.toml");
  EXPECT_EQ(to_json(options.fields())["epsilon"], "4/255");
}

TEST(Number, RefusesWhatIsNone) {
  for (const char* text : {"", "x", "1/", "/2", "1/0", "1e999", "nan", "8/255 "}) {
    expect_error([&] { Number number(text); }, ErrorKind::kUsage,
                 "expected a number or a fraction such as 0.3 or 8/255");
  }
}

TEST(Nearest, FindsTheCandidateMeant) {
  const std::vector<std::string> names = {"steps", "epsilon", "step"};
  EXPECT_EQ(nearest("stpes", names), "steps");
  EXPECT_EQ(nearest("epslon", names), "epsilon");
  EXPECT_EQ(nearest("step", names), "step");
  EXPECT_EQ(nearest("momentum", names), "");
  EXPECT_EQ(nearest("x", {}), "");
}

TEST(JoinChoices, ReadsAsASentence) {
  EXPECT_EQ(join_choices({"a"}), "a");
  EXPECT_EQ(join_choices({"a", "b"}), "a or b");
  EXPECT_EQ(join_choices({"a", "b", "c"}), "a, b or c");
}

}  // namespace
}  // namespace pellucid::core
