"""A study's journal, plan and outputs as users meet them: damaged, cut short, grown, refused."""

import itertools
import json
import os
import random
import re
import resource
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

from program import PROGRAM, Case, digest, run

TOML = """
title = "Größe & ε: 100 % of <b>\\"x\\"</b> #1_a^b ~ 猫 😀"
question = "Does $\\\\alpha$ | β matter?"
images = 2
compare = "tv, \\"ε\\""
x = "=HYPERLINK(1)"
[model]
data = "DATA"
net = "lenet"
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
iterations = 5
restarts = 1
[[axis]]
name = "tv, \\"ε\\""
title = "ε → TV"
levels = [{ label = "NA", attack.tv = 0 }, { label = "=1+1", attack.tv = 1e-3 }, { label = "[2]", attack.tv = 1e-2 }]
[[axis]]
name = "=HYPERLINK(1)"
title = "<script>alert(1)</script>"
levels = [{ label = "-0.5", attack.l1 = 0 }, { label = "café\\nline", attack.l1 = 1e-3 }]
"""
OUTPUTS = ("report.html", "results.csv", "table.tex")


def png(side, value):
    """A grey PNG, a diagonal of `value` on black."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    rows = b"".join(b"\0" + bytes(value if abs(x - y) < 5 else 0 for x in range(side)) for y in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def image_folder(path, side=28):
    """Three classes of 8 images to train on and 4 to test on; one name is not UTF-8."""
    for split, count in ((b"train", 8), (b"test", 4)):
        for c, name in enumerate((b"=ant", b"b\xe9e", b"cat")):
            folder = os.path.join(os.fsencode(path), split, name)
            os.makedirs(folder)
            for i in range(count):
                with open(os.path.join(folder, b"%d.png" % i), "wb") as file:
                    file.write(png(side, 60 * (c + 1) + i))


def events(folder):
    return sorted(os.listdir(os.path.join(folder, "events")))


class Study(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        cls.file = os.path.join(cls.shared.name, "odd.toml")
        image_folder(os.path.join(cls.shared.name, "images"))
        with open(cls.file, "w") as file:
            file.write(TOML.replace("DATA", os.path.join(cls.shared.name, "images")))
        cls.finished = os.path.join(cls.shared.name, "run")
        done = run(*cls.arguments(cls.finished))
        assert done.returncode == 0, done.stderr
        with open(os.path.join(cls.finished, "result.json")) as file:
            cls.figures = cls.without_dates(json.load(file))

    @classmethod
    def arguments(cls, out, *changes):
        return ["study", cls.file, "--scale", "", "--threads", "1", "--quiet", "--out", out,
                "--trained", os.path.join(cls.shared.name, "trained"),
                *(part for change in changes for part in ("--set", change))]

    @staticmethod
    def without_dates(result):
        result["environment"].pop("date")
        result.pop("checksum")
        return result

    def copy(self):
        shutil.rmtree(self.path("run"), ignore_errors=True)
        shutil.copytree(self.finished, self.path("run"))
        return self.path("run")

    # Integrity.

    def damaged(self, name, change, reported=True):
        """A run folder whose file is damaged, reported on and run again."""
        folder = self.copy()
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            before = file.read()
        content = change(before)
        with open(path, "wb") as file:
            file.write(content)
        report = run("report", folder) if reported else None
        done = run(*self.arguments(folder))
        return before, content, report, done

    def result_stands(self, folder):
        with open(os.path.join(folder, "result.json")) as file:
            self.assertEqual(self.without_dates(json.load(file)), self.figures)

    def flips(self, count):
        def flip(content):
            at = random.randrange(len(content))
            return content[:at] + bytes([content[at] ^ 1 << random.randrange(8)]) + content[at + 1:]
        return [flip] * count

    def cuts(self, count):
        return [lambda content: content[:random.randrange(len(content))]] * count

    def test_no_damage_passes_silently(self):
        random.seed(16)
        count = int(os.environ.get("PELLUCID_DAMAGES", "3"))  # fuzz_journal, fuzz_result: thousands
        for name in ("cells.jsonl", "result.json"):
            for change in self.flips(count) + self.cuts(count):
                before, content, report, done = self.damaged(name, change)
                where = f"{name}: {before[:80]!r} {len(content)} of {len(before)}"
                self.assertEqual(done.returncode, 0, where + done.stderr)
                at_line_end = len(content) < len(before) and (not content or content.endswith(b"\n"))
                if not at_line_end and content.rstrip(b"\n") != before.rstrip(b"\n"):
                    self.assertIn(name, done.stderr, where)
                self.result_stands(self.path("run"))
                if name == "result.json" and content.rstrip(b"\n") != before.rstrip(b"\n"):
                    self.assertEqual(report.returncode, 3, where)
                    self.assertIn("result.json", report.stderr)
                else:
                    self.assertEqual(report.returncode, 0, report.stderr)

    def test_a_damaged_config_is_written_again_or_refused(self):
        random.seed(17)
        count = int(os.environ.get("PELLUCID_DAMAGES", "4"))
        for change in self.flips(count) + self.cuts(count):
            before, _, _, done = self.damaged("config.json", change, reported=False)
            self.assertIn(done.returncode, (0, 2, 3), done.stderr)
            if done.returncode == 0:
                with open(self.path("run", "config.json"), "rb") as file:
                    self.assertEqual(file.read(), before)

    def test_lines_of_another_version_are_left_out(self):
        folder = self.copy()
        path = os.path.join(folder, "cells.jsonl")
        with open(path) as file:
            lines = [json.loads(line) for line in file]
        with open(path, "w") as file:
            for line in lines:
                file.write(json.dumps({key: line[key] for key in ("name", "cell", "result")}) + "\n")
        done = run(*self.arguments(folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("12 of 12 lines are of another version of Pellucid and are left out", done.stderr)
        self.result_stands(folder)

    def test_a_report_names_what_is_wrong_in_a_result(self):
        """At each place three of the values, so that each value is at four places; with $PELLUCID_DAMAGES all of them.
        (fuzz_result tries thousands.)"""
        with open(os.path.join(self.finished, "result.json")) as file:
            whole = json.load(file)
        whole.pop("checksum")
        values = itertools.cycle((None, 5, -1e300, True, "text", [], {}, [[]], "\x1b[31m" + "x" * 100_000))
        tried = 9 if "PELLUCID_DAMAGES" in os.environ else 3
        for path in (["groups", 0, "metrics", "psnr"], ["groups", 0, "label"], ["axes"], ["cells", 0, "psnr"],
                     ["environment"], ["metrics", 0, "key"], ["cells", 0, "group"], ["gallery", 0, "original"],
                     ["title"], ["schema"], ["trainings", 0, "label"], ["controls", 0, "kind"]):
            for value in itertools.islice(values, tried):
                broken = json.loads(json.dumps(whole))
                place = broken
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
                os.makedirs(self.path("broken"), exist_ok=True)
                with open(self.path("broken", "result.json"), "w") as file:
                    json.dump(broken, file)
                done = run("report", self.path("broken"))
                self.assertIn(done.returncode, (0, 3), (path, value, done.stderr[:500]))
                if done.returncode == 3:
                    self.assertIn("result.json: $", done.stderr)
                    self.assertLess(len(done.stderr), 3000)
                    self.assertNotIn("\x1b", done.stderr)

    # What follows from the result.

    def test_outputs_follow_the_result(self):
        folder = self.copy()
        kept = {name: digest(os.path.join(folder, name)) for name in OUTPUTS}
        curves = events(folder)
        for name in OUTPUTS:
            os.remove(os.path.join(folder, name))
            self.ok(*self.arguments(folder))
            self.assertEqual(digest(os.path.join(folder, name)), kept[name], name)
            with open(os.path.join(folder, name), "w") as file:
                file.write("of another result")
            os.utime(os.path.join(folder, name), (2e9, 2e9))  # newer than the result: times say nothing
            self.ok(*self.arguments(folder))
            self.assertEqual(digest(os.path.join(folder, name)), kept[name], name)
        shutil.rmtree(os.path.join(folder, "events"))
        self.ok(*self.arguments(folder))
        self.assertEqual(events(folder), curves)
        written = os.stat(os.path.join(folder, "report.html")).st_mtime_ns
        self.ok(*self.arguments(folder))
        self.assertEqual(os.stat(os.path.join(folder, "report.html")).st_mtime_ns, written, "what stands is left alone")

    def test_a_study_that_grew_has_new_events_and_no_old_ones(self):
        folder = self.copy()
        before = events(folder)
        self.assertEqual(len(before), 1)
        self.ok(*self.arguments(folder, "images=3"))
        self.assertEqual(len(events(folder)), 1)
        self.assertNotEqual(events(folder), before)
        with open(os.path.join(folder, "results.csv"), newline="") as file:
            self.assertEqual(len(file.read().split("\r\n")), 1 + 18 + 1)

    def test_tables_are_safe_elsewhere(self):
        with open(os.path.join(self.finished, "results.csv"), newline="") as file:
            text = file.read()
        self.assertIn("'=HYPERLINK(1)", text.split("\r\n")[0])
        self.assertIn(",'=1+1,", text)
        self.assertIn(",-0.5,", text, "a number is a number")
        self.assertIn('"café\nline"', text)
        with open(os.path.join(self.finished, "table.tex"), "rb") as file:
            tex = file.read()
        self.assertEqual(set(tex) - {10, *range(32, 127)}, set(), "ASCII compiles everywhere")
        body = tex.decode()
        for wanted in ("Gr\\\"{o}\\ss{}e \\& $\\varepsilon$", "100 \\%",
                       "\\#1\\_a\\textasciicircum{}b \\textasciitilde{}", "{[}U+732B{]} {[}U+1F600{]}",
                       "caf\\'{e} line", "{[}2{]}"):
            self.assertIn(wanted, body)
        self.assertIsNone(re.search(r"(\\\\|\\midrule)\s*[\[*]", body), "no text is taken for an argument")
        if shutil.which("pdflatex") is None:
            return
        with open(self.path("t.tex"), "wb") as file:
            file.write(b"\\documentclass{article}\\usepackage{amsmath, booktabs}\\begin{document}\n" + tex +
                       b"\\end{document}\n")
        done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
                              cwd=self.folder.name, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:])

    def test_images_that_ssim_does_not_fit_have_their_other_scores(self):
        image_folder(self.path("small"), side=8)
        result = json.loads(self.ok(*self.arguments(self.path("run"), f"model.data='{self.path('small')}'"), "--json"))
        self.assertEqual({cell["status"] for cell in result["cells"]}, {"ok"})
        self.assertEqual({cell["ssim"] for cell in result["cells"]}, {None})
        self.assertTrue(all(cell["psnr"] > 0 for cell in result["cells"]))
        self.ok("report", self.path("run"))

    def test_a_closed_stderr_leaves_the_journal_clean(self):
        command = [PROGRAM, *(part for part in self.arguments(self.path("run")) if part != "--quiet")]
        done = subprocess.run(["sh", "-c", 'exec "$@" 2>&- >&- <&-', "sh", *command])
        self.assertEqual(done.returncode, 3)  # what it prints at the end goes nowhere
        for line in self.lines("run", "cells.jsonl"):
            self.assertEqual(json.loads(line)["journal"], 2)
        self.result_stands(self.path("run"))

    # Plans.

    def test_what_is_no_study_is_refused_and_changes_nothing(self):
        def tree(folder):
            paths = (os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
            return {path: digest(path) for path in paths}
        folder = self.copy()
        before = tree(folder)
        for code, wanted, change in (
            (2, "published: got 5", "published=5"),
            (2, "--set images=3\\nfoo", "images=3\nfoo"),
            (2, "expected 0 to 11", "first_image=11"),
            (2, "expected 0 to 11", "first_image=9223372036854675807"),
            (2, "did you mean lenet?", "model.net='lennet'"),
            (2, "did you mean residual?", "attack.preset='residaul'"),
            (2, "client.checkpoint", "client.checkpoint='step 7'"),
            (2, "epsilon", "training.test_attack.epsilon=8"),
            (2, "gallery", "gallery=-1"),
            (2, "judge_images", "model.judge_images=0"),
            (3, "/nowhere", "model.data='/nowhere/at/all'"),
        ):
            self.refused(code, [wanted], *self.arguments(folder, change))
            self.assertEqual(tree(folder), before, change)
        self.refused(2, ["holds the study \"odd\""], "study", "epsilon", "--scale", "smoke", "--out", folder)
        self.refused(2, ["holds a run of `pellucid study`"], "train", "--data", "patterns", "--net", "lenet",
                     "--out", folder)
        self.assertEqual(tree(folder), before)

    def test_huge_grids_cost_nothing(self):
        values = ", ".join(map(str, range(1000)))
        axis = '[[axis]]\nname = "{}"\nkey = "training.seed"\nvalues = [' + values + "]\n"
        twenty = "".join(axis.format(letter) for letter in "abcdefghijklmnopqrst")
        for name, text, wanted in (("two", axis.format("a") + axis.format("b"), "more than 10000 groups"),
                                   ("twenty", twenty, "more than 10000 groups"),
                                   ("seeds", "seeds = 1000\n" + axis.format("a"), "more than 10000 trainings"),
                                   ("deep", "a" + ".a" * 400_000 + " = 1\n", "")):
            path = self.write(name + ".toml", text)
            begin = time.monotonic()
            done = run("study", path, "--scale", "", "--out", self.path("run"), "--threads", "1",
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)))
            self.assertIn(done.returncode, (2, 3), done.stderr[:500])
            self.assertIn(wanted, done.stderr)
            self.assertLess(time.monotonic() - begin, 60, name)  # a second, on a machine with nothing beside it
            self.assertFalse(os.path.exists(self.path("run")))


class SharedStudy(Case):
    """A grid of tiny trainings and attacks; what is wrong with a file is in tests/gradients."""
    TOML = """
title = "Tiny"
compare = "mode"
images = 6
[model]
data = "patterns"
net = "lenet"
train_images = 256
test_images = 100
judge_images = 10
[training]
epochs = 2
batch_size = 32
test_attack_images = 0
[training.attack]
iterations = 2
[training.test_attack]
iterations = 2
[attack]
iterations = 60
restarts = 1
[[axis]]
name = "mode"
levels = [{ label = "standard" }, { label = "adversarial", training.method = "adversarial" }]
[scale.laptop]
[scale.smoke]
images = 1
"""

    @classmethod
    def setUpClass(cls):
        # The controls and one undisturbed run, which the others are held against.
        cls.shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        with open(cls.file(), "w") as file:
            file.write(cls.TOML)
        cls.arguments = ["study", cls.file(), "--threads", "1", "--quiet"]
        run(*cls.arguments, "--out", os.path.join(cls.shared.name, "run"), check=True)
        cls.expected = cls.result(os.path.join(cls.shared.name, "run"))

    @classmethod
    def file(cls):
        return os.path.join(cls.shared.name, "tiny.toml")

    @staticmethod
    def result(folder):
        """What may not differ: everything but the date, and the table of cells to the byte."""
        with open(os.path.join(folder, "result.json")) as file:
            figures = json.load(file)
        figures["environment"].pop("date")
        figures.pop("checksum")  # it knows the date
        with open(os.path.join(folder, "results.csv"), "rb") as file:
            return figures, file.read()

    def test_killed_at_random_it_ends_with_the_same_bytes(self):
        random.seed(7)
        kills = 0
        while True:
            process = subprocess.Popen([PROGRAM, *self.arguments, "--out", self.path("run")],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                _, errors = process.communicate(timeout=random.uniform(0.2, 2.0) if kills < 10 else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                continue
            self.assertEqual(process.returncode, 0, errors)
            if kills >= 10:
                break
            # It got through: from the beginning again, until it was killed often enough.
            for name in ("run", "trained"):
                shutil.rmtree(self.path(name), ignore_errors=True)
        self.assertEqual(self.result(self.path("run")), self.expected)

    def test_two_processes_share_a_run_folder(self):
        both = [subprocess.Popen([PROGRAM, *self.arguments, "--out", self.path("run")],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                for _ in range(2)]
        for process in both:
            _, errors = process.communicate()
            self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(self.result(self.path("run")), self.expected)
        names = [json.loads(line)["name"] for line in self.lines("run", "cells.jsonl")]
        self.assertEqual(len(names), len(set(names)), "a cell was computed twice")

    def test_a_launcher_s_processes_split_the_cells(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        both = []
        for rank in range(2):
            environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2",
                           "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            both.append(subprocess.Popen([PROGRAM, *self.arguments, "--out", self.path("run"), "--json"],
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment))
        outputs = []
        for process in both:
            output, errors = process.communicate()
            self.assertEqual(process.returncode, 0, errors)
            outputs.append(output)
        self.assertEqual(json.loads(outputs[0])["headline"], self.expected[0]["headline"])
        self.assertEqual(outputs[1], "", "the first one speaks for all")
        self.assertEqual(self.result(self.path("run")), self.expected)
        files = [file for file in os.listdir(self.path("run")) if file.startswith("cells")]
        self.assertEqual(len(files), 3, "one each beside the one that locks are held on")
        names = [json.loads(line)["name"] for file in files for line in self.lines("run", file)]
        self.assertEqual(len(names), 12)
        self.assertEqual(len(names), len(set(names)), "a cell was computed twice")

    def test_says_what_it_would_do(self):
        planned = json.loads(self.ok(*self.arguments, "--out", self.path("run"), "--dry-run", "--json"))
        self.assertEqual([item["total"] for item in planned["readings"]], [6, 6])
        self.assertEqual(os.listdir(self.folder.name), [])
        text = self.ok(*self.arguments, "--out", os.path.join(self.shared.name, "run"), "--dry-run")
        self.assertRegex(text, r"read back standard +6 +6")
        self.assertIn("About 0 s", text)

    def test_expects_more_steps_to_take_longer(self):
        path = self.path("steps.toml")
        with open(path, "w") as file:
            file.write('[model]\ndata = "patterns"\nnet = "lenet"\n[attack]\npreset = "unrolled"\n'
                       'iterations = 100\n[[axis]]\nname = "epochs"\nkey = "client.local_epochs"\nvalues = [2, 32]\n'
                       '[scale.smoke]\nimages = 2\n')
        planned = json.loads(self.ok("study", path, "--scale", "smoke", "--out", self.path("run"), "--dry-run",
                                     "--json"))
        few, many = (item["seconds"] for item in planned["readings"])
        self.assertGreater(few, 0)
        self.assertGreater(many, 4 * few)  # 16 times as many steps

    def test_refuses_what_is_no_study(self):
        self.refused(2, ["got \"epsilom\"", "did you mean epsilon?"], "study", "epsilom")
        self.refused(2, ["scale: got \"smok\"", "did you mean smoke?"], "study", self.file(), "--scale", "smok")
        self.refused(2, ["unknown key \"imagse\""], *self.arguments, "--set", "imagse=3", "--out", self.path("run"))
        self.refused(3, ["none.toml"], "study", self.path("none.toml"))

    def test_every_setting_is_a_flag(self):
        def planned(*flags):
            return json.loads(self.ok(*self.arguments, "--out", self.path("run"), "--dry-run", "--json", *flags))
        flags = ["--images", "2", "--attack.restarts", "3", "--training.attack.epsilon", "8/255", "--model.normalise"]
        same = ["--set", "images=2", "--set", "attack.restarts=3", "--set", 'training.attack.epsilon="8/255"',
                "--set", "model.normalise=true"]
        ids = [item["id"] for item in planned(*flags)["trainings"]]
        self.assertEqual(ids, [item["id"] for item in planned(*same)["trainings"]])
        self.assertNotEqual(ids, [item["id"] for item in planned()["trainings"]])
        self.assertEqual(planned(*flags)["readings"][0]["total"], 2)
        self.refused(2, ["--attack.restarts", 'got "many"', "expected a whole number"], *self.arguments,
                     "--attack.restarts", "many")
        self.refused(2, ["unknown flag --attack.restart", "did you mean --attack.restarts?"], *self.arguments,
                     "--attack.restart", "3")
        text = " ".join(self.ok("study", "--help").split())
        for flag in ("--images", "--attack.restarts", "--training.test-attack.iterations", "--client.logit-scale"):
            self.assertIn(flag, text)

    def test_prints_a_line_a_cell_and_a_table(self):
        done = run("study", self.file(), "--scale", "smoke", "--threads", "1", "--out", self.path("run"),
                   "--trained", os.path.join(self.shared.name, "trained"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"standard, seed 0, image [0-9]+: [0-9.]+ dB\n")
        self.assertIn("adversarial minus standard", done.stdout)
        self.assertIn("smoke scale", done.stdout)
        for name in ("report.html", "results.csv", "table.tex"):
            self.assertTrue(os.path.exists(self.path("run", name)), name)


if __name__ == "__main__":
    unittest.main()
