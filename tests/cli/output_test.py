"""What is written where: stdout that cannot be written, closed descriptors, files in place of devices, configs from
anywhere, and text of others on a terminal."""

import json
import os
import pty
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

from program import PROGRAM, STUDY, TINY, VERBS, Case, run

SMALL = ["train", "--data", "patterns", "--net", "lenet", "--train-images", "32", "--epochs", "1", "--batch-size", "32",
         "--test-images", "20", "--judge-images", "4", "--test-attack-images", "0", "--test-attack.iterations", "1",
         "--threads", "1"]


class Shared(Case):
    """A network and an update, made once, for the tests of every class."""

    @classmethod
    def setUpClass(cls):
        if hasattr(Shared, "shared"):
            return
        Shared.shared = tempfile.TemporaryDirectory()
        unittest.addModuleCleanup(Shared.shared.cleanup)
        run(*SMALL, "--out", cls.made("r"), check=True)
        run("capture", cls.model(), "--data", "patterns", "--images", "3", "--out", cls.made("u"),
            "--truth", cls.made("t"), check=True)

    @classmethod
    def made(cls, *parts):
        return os.path.join(cls.shared.name, *parts)

    @classmethod
    def model(cls):
        return cls.made("r", "model.safetensors")

    def verbs(self):
        """A short command of each verb, each printing something."""
        report = self.path("report")
        if not os.path.exists(report):
            shutil.copytree(STUDY, report)
        return {
            "--help": ["--help"], "--version": ["--version"], "train --help": ["train", "--help"],
            "list": ["list"], "list --json": ["list", "--json"], "explain": ["explain", "psnr"],
            "data": ["data", "list"],
            "report": ["report", report],
            "capture": ["capture", self.model(), "--data", "patterns", "--out", self.path("u")],
            "invert": ["invert", self.made("u"), "--model", self.model(), "--attack.iterations", "2",
                       "--attack.restarts", "1", "--out", self.path("i")],
            "evade": ["evade", self.model(), "--data", "patterns", "--images", "4", "--iterations", "1",
                      "--lint-images", "0"],
            "train": [*SMALL, "--out", self.path("train")],
            "demo": ["demo", "--data", "patterns", "--scale", "smoke", "--out", self.path("s"), "--dry-run"],
            "study": ["study", "stages", "--scale", "smoke", "--out", self.path("s"), "--dry-run"],
            "bench": ["bench", "engine", "--nets", "lenet", "--repeats", "1", "--trials", "1", "--threads", "1"],
        }


class Stdout(Shared):
    def cannot_write(self, reason, **options):
        for name, arguments in self.verbs().items():
            with self.subTest(name):
                done = subprocess.run([PROGRAM, *arguments], stderr=subprocess.PIPE, text=True, **options)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertIn(f"standard output: cannot write: {reason}", done.stderr)

    def test_a_full_device_is_an_error_of_each_verb(self):
        with open("/dev/full", "w") as full:
            self.cannot_write("No space left on device", stdout=full)

    def test_a_closed_stdout_is_an_error_of_each_verb(self):
        self.cannot_write("Bad file descriptor", preexec_fn=lambda: os.close(1))

    def test_a_closed_pipe_is_an_error_and_no_signal(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "w") as pipe:
            self.cannot_write("Broken pipe", stdout=pipe)

    def test_a_file_that_may_not_grow_is_an_error_and_no_signal(self):
        with open(self.path("out"), "w") as file:
            self.assertEqual(
                subprocess.run([PROGRAM, "list"], stdout=file, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))).returncode, 3)

    def test_the_result_is_kept_where_it_cannot_be_printed(self):
        with open("/dev/full", "w") as full:
            subprocess.run([PROGRAM, *SMALL, "--out", self.path("r")], stdout=full, stderr=subprocess.DEVNULL)
        with open(self.path("r", "result.json")) as file:
            self.assertEqual(json.load(file)["schema"], "pellucid.training/1")


class ClosedStreams(Shared):
    """A descriptor that is closed at the start is never that of a file of ours."""

    def test_files_are_the_same_whatever_is_closed(self):
        def close(descriptors):
            for descriptor in descriptors:
                os.close(descriptor)

        def study(out, closed):
            done = subprocess.run([PROGRAM, "study", "stages", "--scale", "smoke", "--threads", "1",
                                   "--set", "model.net='lenet'", "--set", "model.train_images=64",
                                   "--out", self.path(out), "--trained", self.path("trained")],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  preexec_fn=lambda: close(closed))
            with open(self.path(out, "cells.jsonl")) as file:
                lines = [json.loads(line) for line in file]
            with open(self.path(out, "results.csv")) as file:
                return done.returncode, sorted(line["name"] for line in lines), file.read()

        code, names, table = study("all", [])
        self.assertEqual(code, 0)
        for number, closed in enumerate([[2], [1], [0, 1, 2]]):
            with self.subTest(closed=closed):
                self.assertEqual(study(str(number), closed), (3 if 1 in closed else 0, names, table))

    def test_a_closed_stdin_is_no_empty_file(self):
        self.refused(3, ["/dev/stdin: cannot read: Bad file descriptor"], "train", "--config", "/dev/stdin",
                     preexec_fn=lambda: os.close(0))


class Configs(Shared):
    EVADE = ["--images", "2", "--iterations", "1", "--lint-images", "0", "--threads", "1", "--json"]

    def data_of(self, config, **options):
        done = subprocess.run([PROGRAM, "evade", self.model(), "--config", config, *self.EVADE],
                              capture_output=True, text=True, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["config"]["data"]

    def test_a_config_is_read_from_a_pipe_to_its_end(self):
        text = 'data = "patterns"\n' + "# nothing\n" * 20_000  # more than a pipe holds
        self.assertEqual(self.data_of("/dev/stdin", input=text), "patterns")
        slowly = """<(sleep 0.3; echo 'data = "patterns"')"""
        shell = f"'{PROGRAM}' evade '{self.model()}' --config {slowly} {' '.join(self.EVADE)}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
        self.assertEqual(json.loads(done.stdout)["config"]["data"], "patterns", done.stderr)

    def test_a_pipe_that_nobody_writes_to_is_not_waited_for(self):
        os.mkfifo(self.path("p"))
        for arguments in (["evade", self.path("p")], ["train", "--config", self.path("p")],
                          ["invert", self.path("p"), "--model", self.model()], ["report", self.path()]):
            if arguments[0] == "report":
                os.mkfifo(self.path("result.json"))
            self.refused(3, ["cannot read: it is a pipe that nobody writes to"], *arguments, timeout=60)

    def test_a_run_is_repeated_from_its_config(self):
        with open(self.made("r", "config.json")) as file:
            config = json.load(file)
        path = self.write("config.json", json.dumps({"verb": "train", **config}))
        self.ok("train", "--config", path, "--threads", "1", "--out", self.path("again"))
        first, second = self.made("r", "model.safetensors"), self.path("again", "model.safetensors")
        with open(first, "rb") as one, open(second, "rb") as other:
            self.assertEqual(one.read(), other.read())
        self.refused(2, ['verb: got "train", expected "evade"'], "evade", self.model(), "--config", path)
        for wrong in ("7", "null", '"x\\u001b[31m"'):
            self.refused(2, ["verb: got"], "evade", self.model(), "--config", self.write("c", f'{{"verb": {wrong}}}'))
        self.refused(2, ["not JSON: at byte"], "train", "--config", self.write("c", '{"epochs": 1,}'))
        nested = "[" * 100_000 + "]" * 100_000
        self.refused(2, ["nested"], "train", "--config", self.write("c", '{"epochs": ' + nested + "}"))

    def test_a_mistake_is_found_at_its_line(self):
        for text, wanted in {
            "\nepocs = 3\n": ['c.toml:2: unknown key "epocs" (did you mean epochs?)'],
            "epochs = 1\n[attack]\n\nepsilom = 1\n":
                ["c.toml:4: [attack]: unknown key \"epsilom\" (did you mean epsilon?)"],
            "epochs = 1\n[atack]\nepsilon = 1\n": ["c.toml:2: unknown table [atack] (did you mean attack?)"],
            "\n\nepochs = 0\n": ["c.toml:3: epochs: got 0, expected a whole number from 1"],
            "[attack]\nepsilon = 8/255\n": ["c.toml:2:", 'a fraction is text: epsilon = "8/255"'],
            '"a\\nb\\u001b[31m" = 1\n': ['unknown key "a\\nb\\x1b[31m"'],
            f'"{"x" * 100_000}" = 1\n': ['unknown key "xxx', '..."'],
            f'epochs = "{"x" * 100_000}"\n': ["epochs: got", "..."],
        }.items():
            with self.subTest(text[:40]):
                self.refused(2, wanted, "train", "--config", self.write("c.toml", text))


class OddOutputs(Shared):
    """--out and the like where something stands that is no regular file."""

    def capture(self, out, **options):
        return run("capture", self.model(), "--data", "patterns", "--images", "3", "--out", out, **options)

    def test_a_device_is_written_to(self):
        try:
            os.mknod(self.path("null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod(self.path("full"), stat.S_IFCHR | 0o666, os.makedev(1, 7))
            open(self.path("null"), "w").close()
        except OSError as error:
            self.skipTest(f"no devices can be made here: {error}")
        done = self.capture(self.path("null"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(stat.S_ISCHR(os.stat(self.path("null")).st_mode))
        self.refused(3, ["full: cannot write: No space left on device"], "capture", self.model(), "--data", "patterns",
                     "--out", self.path("full"))
        self.assertEqual(sorted(os.listdir(self.path())), ["full", "null"])

    def test_a_pipe_and_stdout_get_the_whole_file(self):
        with open(self.made("u"), "rb") as file:
            update = file.read()
        os.mkfifo(self.path("p"))
        with subprocess.Popen(["cat", self.path("p")], stdout=subprocess.PIPE) as reader:
            self.assertEqual(self.capture(self.path("p")).returncode, 0)
            self.assertEqual(reader.stdout.read(), update)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path("p")).st_mode))
        self.refused(3, ["it is a pipe that nobody reads"], "capture", self.model(), "--data", "patterns",
                     "--out", self.path("p"), timeout=60)
        done = subprocess.run([PROGRAM, "capture", self.model(), "--data", "patterns", "--images", "3",
                               "--out", "/dev/stdout"], capture_output=True)
        self.assertTrue(done.stdout.startswith(update[:100]), done.stderr)

    def test_a_link_stays_and_what_it_names_is_written(self):
        os.symlink("there", self.path("link"))
        for _ in range(2):  # there is nothing, then a file
            self.assertEqual(self.capture(self.path("link")).returncode, 0)
            self.assertTrue(os.path.islink(self.path("link")))
            self.assertFalse(os.path.islink(self.path("there")))

    def test_the_umask_is_followed(self):
        for mask in (0o022, 0o077, 0o027):
            out = self.path(f"{mask:o}")
            self.assertEqual(self.capture(out, preexec_fn=lambda: os.umask(mask)).returncode, 0)
            self.assertEqual(stat.S_IMODE(os.stat(out).st_mode), 0o666 & ~mask)

    def test_what_cannot_be_written_is_an_error(self):
        """A path below a file, a folder that takes no files: permissions would not stop root."""
        self.write("file", "x")
        for out, reason in {self.path("file", "x"): "cannot make the folder", "/proc/x": "cannot write",
                            "/proc/self/x/y": "cannot make the folder", self.path(): "Is a directory",
                            self.path("none") + "/": "Is a directory"}.items():
            self.refused(3, [reason], "capture", self.model(), "--data", "patterns", "--out", out)

    def test_a_file_size_limit_is_an_error_and_no_signal(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        self.refused(3, ["cannot write: File too large"], "capture", self.model(), "--data", "patterns",
                     "--out", self.path("u"), preexec_fn=limit)
        self.assertEqual(os.listdir(self.path()), [])

    def test_a_full_file_system_is_an_error(self):
        os.mkdir(self.path("small"))
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "none", self.path("small")],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"nothing can be mounted here: {mounted.stderr.strip()}")
        try:
            self.refused(3, ["No space left on device"], "capture", self.model(), "--data", "patterns",
                         "--out", self.path("small", "u"))
            self.assertEqual(os.listdir(self.path("small")), [])
            self.refused(3, ["No space left on device"], *SMALL, "--out", self.path("small", "r"))
        finally:
            subprocess.run(["umount", self.path("small")], check=True)

    def test_leftovers_of_killed_runs_are_removed(self):
        self.write(".pellucid-1-0.tmp", "half")
        self.write("other.tmp", "kept")
        self.assertEqual(self.capture(self.path("u")).returncode, 0)
        self.assertEqual(sorted(os.listdir(self.path())), ["other.tmp", "u"])


class Terminal(Shared):
    EVIL = "\033[31mred\033]0;title\007\u009b2J\x7f"

    def clean(self, text):
        for character in "\033\007\u009b\x7f":
            self.assertNotIn(character, text)

    def test_messages_hold_no_control_characters(self):
        for arguments in ([self.EVIL], ["--" + self.EVIL], ["train", "--" + self.EVIL + "=1"],
                          ["train", "--epochs", self.EVIL], ["list", self.EVIL], ["explain", self.EVIL],
                          ["evade", self.EVIL], ["train", "--data", self.EVIL, "--out", self.path("r")],
                          ["train", "--config", self.EVIL], ["report", self.EVIL], ["study", self.EVIL],
                          ["train", "--net", self.EVIL, *TINY], ["study", "stages", "--set", self.EVIL + "=1"],
                          ["study", "stages", "--set", "images=1\nx"], ["bench", "engine", "--nets", self.EVIL]):
            with self.subTest(arguments):
                done = run(*arguments, cwd=self.path())
                self.assertIn(done.returncode, (2, 3), done.stderr)
                self.assertEqual(done.stderr.strip().count("\n"), 0, done.stderr)
                self.assertLess(len(done.stderr), 5000)
                self.clean(done.stderr)

    def test_messages_are_never_long(self):
        for arguments in (["x" * 100_000], ["list", "x" * 100_000], ["train", "--epochs", "x" * 100_000],
                          ["evade", "x" * 100_000]):
            self.assertLess(len(run(*arguments).stderr), 5000)

    def test_labels_of_a_study_reach_no_terminal_as_they_are(self):
        folder = shutil.copytree(STUDY, self.path("report"))
        with open(os.path.join(folder, "result.json")) as file:
            text = file.read()
        result = json.loads(text)
        result["config"]["title"] = self.EVIL
        with open(os.path.join(folder, "result.json"), "w") as file:
            json.dump(result, file)
        other = shutil.copytree(STUDY, self.path("other"))  # reports are written to both
        done = run("report", folder, other, "--out", self.path("page.html"))
        self.assertIn("red", done.stdout)
        self.clean(done.stdout)

    def test_json_is_json_and_holds_none_either(self):
        done = run("evade", self.model(), "--data", "patterns", "--images", "2", "--iterations", "1",
                   "--lint-images", "0", "--json")
        json.loads(done.stdout)
        link = self.path("m\x7f\u009b.safetensors")
        os.symlink(self.model(), link)
        done = run("evade", link, "--data", "patterns", "--images", "2", "--iterations", "1", "--lint-images", "0",
                   "--json")
        self.clean(done.stdout)
        self.assertEqual(json.loads(done.stdout)["model"], link)

    def test_the_progress_line_fits_and_steers_nothing(self):
        master, slave = pty.openpty()
        images = self.path("d\033[31m")
        process = subprocess.Popen([PROGRAM, *SMALL, "--out", self.path("r\033[31m")], stdout=slave, stderr=slave)
        os.close(slave)
        seen = b""
        try:
            while piece := os.read(master, 65536):
                seen += piece
        except OSError:
            pass  # the terminal's other end is closed
        process.wait()
        self.assertEqual(process.returncode, 0, seen)
        self.assertNotIn(b"\033[31m", seen)
        self.assertIn(b"\\x1b[31m", seen)


if __name__ == "__main__":
    unittest.main()
