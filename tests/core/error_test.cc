#include "pellucid/core/error.h"

#include <gtest/gtest.h>

namespace pellucid::core {
namespace {

TEST(Error, FormatsItsMessage) {
  const Error error(ErrorKind::kData, "{}: got {}, expected {}", "a.gz", 3, 4);
  EXPECT_EQ(error.kind(), ErrorKind::kData);
  EXPECT_STREQ(error.what(), "a.gz: got 3, expected 4");
}

TEST(Error, TakesAPlainMessageAsItIs) { EXPECT_STREQ(Error(ErrorKind::kIo, "disk {} full").what(), "disk {} full"); }

TEST(Error, PutsContextInFront) {
  Error error(ErrorKind::kModel, "wrong shape");
  error.add_context("conv1").add_context("net.safetensors");
  EXPECT_STREQ(error.what(), "net.safetensors: conv1: wrong shape");
}

TEST(Error, KindDecidesTheExitCode) {
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kData), 3);
  EXPECT_EQ(exit_code(ErrorKind::kModel), 3);
  EXPECT_EQ(exit_code(ErrorKind::kIo), 3);
  EXPECT_EQ(exit_code(ErrorKind::kInternal), 4);
  EXPECT_EQ(exit_code(ErrorKind::kStopped), 75);
}

}  // namespace
}  // namespace pellucid::core
