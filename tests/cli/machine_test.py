"""Where memory is short: each verb works, or ends with exit 3 and one sentence; none hangs, and none ends by a
signal."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from program import PROGRAM, Case, run

SMALL = ["train", "--data", "patterns", "--net", "lenet", "--train-images", "32", "--epochs", "1", "--batch-size", "32",
         "--test-images", "20", "--judge-images", "4", "--test-attack-images", "0", "--test-attack.iterations", "1",
         "--quiet"]
STEPS = range(300, 1501, 100)  # of megabytes
SECONDS = 60  # none of it takes one where it is not hung


class ShortOfMemory(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        run(*SMALL, "--out", cls.made("r"), check=True)
        run("capture", cls.made("r/model.safetensors"), "--data", "patterns", "--images", "3", "--out", cls.made("u"),
            check=True)

    @classmethod
    def made(cls, name):
        return os.path.join(cls.shared.name, name)

    def limited(self, megabytes, *arguments):
        size = megabytes << 20
        return run(*arguments, timeout=SECONDS, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)))

    def works_or_says_so(self, steps, *arguments):
        worked = []
        for megabytes in steps:
            with self.subTest(megabytes=megabytes):
                done = self.limited(megabytes, *arguments)
                self.assertIn(done.returncode, (0, 3), done.stderr)
                worked.append(done.returncode == 0)
                if done.returncode == 3:
                    self.assertRegex(done.stderr, r"^\s*(pellucid.*: .*memory.*|libgomp: .*)\s*$")
                    self.assertEqual(done.stderr.strip().count("\n"), 0, done.stderr)
        self.assertFalse(worked[0])
        self.assertTrue(worked[-1], "it needs more than it did")

    def test_list(self):
        self.works_or_says_so(STEPS, "list")

    def test_invert(self):
        self.works_or_says_so(STEPS, "invert", self.made("u"), "--model", self.made("r/model.safetensors"),
                              "--attack.restarts", "2", "--attack.iterations", "2", "--threads", "2", "--quiet",
                              "--out", self.path("i"))

    def test_train(self):
        self.works_or_says_so(STEPS[::2], *SMALL, "--threads", "2", "--out", self.path("r"))

    def test_evade(self):
        self.works_or_says_so(STEPS[::2], "evade", self.made("r/model.safetensors"), "--data", "patterns",
                              "--images", "4", "--iterations", "1", "--threads", "2", "--quiet")

    def test_study(self):
        self.works_or_says_so([*STEPS[::3], 2000], "study", "stages", "--scale", "smoke", "--threads", "2", "--quiet",
                              "--out", self.path("s"))

    def started(self):
        process = subprocess.Popen([PROGRAM, *SMALL, "--epochs", "1000", "--out", self.path("r")],
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        while not os.path.exists(self.path("r")):  # it works
            time.sleep(0.01)
        return process

    def test_the_stack_is_taken_at_the_start(self):
        """Where the address space has ended, a stack that still has to grow is a signal."""
        with open(f"/proc/{self.started().pid}/maps") as maps:
            begin, end = next(line for line in maps if line.endswith("[stack]\n")).split()[0].split("-")
        self.assertGreater(int(end, 16) - int(begin, 16), 1 << 20)

    def test_a_crash_is_a_shortage_where_there_is_no_memory_alone(self):
        process = self.started()
        resource.prlimit(process.pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
        process.send_signal(signal.SIGSEGV)
        _, errors = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 3, errors)
        self.assertIn("out of memory: a library crashed without it", errors)
        shutil.rmtree(self.path("r"))
        process = self.started()
        process.send_signal(signal.SIGSEGV)
        process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, -signal.SIGSEGV)

    def test_more_threads_than_the_machine_gives(self):
        """The C library and OpenMP crash where the address space ends while threads start, so it is compared before."""
        for threads, code in ((24, 0), (64, 3)):
            done = self.limited(2000, "invert", self.made("u"), "--model", self.made("r/model.safetensors"),
                                "--attack.restarts", "64", "--attack.iterations", "1", "--threads", str(threads),
                                "--quiet", "--out", self.path(str(threads)))
            self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, "64 threads need .* of the address space are left; take fewer --threads")


if __name__ == "__main__":
    unittest.main()
