"""What the tests of the program share. A test file is run as `FILE PROGRAM [unittest arguments]`."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
STUDY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../report/study_fixture")
VERBS = ["demo", "train", "evade", "capture", "inspect", "invert", "imprint", "study", "report", "privacy",
         "aggregate", "data", "bench", "list", "explain"]
TINY = ["--data", "patterns", "--train-images", "256", "--threads", "1", "--judge-images", "10",
        "--test-attack-images", "0"]
# The demo in seconds.
SHORT_DEMO = ["demo", "--scale", "smoke", "--threads", "1", "--quiet"]
for setting in ("model.train_images=256", "model.test_images=100", "model.judge_images=10",
                "training.test_attack_images=0", "training.test_attack.iterations=2", "training.attack.iterations=1",
                "attack.iterations=20"):
    SHORT_DEMO += ["--set", setting]


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, **options)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.01)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, *parts):
        return os.path.join(self.folder.name, *parts)

    def lines(self, *parts):
        with open(self.path(*parts)) as file:
            return file.readlines()

    def write(self, name, content):
        mode = "wb" if isinstance(content, bytes) else "w"
        with open(self.path(name), mode) as file:
            file.write(content)
        return self.path(name)

    def ok(self, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def refused(self, code, wanted, *arguments, **options):
        """The program ends with `code` and says, in one line on stderr, each of the texts in `wanted`."""
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(done.stderr.strip().count("\n"), 0, done.stderr)
        for text in wanted:
            self.assertIn(text, done.stderr)
