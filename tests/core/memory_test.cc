// The memory budget.
#include "pellucid/core/memory.h"

#include "pellucid/core/error.h"
#include "pellucid/core/fields.h"

#include <gmock/gmock.h>

namespace pellucid::core {
namespace {

using testing::HasSubstr;

struct Budget : testing::Test {
  ~Budget() override { set_memory_budget(0); }
};

TEST_F(Budget, RefusesWhatIsMore) {
  set_memory_budget(1000);
  EXPECT_NO_THROW(require_memory(1000, "x"));
  try {
    require_memory(1001, "x.idx: images");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), HasSubstr("x.idx: images: needs 1001 bytes"));
    EXPECT_THAT(error.what(), HasSubstr("--memory"));
  }
}

TEST_F(Budget, IsTheMachinesUnlessDeclared) {
  const auto machine = memory_budget();
  EXPECT_GT(machine, 64U << 20);
  set_memory_budget(5);
  EXPECT_EQ(memory_budget(), 5);
  set_memory_budget(0);
  EXPECT_EQ(memory_budget(), machine);
}

TEST(FormatBytes, TakesTheLargestUnit) {
  EXPECT_EQ(format_bytes(17), "17 bytes");
  EXPECT_EQ(format_bytes(200U << 20), "200 MiB");
  EXPECT_EQ(format_bytes(3ULL << 29), "1.5 GiB");
}

TEST(Size, IsANumberOrANumberAndAUnit) {
  EXPECT_EQ(Size("100").bytes, 100);
  EXPECT_EQ(Size("4G").bytes, 4ULL << 30);
  EXPECT_EQ(Size("500M").typed, "500M");
  for (const char* text : {"", "G", "-1", "1.5G", "4GB", "99999999999T"}) EXPECT_THROW(Size{text}, Error) << text;
}

}  // namespace
}  // namespace pellucid::core
