#include "pellucid/report/comparison.h"

#include "fixture.h"
#include <gmock/gmock.h>

namespace pellucid::report {
namespace {

using core::Json;
using testing::HasSubstr;

std::string refusal(const Json& result) {
  return data_error([&] { (void)open_comparison(result, "run"); });
}

TEST(Comparison, FindsWhatBelongsToAPlace) {
  const Json result = fixture();
  const Comparison c = open_comparison(result, kFixture);
  const Node* found = find(c.reconstructions, std::string("ig"), std::string("adversarial"), std::int64_t{3});
  ASSERT_NE(found, nullptr);
  EXPECT_EQ((*found)["attack"].text(), "ig");
  EXPECT_EQ((*found)["model"].text(), "adversarial");
  EXPECT_EQ((*found)["image"].whole(), 3);
  EXPECT_EQ(find(c.reconstructions, std::string("ig"), std::string("adversarial"), std::int64_t{99}), nullptr);
  EXPECT_EQ(c.metrics.at("ig").front(), "psnr");
}

TEST(Comparison, RefusesAnotherSchema) {
  Json result = fixture();
  result["schema"] = "pellucid.comparison/2";
  EXPECT_EQ(refusal(result),
            "run/result.json: $.schema: got \"pellucid.comparison/2\", expected \"pellucid.comparison/1\"");
}

TEST(Comparison, RefusesAResultWithoutModelsOrAttacks) {
  for (const char* list : {"models", "attacks"}) {
    Json result = fixture();
    result[list] = Json::array();
    EXPECT_THAT(refusal(result), HasSubstr(std::string("$.") + list + ": got [], expected one"));
  }
}

TEST(Comparison, RefusesAnIdThatIsNotListed) {
  for (const char* list : {"reconstructions", "summaries", "paired"}) {
    Json result = fixture();
    result[list][0]["attack"] = "other";
    EXPECT_THAT(refusal(result), HasSubstr(std::string("$.") + list +
                                           "[0].attack: got \"other\", expected the id of an attack: residual or ig"));
  }
  for (const char* list : {"reconstructions", "summaries"}) {
    Json result = fixture();
    result[list][0]["model"] = "other";
    EXPECT_THAT(refusal(result), HasSubstr("expected the id of a model: standard or adversarial"));
  }
  Json result = fixture();
  result["reconstructions"][0]["image"] = 99;
  EXPECT_THAT(refusal(result), HasSubstr("$.reconstructions[0].image: got 99, expected the index of an image"));
  result = fixture();
  result["paired"][0]["metric"] = "other";
  EXPECT_THAT(refusal(result),
              HasSubstr("$.paired[0].metric: got \"other\", expected a metric of that attack's summaries"));
}

TEST(Comparison, RefusesASecondEntryForOnePlace) {
  for (const char* list : {"reconstructions", "summaries", "paired"}) {
    Json result = fixture();
    const Json first = result[list][0];
    result[list].push_back(first);
    EXPECT_THAT(refusal(result), HasSubstr("got a second entry for the same place, expected one"));
  }
}

}  // namespace
}  // namespace pellucid::report
