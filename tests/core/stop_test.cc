#include "pellucid/core/stop.h"

#include "tests/core/expect_error.h"

#include <csignal>

namespace pellucid::core {
namespace {

struct Stop : testing::Test {
  void SetUp() override { request_stop(false); }
  void TearDown() override {
    request_stop(false);
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
  }
};

TEST_F(Stop, IsNotRequestedAtFirst) {
  EXPECT_FALSE(stop_requested());
  EXPECT_NO_THROW(throw_if_stopped());
}

TEST_F(Stop, RequestThrowsAnErrorThatSaysItIsResumable) {
  request_stop();
  EXPECT_TRUE(stop_requested());
  expect_error([] { throw_if_stopped(); }, ErrorKind::kStopped, "the same command goes on from here");
  request_stop(false);
  EXPECT_NO_THROW(throw_if_stopped());
}

TEST_F(Stop, SignalsRequestIt) {
  for (const int signal : {SIGINT, SIGTERM}) {
    request_stop(false);
    catch_stop_signals();
    std::raise(signal);
    EXPECT_TRUE(stop_requested()) << signal;
  }
}

TEST(StopDeathTest, ASecondSignalEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        catch_stop_signals();
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace pellucid::core
