#include "pellucid/report/node.h"

#include "fixture.h"
#include <gmock/gmock.h>

namespace pellucid::report {
namespace {

using core::Json;
using testing::ElementsAre;
using testing::Eq;
using testing::HasSubstr;

const Json kJson = Json::parse(R"({"text": "a<b", "n": 3, "half": 0.5, "yes": true, "none": null,
                                   "list": [1, null, 2.5], "rows": [{"x": 1}, {"y": 2}]})");
const Node kRoot(kJson, "run/result.json");

TEST(Node, ReadsEachKind) {
  EXPECT_EQ(kRoot["text"].text(), "a<b");
  EXPECT_EQ(kRoot["text"].html(), "a&lt;b");
  EXPECT_EQ(kRoot["n"].whole(), 3);
  EXPECT_EQ(kRoot["half"].number(), 0.5);
  EXPECT_EQ(kRoot["none"].number(), std::nullopt);
  EXPECT_TRUE(kRoot["yes"].boolean());
  EXPECT_THAT(kRoot["list"].numbers(), ElementsAre(Eq(1.0), Eq(std::nullopt), Eq(2.5)));
  EXPECT_EQ(kRoot["rows"].items().size(), 2u);
  EXPECT_EQ(kRoot.fields().front().first, "text");
  EXPECT_EQ(kRoot["half"].as_written(), "0.5");
  EXPECT_EQ(kRoot["text"].as_written(), "a<b");
}

TEST(Node, HasMeansThereAndNotNull) {
  EXPECT_TRUE(kRoot.has("n"));
  EXPECT_FALSE(kRoot.has("none"));
  EXPECT_FALSE(kRoot.has("other"));
}

TEST(Node, NamesFileAndPathOfAMissingField) {
  EXPECT_EQ(data_error([] { (void)kRoot["rows"].items()[1]["x"]; }),
            "run/result.json: $.rows[1].x: got no such field, expected one");
}

TEST(Node, SaysWhatItGotAndExpectedForEachKind) {
  EXPECT_EQ(data_error([] { (void)kRoot["n"].text(); }), "run/result.json: $.n: got 3, expected text");
  EXPECT_THAT(data_error([] { (void)kRoot["half"].whole(); }), HasSubstr("got 0.5, expected a whole number"));
  EXPECT_THAT(data_error([] { (void)kRoot["n"].boolean(); }), HasSubstr("expected true or false"));
  EXPECT_THAT(data_error([] { (void)kRoot["text"].number(); }), HasSubstr("expected a number or null"));
  EXPECT_THAT(data_error([] { (void)kRoot["n"].numbers(); }), HasSubstr("expected a list of numbers"));
  EXPECT_THAT(data_error([] { (void)kRoot["rows"].numbers(); }),
              HasSubstr("$.rows[0]: got {\"x\":1}, expected a number"));
  EXPECT_THAT(data_error([] { (void)kRoot["n"].items(); }), HasSubstr("expected a list"));
  EXPECT_THAT(data_error([] { (void)kRoot["n"].fields(); }), HasSubstr("expected an object"));
  EXPECT_THAT(data_error([] { (void)kRoot["n"]["x"]; }), HasSubstr("expected an object"));
  EXPECT_THAT(data_error([] { (void)kRoot["n"].has("x"); }), HasSubstr("expected an object"));
}

TEST(Node, DoesNotQuoteALongValue) {
  const Json json = {{"a", std::string(1000, 'x')}};
  EXPECT_EQ(data_error([&] { (void)Node(json, "f")["a"].number(); }),
            "f: $.a: got a value of type string, expected a number or null");
}

TEST(Interval, MayBeMissingWholeOrInPart) {
  const Json json = {{"whole", nullptr}, {"part", {{"value", 1.5}, {"low", nullptr}, {"high", 2}}}};
  const Node root(json, "f");
  EXPECT_FALSE(interval(root["whole"]).value);
  EXPECT_EQ(interval(root["part"]).value, 1.5);
  EXPECT_FALSE(interval(root["part"]).low);
  EXPECT_EQ(interval(root["part"]).high, 2.0);
}

}  // namespace
}  // namespace pellucid::report
