// One process by itself; two are started by tests/cli.
#include "pellucid/core/processes.h"

#include "pellucid/core/device.h"

#include "tests/core/expect_error.h"
#include <torch/cuda.h>

#include <cstdlib>

namespace pellucid::core {
namespace {

// Environment variables for the length of a test.
struct ProcessesTest : testing::Test {
  static constexpr const char* kNames[] = {"RANK",       "WORLD_SIZE",   "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                                           "LOCAL_RANK", "SLURM_LOCALID"};
  void SetUp() override {
    for (const char* name : kNames) unsetenv(name);
  }
  void TearDown() override { SetUp(); }
  static void set(const char* name, const char* value) { setenv(name, value, 1); }
};

TEST_F(ProcessesTest, AreOneWithoutALauncher) {
  const auto one = Processes::from_environment();
  EXPECT_EQ(one.rank(), 0);
  EXPECT_EQ(one.count(), 1);
  EXPECT_TRUE(one.first());
}

TEST_F(ProcessesTest, OfOneSumNothing) {
  const Processes one;
  const Tensor x = torch::arange(3);
  EXPECT_TRUE(torch::equal(one.sum(x), x));
  EXPECT_TRUE(torch::equal(one.sum(std::vector<Tensor>{x, x + 1})[1], x + 1));
  EXPECT_TRUE(torch::equal(one.differentiable_sum(x), x));
}

TEST_F(ProcessesTest, RefuseARankThatIsNone) {
  set("OMPI_COMM_WORLD_SIZE", "2");
  for (const auto& [rank, message] :
       {std::pair("2", "$OMPI_COMM_WORLD_RANK: got 2, expected less than $OMPI_COMM_WORLD_SIZE = 2"),
        std::pair("-1", "got \"-1\", expected a whole number"), std::pair("1x", "got \"1x\"")}) {
    set("OMPI_COMM_WORLD_RANK", rank);
    expect_error([] { (void)Processes::from_environment(); }, ErrorKind::kUsage, message);
  }
}

TEST_F(ProcessesTest, ShareEvenlyWithoutGaps) {
  const Processes one;
  EXPECT_EQ(one.share(7).begin, 0);
  EXPECT_EQ(one.share(7).end, 7);
}

TEST_F(ProcessesTest, KnowTheirNumberOnTheirMachine) {
  EXPECT_FALSE(local_rank());
  set("SLURM_LOCALID", "3");
  EXPECT_EQ(local_rank(), 3);
  set("LOCAL_RANK", "1");
  EXPECT_EQ(local_rank(), 1) << "torchrun knows best";
}

TEST_F(ProcessesTest, TakeTheCudaDeviceOfTheirNumber) {
  EXPECT_EQ(device("cpu"), torch::Device(torch::kCPU));
  if (torch::cuda::is_available()) GTEST_SKIP() << "the messages below are for machines without CUDA";
  set("LOCAL_RANK", "1");
  expect_error([] { (void)device("cuda"); }, ErrorKind::kUsage, "finds 0 CUDA devices and needs number 1");
  expect_error([] { (void)device("cuda:4"); }, ErrorKind::kUsage, "needs number 4");
  for (const char* name : {"gpu", "cuda:", "cuda:-1", "cuda:1x", ""}) {
    expect_error([&] { (void)device(name); }, ErrorKind::kUsage, "expected cpu, cuda or cuda:N");
  }
}

}  // namespace
}  // namespace pellucid::core
