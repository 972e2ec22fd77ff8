#include "pellucid/study/store.h"

#include "pellucid/core/file.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/stop.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

namespace pellucid::study {
namespace {

using core::Json;

const Json kDeterminants = {{"model", "abc"}, {"settings", {{"tv", 0.1}, {"iterations", 5}}}, {"index", 0}};

Json number(int i) { return {{"index", i}}; }

TEST(CellName, ChangesWithAnyDeterminant) {
  std::set<std::string> names = {cell_name(kDeterminants)};
  for (const auto& [pointer, value] : std::vector<std::pair<std::string, Json>>{
           {"/model", "abd"}, {"/settings/tv", 0.1000001}, {"/settings/iterations", 6}, {"/index", 1}, {"/more", 0}}) {
    Json other = kDeterminants;
    other[Json::json_pointer(pointer)] = value;
    EXPECT_TRUE(names.insert(cell_name(other)).second) << pointer;
  }
}

TEST(CellName, NeverChangesForTheSame) { EXPECT_EQ(cell_name({{"a", 1}}), "015abd7f5cc57a2d"); }  // SHA-256 of {"a":1}

TEST(Store, ComputesACellOnce) {
  const core::Folder folder;
  int computed = 0;
  const auto compute = [&] { return ++computed, Json{{"psnr", 1.0 / 3}}; };
  {
    Store store(folder.path());
    const Json first = store.cell(kDeterminants, compute);
    EXPECT_EQ(first["psnr"], 1.0 / 3);
    EXPECT_EQ(store.cell(kDeterminants, compute), first);
  }
  Store later(folder.path());
  EXPECT_EQ(later.cell(kDeterminants, compute)["psnr"], 1.0 / 3) << "to the bit";
  EXPECT_EQ(computed, 1);
  (void)later.cell(number(1), compute);
  EXPECT_EQ(computed, 2);
}

TEST(Store, GivesTheSameAtOnceAndLater) {
  const core::Folder folder;
  Store store(folder.path());
  EXPECT_TRUE(store.cell(kDeterminants,
                         [] {
                           return Json{{"loss", std::numeric_limits<double>::quiet_NaN()}};
                         })["loss"]
                  .is_null());
}

TEST(Store, SaysInItsFileWhatDeterminesACell) {
  const core::Folder folder;
  (void)Store(folder.path()).cell(kDeterminants, [] { return Json(5); });
  EXPECT_EQ(Json::parse(core::read_text(folder.path() / "cells.jsonl")),
            (Json{{"name", cell_name(kDeterminants)}, {"cell", kDeterminants}, {"result", 5}}));
}

TEST(Store, LacksACellWhoseComputationFails) {
  const core::Folder folder;
  Store store(folder.path());
  core::expect_error(
      [&] { (void)store.cell(kDeterminants, []() -> Json { throw core::Error(core::ErrorKind::kStopped, "why"); }); },
      core::ErrorKind::kStopped, "why");
  EXPECT_EQ(store.cell(kDeterminants, [] { return Json(5); }), 5);
}

TEST(Store, TakesATornLineForNone) {
  const core::Folder folder;
  for (int i = 0; i < 2; ++i) (void)Store(folder.path()).cell(number(i), [] { return Json(5); });
  const auto path = folder.path() / "cells.jsonl";
  const std::string whole = core::read_text(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    core::write_file(path, whole.substr(0, size));
    {
      Store store(folder.path());
      EXPECT_EQ(store.find(cell_name(number(0))).has_value(), size > whole.find('\n')) << size;
      EXPECT_FALSE(store.find(cell_name(number(1)))) << size;
      (void)store.cell(number(2), [] { return Json(7); });
    }
    Store later(folder.path());
    EXPECT_EQ(later.find(cell_name(number(2))), Json(7)) << "written after a torn line of " << size;
  }
}

TEST(Store, ThreadsShareIt) {
  const core::Folder folder;
  Store store(folder.path());
  core::parallel_for(200, 4,
                     [&](std::int64_t i) { (void)store.cell(number(static_cast<int>(i)), [&] { return Json(i); }); });
  Store later(folder.path());
  for (int i = 0; i < 200; ++i) EXPECT_EQ(later.find(cell_name(number(i))), Json(i));
}

// Two processes, each through all cells: what one holds the other leaves, and both end with all of them.
TEST(Store, ProcessesShareItAndComputeNothingTwice) {
  const core::Folder folder;
  constexpr int kCells = 60;
  const auto work = [&] {
    Store store(folder.path());
    for (int i = 0; i < kCells; ++i) {
      (void)store.try_cell(number(i), [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        return Json(getpid());
      });
    }
    for (int i = 0; i < kCells; ++i) (void)store.cell(number(i), [&] { return Json(0); });
  };
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  work();
  int status = 1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  const std::string text = core::read_text(folder.path() / "cells.jsonl");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), kCells);
  Store store(folder.path());
  int ours = 0;
  for (int i = 0; i < kCells; ++i) ours += *store.find(cell_name(number(i))) == getpid();
  EXPECT_GT(ours, 5);
  EXPECT_LT(ours, kCells - 5);
}

TEST(Store, TheLockOfAProcessThatWasKilledEndsWithIt) {
  const core::Folder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    Store store(folder.path());
    (void)store.cell(number(0), [&] {
      (void)!write(ready[1], "x", 1);
      pause();
      return Json();
    });
    _exit(0);
  }
  char x;
  ASSERT_EQ(read(ready[0], &x, 1), 1);
  Store store(folder.path());
  EXPECT_FALSE(store.try_cell(number(0), [] { return Json(5); })) << "the other process is at it";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(store.try_cell(number(0), [] { return Json(5); }), Json(5));
}

TEST(Store, WaitingForAnotherEndsWithAStop) {
  const core::Folder folder;
  Store store(folder.path()), other(folder.path());
  EXPECT_TRUE(other.exclusively(cell_name(number(0)), [&] {
    core::request_stop();
    core::expect_error([&] { (void)store.cell(number(0), [] { return Json(5); }); }, core::ErrorKind::kStopped, "stop");
    core::request_stop(false);
  }));
}

TEST(Store, AsksWhoWasFirst) {
  const core::Folder folder;
  Store store(folder.path(), {.first_to_ask = [](const std::string& name) { return name != cell_name(number(0)); }});
  EXPECT_FALSE(store.try_cell(number(0), [] { return Json(5); }));
  EXPECT_TRUE(store.try_cell(number(1), [] { return Json(5); }));
}

TEST(Store, ThreadsOfOneProcessComputeNothingTwice) {
  const core::Folder folder;
  Store store(folder.path());
  std::atomic<int> computed = 0;
  core::parallel_for(8, 4, [&](std::int64_t) {
    (void)store.cell(number(0), [&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return Json(++computed);
    });
  });
  EXPECT_EQ(computed, 1);
}

// A launcher's processes may not see one another's locks: none writes where another does.
TEST(Store, ALauncherSProcessesWriteFilesOfTheirOwn) {
  const core::Folder folder;
  Store zero(folder.path()), one(folder.path(), {.apart = true});
  (void)zero.cell(number(0), [] { return Json(0); });
  (void)one.cell(number(1), [] { return Json(1); });
  EXPECT_FALSE(zero.find(cell_name(number(1))));
  zero.refresh();
  one.refresh();
  EXPECT_EQ(zero.find(cell_name(number(1))), Json(1));
  EXPECT_EQ(one.find(cell_name(number(0))), Json(0));
  const std::string text = core::read_text(folder.path() / "cells.jsonl");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(Store(folder.path(), {}, /*read_only=*/true).find(cell_name(number(1))), Json(1));
}

TEST(Store, SaysWhereItCannotWrite) {
  core::expect_error([] { Store("/proc/nowhere"); }, core::ErrorKind::kIo, "/proc/nowhere");
}

}  // namespace
}  // namespace pellucid::study
