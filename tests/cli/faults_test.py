"""Whatever happens at whichever change to a file (the process is killed before, within or after it, or there is no
room), the same command then ends with the bytes of an undisturbed run, and leaves nothing else.

The changes are counted by fault_shim.so, which is preloaded. `capture`, which is quick, meets each fault at every
change; other verbs at a seeded sample: the first, the last, and others in between, which go in turn through the calls
that make changes (open, write, fsync ...). FAULTS=all tries everything.
"""

import itertools
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import unittest

from pictures import folder
from program import PROGRAM, run

SHIM = os.path.join(os.path.dirname(PROGRAM), "tests/cli/fault_shim.so")
KINDS = ("kill", "half", "full", "once")
MOMENT = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?Z?|(?<=<dt>seconds</dt><dd>)[^<]+")


STUDY = """
title = "Tiny"
compare = "tv"
images = 2
[model]
data = "DATA"
net = "lenet"
train_images = 32
test_images = 20
judge_images = 4
[training]
epochs = 1
checkpoint_steps = [0]
test_attack_images = 0
[training.test_attack]
iterations = 1
[client]
checkpoint = "step 0"
[attack]
iterations = 2
restarts = 1
[[axis]]
name = "tv"
levels = [{ label = "none", attack.tv = 0 }, { label = "some", attack.tv = 1e-3 }]
[scale.laptop]
"""


def timeless(json_value):
    """A JSON value without what says when it was made and how long that took, and without the checksum over these."""
    if isinstance(json_value, dict):
        return {key: timeless(value) for key, value in json_value.items() if key not in ("date", "seconds", "checksum")}
    return [timeless(value) for value in json_value] if isinstance(json_value, list) else json_value


def cells(content):
    """What a journal holds: name to result, but for torn lines."""
    found = {}
    for line in content.split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "name" in entry:
            found[entry["name"]] = timeless(entry.get("result"))
    return found


def contents(folder):
    """Every file of a folder but for TensorBoard's, whose names hold the time; journals as what they hold; no dates and
    durations."""
    found = {}
    for place, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(place, name)
            key = os.path.relpath(path, folder)
            if name.startswith("events.out.tfevents"):
                continue
            with open(path, "rb") as file:
                content = file.read()
            if name.endswith(".jsonl"):
                found[key] = cells(content)
            elif name == "result.json":
                found[key] = timeless(json.loads(content))
            else:
                found[key] = MOMENT.sub(b"", content)
    return found


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """A few pictures: loading them takes no time, so that many calls can be tried."""
        place = tempfile.TemporaryDirectory()
        cls.addClassCleanup(place.cleanup)
        cls.images = folder(os.path.join(place.name, "images"), {name: (k, 12) for k, name in enumerate("abc")},
                            {name: (k, 7) for k, name in enumerate("abc")})
        cls.data = ["--data", cls.images, "--threads", "1", "--quiet"]
        cls.train = ["train", *cls.data, "--net", "lenet", "--train-images", "32", "--epochs", "1",
                     "--batch-size", "32", "--test-images", "20", "--judge-images", "4", "--test-attack-images", "0",
                     "--test-attack.iterations", "1"]

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.base, self.place = place.name, os.path.join(place.name, "place")
        self.log = os.path.join(place.name, "log")

    def attempt(self, command, kind=None, at=None):
        """Runs the command in the place with a fault; nothing goes wrong without one, and the changes are logged."""
        environment = {**os.environ, "LD_PRELOAD": SHIM, "FAULT_FOLDER": self.place, "FAULT_LOG": self.log}
        if kind:
            environment |= {"FAULT_KIND": kind, "FAULT_AT": str(at)}
        return subprocess.run([PROGRAM, *command], capture_output=True, text=True, cwd=self.place, env=environment)

    def prepare(self, before):
        shutil.rmtree(self.place, ignore_errors=True)
        if before:
            shutil.copytree(before, self.place)
        else:
            os.mkdir(self.place)

    def survives(self, arguments, sample, expected_files, before=None):
        """@param sample how many changes between the first and the last are tried with each fault; 0: all."""
        command = [argument.replace("PLACE", self.place) for argument in arguments]
        self.prepare(before)
        done = self.attempt(command)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.log) as file:
            changes = file.read().split()
        self.assertGreater(len(changes), 4)
        expected = contents(self.place)
        for name in expected_files:
            self.assertIn(name, expected)

        draw = random.Random(len(changes))
        calls = itertools.cycle(sorted(set(changes)))
        for kind in KINDS:
            numbers = range(1, len(changes) + 1)
            if sample and os.environ.get("FAULTS") != "all":
                between = [draw.choice([n for n in numbers if changes[n - 1] == call])
                           for call in itertools.islice(calls, sample)]
                numbers = sorted({1, len(changes), *between})
            for at in numbers:
                with self.subTest(kind=kind, at=at, of=len(changes), change=changes[at - 1]):
                    self.prepare(before)
                    done = self.attempt(command, kind, at)
                    if kind in ("full", "once"):
                        if changes[at - 1] == "unlink" and done.returncode == 0:
                            continue
                        self.assertEqual(done.returncode, 3, done.stderr)
                        self.assertIn("No space left on device", done.stderr)
                        self.assertEqual(done.stderr.strip().count("\n"), 0, done.stderr)
                    else:
                        self.assertEqual(done.returncode, -9)
                    again = run(*command, cwd=self.place)
                    self.assertEqual(again.returncode, 0, again.stderr)
                    found = contents(self.place)
                    self.assertEqual(sorted(found), sorted(expected))
                    self.assertEqual([name for name in expected if found[name] != expected[name]], [])

    def trained(self):
        """A folder with a network and an update in it."""
        before = os.path.join(self.base, "before")
        run(*self.train, "--out", os.path.join(before, "r"), check=True)
        run("capture", os.path.join(before, "r/model.safetensors"), *self.data, "--out", os.path.join(before, "u"),
            "--truth", os.path.join(before, "t"), check=True)
        return before

    def test_train(self):
        self.survives([*self.train, "--out", "PLACE/run"], 2,
                      ["run/result.json", "run/model.safetensors", "run/config.json"])

    def test_capture(self):
        self.survives(["capture", "r/model.safetensors", *self.data, "--images", "3", "--out", "out/u",
                       "--truth", "out/t"], 0, ["out/u", "out/t"], self.trained())

    def test_invert(self):
        self.survives(["invert", "u", "--model", "r/model.safetensors", "--truth", "t", "--attack.restarts", "1",
                       "--attack.iterations", "2", "--threads", "1", "--quiet", "--out", "out"], 2,
                      ["out/result.json", "out/images/0000.png"], self.trained())

    def test_evade(self):
        self.survives(["evade", "r/model.safetensors", *self.data, "--images", "4", "--batch-size", "2",
                       "--iterations", "1", "--lint-images", "0", "--out", "out"], 2,
                      ["out/result.json", "out/cells.jsonl"], self.trained())

    def test_demo(self):
        command = ["demo", "--scale", "smoke", *self.data, "--images", "1"]
        for setting in ("model.net='lenet'", "model.train_images=32", "model.test_images=20", "model.judge_images=4",
                        "training.test_attack_images=0", "training.test_attack.iterations=1",
                        "training.attack.iterations=1", "training.precision='float32'", "attack.iterations=2"):
            command += ["--set", setting]
        # Its networks and controls are there: what becomes of those is test_study's.
        before = os.path.join(self.base, "before")
        run(*command, "--out", os.path.join(before, "other"), check=True)
        self.survives([*command, "--out", "PLACE/run"], 1, ["run/result.json", "run/report.html", "run/cells.jsonl"],
                      before)

    def test_study(self):
        tiny = os.path.join(self.base, "tiny.toml")
        with open(tiny, "w") as file:
            file.write(STUDY.replace("DATA", self.images))
        self.survives(["study", tiny, "--threads", "1", "--quiet", "--out", "PLACE/run", "--trained", "PLACE/trained"],
                      1, ["run/result.json", "run/results.csv", "run/table.tex", "run/report.html", "run/cells.jsonl"])


if __name__ == "__main__":
    unittest.main()
