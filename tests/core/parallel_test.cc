#include "pellucid/core/parallel.h"

#include "pellucid/core/torch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace pellucid::core {
namespace {

TEST(ParallelFor, CallsEachIndexOnce) {
  for (const int threads : {-1, 0, 1, 4, 64}) {
    std::vector<std::atomic<int>> calls(50);
    parallel_for(50, threads, [&](std::int64_t i) { ++calls[i]; });
    for (const auto& count : calls) EXPECT_EQ(count, 1) << threads;
  }
}

TEST(ParallelFor, OfNothingCallsNothing) {
  parallel_for(0, 4, [](std::int64_t) { FAIL(); });
}

TEST(ParallelFor, WithOneThreadKeepsToTheCallersInOrder) {
  const auto caller = std::this_thread::get_id();
  std::vector<std::int64_t> order;
  parallel_for(5, 1, [&](std::int64_t i) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    order.push_back(i);
  });
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4));
}

// Each of three pieces waits until all three have begun: fewer threads would never end.
TEST(ParallelFor, RunsAsManyAtATimeAsAsked) {
  std::atomic<int> begun = 0;
  std::mutex mutex;
  std::set<std::thread::id> threads;
  parallel_for(3, 3, [&](std::int64_t) {
    ++begun;
    while (begun < 3) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 3u);
}

TEST(ParallelFor, PassesTheFirstExceptionOnAndDropsTheRest) {
  for (const int threads : {1, 3}) {
    std::atomic<int> calls = 0;
    try {
      parallel_for(1'000'000, threads, [&](std::int64_t) {
        ++calls;
        throw std::runtime_error("piece failed");
      });
      FAIL() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "piece failed");
    }
    EXPECT_LE(calls, threads);
  }
}

TEST(ParallelFor, SwitchesLibtorchsThreadsOffAndOnAgain) {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  parallel_for(4, 2, [](std::int64_t) { EXPECT_EQ(at::get_num_threads(), 1); });
  EXPECT_EQ(at::get_num_threads(), 3);
  EXPECT_THROW(parallel_for(4, 2, [](std::int64_t) { throw std::runtime_error("x"); }), std::runtime_error);
  EXPECT_EQ(at::get_num_threads(), 3);
  at::set_num_threads(before);
}

TEST(AvailableCores, IsAtLeastOne) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), 4096);
}

}  // namespace
}  // namespace pellucid::core
