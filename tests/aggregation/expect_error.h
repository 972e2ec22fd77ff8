// How the tests of this folder check an error: its kind and a part of its message.
#pragma once

#include "pellucid/core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace pellucid::aggregation {

template <typename Call>
void expect_error(Call call, core::ErrorKind kind, const std::string& message) {
  try {
    (void)call();
    ADD_FAILURE() << "no error, expected: " << message;
  } catch (const core::Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(message));
  }
}

}  // namespace pellucid::aggregation
