"""Runs the program as users do: help, mistakes, the verbs in a row, kills and resumptions.

Usage: cli_test.py PROGRAM [unittest arguments]
"""

import array
import html
import json
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

from program import PROGRAM, STUDY, TINY, VERBS, Case, digest, run, wait_for


SHORT_DEMO = ["demo", "--scale", "smoke", "--threads", "1", "--quiet"]
for setting in ("model.train_images=256", "model.test_images=100", "model.judge_images=10", "training.test_attack_images=0", "training.test_attack.iterations=2",
                "training.attack.iterations=1", "attack.iterations=20"):
    SHORT_DEMO += ["--set", setting]


class Help(Case):
    def test_names_every_verb_and_the_exit_codes(self):
        text = self.ok("--help")
        for verb in VERBS:
            self.assertIn(f"\n  {verb} ", text)
        self.assertIn("Exit codes", text)

    def test_of_each_verb_shows_its_flags_and_defaults(self):
        for verb in VERBS:
            self.assertIn("--help", self.ok(verb, "--help"))
        self.assertIn("passes over the training images [4]", " ".join(self.ok("train", "--help").split()))
        self.assertIn("[on; --no-box switches it off]", " ".join(self.ok("invert", "--help").split()))

    def test_version_names_the_version(self):
        self.assertRegex(self.ok("--version"), r"^\d+\.\d+\.\d+ \(")


class Mistakes(Case):
    def test_a_misspelt_flag_names_the_nearest(self):
        self.refused(2, ["--epcohs", "did you mean --epochs?"], "train", "--epcohs", "3")

    def test_a_misspelt_verb_names_the_nearest(self):
        self.refused(2, ["trian", "did you mean train?"], "trian")

    def test_a_misspelt_key_names_the_nearest(self):
        config = self.write("c.toml", "epocs = 3\n")
        self.refused(2, ["c.toml", "epocs", "did you mean epochs?"], "train", "--config", config)

    def test_a_misspelt_table_names_the_nearest(self):
        config = self.write("c.toml", "[atack]\nepsilon = 0.1\n")
        self.refused(2, ["[atack]", "did you mean attack?"], "train", "--config", config)

    def test_a_value_out_of_range_says_what_is_expected(self):
        self.refused(2, ["--epochs", 'got "0"', "a whole number from 1"], "train", "--epochs", "0")
        config = self.write("c.toml", 'epochs = "three"\n')
        self.refused(2, ["epochs", '"three"', "a whole number from 1"], "train", "--config", config)

    def test_a_config_that_is_not_toml_names_the_line(self):
        self.refused(2, ["c.toml:2:"], "train", "--config", self.write("c.toml", "epochs = 1\n= 3\n"))

    def test_a_missing_config_is_an_io_error(self):
        self.refused(3, ["none.toml"], "train", "--config", self.path("none.toml"))

    def test_missing_arguments_and_verbs_are_usage_errors(self):
        self.refused(2, ["--help"], "evade")
        self.refused(2, ["--help"])

    def test_an_unknown_network_names_the_nearest(self):
        self.refused(2, ["small_cnm", "small_cnn"], "train", "--net", "small_cnm", *TINY, "--out", self.path("r"))

    def test_an_unknown_data_set_names_the_nearest(self):
        self.refused(2, ["digts", "digits"], "train", "--data", "digts", "--out", self.path("r"))

    def test_a_missing_data_set_says_where_it_looked_and_how_to_get_it(self):
        environment = {**os.environ, "PELLUCID_DATA": self.path(), "XDG_CACHE_HOME": self.path()}
        self.refused(3, [self.path(), "pellucid data fetch mnist"], "train", "--data", "mnist", "--out", self.path("r"), env=environment)

    def test_a_missing_or_damaged_model_is_named(self):
        self.refused(3, ["none.safetensors"], "evade", self.path("none.safetensors"))
        self.refused(3, ["m.safetensors", "header length"], "evade", self.write("m.safetensors", b"\xff" * 64))

    def test_explain_and_list_name_the_nearest(self):
        self.refused(2, ["did you mean psnr?"], "explain", "psnt")
        self.refused(2, ["did you mean nets?"], "list", "nest")

    def test_a_folder_without_result_is_refused(self):
        self.refused(3, ["result.json"], "report", self.path())

    def test_only_two_runs_are_compared(self):
        self.refused(2, ["--out", "expected two"], "report", "--out", self.path("page.html"), STUDY)

    def test_a_demo_of_an_older_version_says_what_to_do(self):
        self.write("result.json", '{"schema": "pellucid.comparison/1"}')
        self.refused(3, ["the demo of an older version", "run `pellucid demo` again"], "report", self.path())
        self.write("config.json", '{"verb": "demo"}')
        self.refused(2, ["the demo of an older version", "--out"], *SHORT_DEMO, "--data", "digits", "--out", self.path())


class Verbs(Case):
    def train(self, out, *more):
        return self.ok("train", *TINY, "--epochs", "1", "--out", out, *more)

    def test_capture_and_invert_work_on_files(self):
        self.train(self.path("r"))
        model, update, truth = self.path("r", "model.safetensors"), self.path("u.safetensors"), self.path("t.safetensors")
        captured = json.loads(self.ok("capture", model, "--data", "digits", "--images", "3", "--out", update, "--truth", truth, "--json"))
        self.assertEqual(captured["images"][0]["image"], 3)
        self.assertGreater(captured["gradient_norm"], 0)
        attack = ["invert", update, "--model", model, "--restarts", "2", "--iterations", "40", "--out", self.path("i"), "--json"]
        blind = json.loads(self.ok(*attack))
        self.assertNotIn("psnr", blind["images"][0])
        scored = json.loads(self.ok(*attack, "--truth", truth))
        self.assertGreater(scored["images"][0]["psnr"], 3)
        self.assertEqual(blind["matching_loss"], scored["matching_loss"])  # the truth changes nothing but the score
        with open(scored["images"][0]["file"], "rb") as file:
            self.assertEqual(file.read(8), b"\x89PNG\r\n\x1a\n")

        self.train(self.path("other"), "--seed", "1")
        self.refused(3, ["computed with the network"], "invert", update, "--model", self.path("other", "model.safetensors"))
        self.refused(3, ["is this an update?"], "invert", model, "--model", model)
        self.refused(3, ["no truth"], *attack[:-1], "--truth", model)
        self.refused(2, ["attack", "did you mean residual?"], "invert", update, "--model", model, "--attack", "residul")

    def test_evade_counts_with_an_interval(self):
        self.train(self.path("r"))
        result = json.loads(self.ok("evade", self.path("r", "model.safetensors"), "--data", "digits", "--images", "20", "--epsilon", "8/255",
                                    "--iterations", "2", "--json"))
        self.assertEqual(result["config"]["epsilon"], "8/255")
        self.assertEqual(result["robust"]["n"], 20)
        self.assertLessEqual(result["robust"]["low"], result["robust"]["value"])

    def test_evade_judges_by_the_worst_attack_and_goes_on(self):
        self.train(self.path("r"))
        attack = ["evade", self.path("r", "model.safetensors"), "--data", "digits", "--images", "30", "--epsilon", "0.1", "--iterations", "5",
                  "--attacks", "pgd,apgd-ce,square", "--apgd-ce.iterations", "10", "--square.queries", "100", "--batch-size", "10",
                  "--out", self.path("e"), "--json"]
        first = json.loads(self.ok(*attack))
        self.assertEqual([a["name"] for a in first["evaluation"]["attacks"]], ["pgd", "apgd-ce", "square"])
        self.assertEqual(first["robust"], first["evaluation"]["worst_case"])
        self.assertLessEqual(first["robust"]["value"], first["evaluation"]["attacks"][0]["alone"]["value"])
        self.assertEqual(first["attack"], "worst case of PGD, APGD-CE and Square")
        self.assertAlmostEqual(first["evaluation"]["pgd_gap"], first["evaluation"]["attacks"][0]["alone"]["value"] - first["robust"]["value"])
        self.assertIsNone(first["model_info"]["autoattack_acc"])
        self.assertEqual(first["model_info"]["eps"], "0.1")
        cells = self.lines("e", "cells.jsonl")
        with open(self.path("e", "cells.jsonl"), "w") as file:  # as if it had been killed while it wrote the last one
            file.write("".join(cells[:-1]) + cells[-1][:40])
        again = json.loads(self.ok(*attack))
        self.assertEqual(first["evaluation"]["broken_by"], again["evaluation"]["broken_by"])
        after = self.lines("e", "cells.jsonl")
        self.assertEqual(after[:-1], [*cells[:-1], cells[-1][:40] + "\n"], "what was whole was not judged again")
        self.assertEqual(json.loads(after[-1])["name"], json.loads(cells[-1])["name"])

    def test_evade_refuses_what_makes_no_sense(self):
        self.train(self.path("r"))
        attack = ["evade", self.path("r", "model.safetensors"), "--data", "digits", "--images", "10"]
        self.refused(2, ["--attacks", "pgd,sqare", "square"], *attack, "--attacks", "pgd,sqare")
        self.refused(2, ["is 8/255 meant?"], *attack, "--epsilon", "8")
        self.refused(2, ["cw needs norm l2"], *attack, "--attacks", "cw")

    def test_bench_times_both_ways_in_one_run(self):
        result = json.loads(self.ok("bench", "engine", "--nets", "lenet,small_cnn", "--repeats", "1", "--trials", "1,2", "--threads", "1", "--json"))
        self.assertEqual([(row["net"], row["trials"]) for row in result["rows"]], [("lenet", 1), ("lenet", 2), ("small_cnn", 1), ("small_cnn", 2)])
        for row in result["rows"]:
            self.assertGreater(row["double_backward_ms"], 0)
            self.assertAlmostEqual(row["ratio"], row["double_backward_ms"] / row["engine_ms"])
            self.assertGreater(row["memory_bytes"], 100_000)
            self.assertGreater(row["of_peak"], 0)
            self.assertLessEqual(row["of_peak"], 1, "the engine is among what the peak is the best of")
        self.assertGreaterEqual(result["peak_gflops"], max(row["gflops"] for row in result["rows"]))
        self.refused(2, ["trials: got \"1,x\"", "numbers from 1 to 64"], "bench", "engine", "--nets", "lenet", "--trials", "1,x")
        self.refused(2, ['got "smal_cnn"', "did you mean small_cnn?"], "bench", "engine", "--nets", "smal_cnn")

    def test_list_and_explain_know_the_same_names(self):
        for item in json.loads(self.ok("list", "--json")):
            self.assertIn(item["summary"], self.ok("explain", item["name"]))

    def test_data_list_says_what_is_missing(self):
        environment = {**os.environ, "PELLUCID_DATA": self.path(), "XDG_CACHE_HOME": self.path()}
        found = {item["name"]: item for item in json.loads(self.ok("data", "list", "--json", env=environment))}
        self.assertEqual(found["digits"]["missing"], [])
        self.assertIn("pellucid data fetch", found["mnist"]["fix"])

    def test_results_go_to_stdout_and_nothing_else_does(self):
        done = run("train", *TINY, "--epochs", "1", "--out", self.path("r"), "--json")
        json.loads(done.stdout)
        self.assertEqual(done.stderr, "")


class Report(Case):
    def test_two_runs_stand_side_by_side(self):
        a, b = (shutil.copytree(STUDY, self.path(name)) for name in "ab")
        with open(os.path.join(b, "result.json")) as file:
            result = json.load(file)
        result["config"]["images"] = 64
        with open(os.path.join(b, "result.json"), "w") as file:
            json.dump(result, file)
        lines = self.ok("report", a, b).splitlines()
        self.assertEqual(lines[:2], [os.path.join(a, "report.html"), os.path.join(b, "report.html")])
        self.assertIn(["config.images", "5", "64"], [line.split() for line in lines])
        self.assertEqual(lines[-1], os.path.join(b, "comparison.html"))
        with open(lines[-1]) as page:
            self.assertIn("config.images", page.read())
        self.assertEqual(self.ok("report", a, b, "--out", self.path("page.html")).splitlines()[-1], self.path("page.html"))


class Training(Case):
    SMALL = ["train", *TINY, "--epochs", "1", "--test-images", "20"]

    def test_every_preset_runs(self):
        folder = os.path.join(os.path.dirname(__file__), "../../studies/training")
        presets = sorted(os.listdir(folder))
        self.assertGreater(len(presets), 10)
        for preset in presets:
            with self.subTest(preset):  # on a small network: the large ones would write gigabytes of checkpoints
                small = ["--net", "preact_resnet8"] if "cifar10" in preset else []
                self.ok("train", "--config", os.path.join(folder, preset), "--data", "digits", "--train-images", "4", "--batch-size", "2",
                        "--epochs", "1", "--milestones", "1", "--test-images", "2", "--judge-images", "2", "--test-attack-images", "1",
                        "--guard-images", "0", "--replays", "2", "--attack.iterations", "1", "--test-attack.iterations", "1",
                        *small, "--out", self.path(preset))

    @staticmethod
    def together(command, ask=lambda processes: None):
        """Two processes of one run: their exit codes, outputs and errors."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = [
            subprocess.Popen([PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
            for rank in range(2)]
        ask(processes)
        outputs = [process.communicate(timeout=180) for process in processes]
        return [process.returncode for process in processes], *zip(*outputs)

    def test_several_processes_end_where_one_does(self):
        command = [*self.SMALL, "--net", "preact_resnet8", "--method", "adversarial", "--attack.iterations", "1", "--optimiser", "sgd",
                   "--train-images", "98", "--batch-size", "32", "--flip", "--seed", "3", "--json"]  # the last batch: one image each
        alone = json.loads(self.ok(*command, "--out", self.path("alone")))
        codes, outputs, errors = self.together([*command, "--out", self.path("together")])
        self.assertEqual(codes, [0, 0], errors)
        self.assertEqual(outputs[1], "", "the second process says nothing")
        self.assertAlmostEqual(json.loads(outputs[0])["curve"]["train_loss"][0], alone["curve"]["train_loss"][0], delta=1e-3)
        a, b = (self.weights(self.path(name, "model.safetensors")) for name in ("alone", "together"))
        self.assertEqual(a.keys(), b.keys())
        for name in a:
            largest = max(1e-3, max(map(abs, a[name])))
            self.assertLess(max(abs(x - y) for x, y in zip(a[name], b[name])), 1e-3 * largest, name)

    def test_several_processes_stop_when_one_is_asked_to_and_go_on(self):
        command = ["train", *TINY, "--test-images", "20", "--epochs", "2", "--method", "adversarial", "--out", self.path("r")]

        def ask(processes):
            wait_for(lambda: os.path.exists(self.path("r", "checkpoints", "step-000001.safetensors")))
            processes[1].send_signal(signal.SIGTERM)

        codes, _, errors = self.together(command, ask)
        self.assertEqual(codes, [75, 75], errors)
        self.assertTrue(os.path.exists(self.path("r", "checkpoints", "resume.safetensors")))
        codes, _, errors = self.together(command)
        self.assertEqual(codes, [0, 0], errors)

    def test_free_training_takes_one_process(self):
        codes, _, errors = self.together([*self.SMALL, "--method", "free", "--out", self.path("r")])
        self.assertEqual(codes, [2, 2])
        self.assertIn("got method free and 2 processes, expected one", errors[0])

    def test_a_batch_with_fewer_images_than_processes_is_refused(self):
        codes, _, errors = self.together([*self.SMALL, "--train-images", "33", "--batch-size", "16", "--out", self.path("r")])
        self.assertEqual(codes, [2, 2])
        self.assertIn("33 images in batches of 16 leave one of 1 for 2 processes", errors[0])

    @staticmethod
    def weights(path):
        """The float32 tensors of a safetensors file, as lists."""
        with open(path, "rb") as file:
            content = file.read()
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:8 + size])
        return {name: array.array("f", content[8 + size + entry["data_offsets"][0]:8 + size + entry["data_offsets"][1]]).tolist()
                for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "F32"}

    def test_a_process_that_finds_no_other_names_the_variables(self):
        env = {**os.environ, "RANK": "3", "WORLD_SIZE": "2"}
        self.refused(2, ["$RANK", "got 3", "$WORLD_SIZE = 2"], *self.SMALL, "--out", self.path("r"), env=env)
        env["RANK"] = "one"
        self.refused(2, ["$RANK", 'got "one"'], *self.SMALL, "--out", self.path("r"), env=env)

    def test_an_unknown_or_missing_device_is_refused(self):
        self.refused(2, ["--device", 'got "gpu"', "cpu, cuda or cuda:N"], *self.SMALL, "--device", "gpu", "--out", self.path("r"))
        self.refused(2, ['got "cuda:7"', "use --device cpu"], *self.SMALL, "--device", "cuda:7", "--out", self.path("r"))

    def test_normalise_is_the_first_layer(self):
        for flags, channels in ([], 0), (["--normalise"], 1):
            self.ok(*self.SMALL, *flags, "--out", self.path("r", *flags))
            with open(self.path("r", *flags, "model.safetensors"), "rb") as file:
                content = file.read()
            header = json.loads(content[8:8 + struct.unpack("<Q", content[:8])[0]])
            self.assertEqual(len(json.loads(header["__metadata__"]["pellucid.spec"])["mean"]), channels)

    def test_knobs_of_another_method_are_refused(self):
        self.refused(2, ["adversarial_share", "method adversarial"], *self.SMALL, "--method", "mart", "--adversarial-share", "0.5", "--out",
                     self.path("r"))

    def test_bench_times_the_plain_way_beside_ours(self):
        result = json.loads(self.ok("bench", "train", "--nets", "lenet", "--batch", "4", "--repeats", "1", "--threads", "1", "--json"))
        self.assertEqual([row["mode"] for row in result["rows"]], ["standard", "one step", "PGD-10"])
        for row in result["rows"]:
            self.assertAlmostEqual(row["ratio"], row["float32"] / row["plain"])
            self.assertAlmostEqual(row["mixed_ratio_images_only"], row["mixed"] / row["plain_images_only"])


class Resume(Case):
    LONG = ["train", *TINY, "--epochs", "3", "--method", "adversarial", "--attack.iterations", "2", "--attack.step", "0.15"]

    @classmethod
    def setUpClass(cls):
        cls.reference = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.reference.cleanup)
        run(*cls.LONG, "--out", cls.reference.name, check=True)
        cls.expected = digest(os.path.join(cls.reference.name, "model.safetensors"))

    def interrupted(self, name, stop):
        """Starts a training, stops it once the checkpoint `name` is there, and returns its exit code."""
        process = subprocess.Popen([PROGRAM, *self.LONG, "--out", self.path("r")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.path("r", "checkpoints", name)) or process.poll() is not None)
        process.send_signal(stop)
        code = process.wait()
        self.assertFalse(os.path.exists(self.path("r", "model.safetensors")), "it was over before it was stopped")
        return code

    def test_killed_at_once_goes_on_to_the_same_bits(self):
        for name in ["step-000001.safetensors", "epoch-001.safetensors", "epoch-002.safetensors"]:
            self.interrupted(name, signal.SIGKILL)
        self.ok(*self.LONG, "--out", self.path("r"))
        self.assertEqual(digest(self.path("r", "model.safetensors")), self.expected)

    def test_asked_to_stop_saves_and_says_75(self):
        self.assertEqual(self.interrupted("step-000001.safetensors", signal.SIGTERM), 75)
        self.assertTrue(os.path.exists(self.path("r", "checkpoints", "resume.safetensors")))
        self.ok(*self.LONG, "--out", self.path("r"))
        self.assertEqual(digest(self.path("r", "model.safetensors")), self.expected)

    def test_another_training_is_not_taken_up(self):
        self.refused(2, ["another training", "epochs"], *self.LONG, "--epochs", "4", "--out", self.reference.name)

    def test_a_full_disk_leaves_no_half_file(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        self.refused(3, ["cannot write"], *self.LONG, "--out", self.path("r"), preexec_fn=limit, restore_signals=False)
        self.assertEqual(os.listdir(self.path("r", "checkpoints")), [])


class Demo(Case):
    """What is the demo's own: the rest is that of studies."""

    @staticmethod
    def figures(text):
        result = json.loads(text)
        for key in ("environment", "checksum"):  # when it was made, and how long it took
            result.pop(key)
        return result

    def test_tells_the_story_and_goes_on_where_it_was(self):
        out = self.path("demo")
        command = [*SHORT_DEMO, "--data", "digits", "--out", out]
        first = self.ok(*command)
        self.assertTrue(first.strip().endswith("report.html"))
        self.assertIn("adversarial minus standard: residual (ours)", first)
        self.assertIn("p, Holm", first)
        self.assertEqual(sorted(os.listdir(self.path())), ["demo", "trained"])
        with open(os.path.join(out, "result.json")) as file:
            before = self.figures(file.read())
        self.assertEqual(before["schema"], "pellucid.study/2")
        with open(os.path.join(out, "report.html")) as page:
            page = page.read()
        self.assertIn(html.escape(before["headline"]), page)
        readings = [reading["png"] for image in before["gallery"] for reading in image["readings"]]
        self.assertEqual(len(readings), 2 * 2 * 2, "of two images, from two networks, by two attacks")
        for png in readings + [image["original"] for image in before["gallery"]]:
            self.assertIn(png, page)
        cells = self.lines("demo", "cells.jsonl")
        self.assertEqual(len(cells), 2 * 2 * 2)
        with open(os.path.join(out, "cells.jsonl"), "w") as file:  # as if it had been killed before those
            file.writelines(cells[:-3])
        again = self.figures(self.ok(*command, "--json"))
        self.assertEqual(before, again)

    def test_takes_the_digits_only_where_nothing_is_named(self):
        environment = {**os.environ, "PELLUCID_DATA": self.path(), "XDG_CACHE_HOME": self.path()}
        result = json.loads(self.ok(*SHORT_DEMO, "--seed", "3", "--images", "1", "--json", "--out", self.path("demo"), env=environment))
        self.assertEqual(result["data"]["name"], "digits")
        self.assertEqual({(group["training"]["seed"], group["attack"]["seed"]) for group in result["config"]["groups"].values()}, {(3, 3)})
        self.assertEqual(len(result["cells"]), 4)
        for named in (["--data-dir", self.path()], ["--set", f"model.data_dir='{self.path()}'"], ["--data", "mnist"], ["--scale", "mnist-16"], ["--pretrained"]):
            self.refused(3, ["mnist: train files not found", self.path(), "pellucid data fetch mnist"], *SHORT_DEMO, *named, "--out", self.path("no"),
                         env=environment)
        self.assertFalse(os.path.exists(self.path("no")))
        self.refused(2, ["unknown flag --config"], "demo", "--config", "x.toml")
        self.refused(2, ["did you mean smoke?"], "demo", "--scale", "smok")

    def test_takes_the_models_that_come_with_it(self):
        result = json.loads(self.ok(*SHORT_DEMO, "--pretrained", "--data", "digits", "--images", "1", "--json", "--out", self.path("demo")))
        self.assertEqual(os.listdir(self.path("trained")), ["cells.jsonl"], "nothing is trained")
        self.assertEqual([training["curve"] for training in result["trainings"]], [None, None])
        for training in result["trainings"]:
            self.assertGreater(training["natural"]["value"], 0.8, "networks of MNIST on digits like them")
        self.assertEqual({group["model"]["weights"] for group in result["config"]["groups"].values()},
                         {"mnist-standard.safetensors", "mnist-adversarial.safetensors"})


class Study(Case):
    """A grid of tiny trainings and attacks; what is wrong with a file is in tests/study."""
    TOML = """
title = "Tiny"
compare = "mode"
images = 6
[model]
data = "digits"
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
            process = subprocess.Popen([PROGRAM, *self.arguments, "--out", self.path("run")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            try:
                _, errors = process.communicate(timeout=random.uniform(0.2, 2.0) if kills < 20 else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                continue
            self.assertEqual(process.returncode, 0, errors)
            if kills >= 20:
                break
            for name in ("run", "trained"):  # it got through: from the beginning again, until it was killed often enough
                shutil.rmtree(self.path(name), ignore_errors=True)
        self.assertEqual(self.result(self.path("run")), self.expected)

    def test_two_processes_share_a_run_folder(self):
        both = [subprocess.Popen([PROGRAM, *self.arguments, "--out", self.path("run")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
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
            environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            both.append(subprocess.Popen([PROGRAM, *self.arguments, "--out", self.path("run"), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         text=True, env=environment))
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

    def test_refuses_what_is_no_study(self):
        self.refused(2, ["got \"epsilom\"", "did you mean epsilon?"], "study", "epsilom")
        self.refused(2, ["scale: got \"smok\"", "did you mean smoke?"], "study", self.file(), "--scale", "smok")
        self.refused(2, ["unknown key \"imagse\""], *self.arguments, "--set", "imagse=3", "--out", self.path("run"))
        self.refused(3, ["none.toml"], "study", self.path("none.toml"))

    def test_prints_a_line_a_cell_and_a_table(self):
        done = run("study", self.file(), "--scale", "smoke", "--threads", "1", "--out", self.path("run"), "--trained", os.path.join(self.shared.name, "trained"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"standard, seed 0, image [0-9]+: [0-9.]+ dB\n")
        self.assertIn("adversarial minus standard", done.stdout)
        self.assertIn("smoke scale", done.stdout)
        for name in ("report.html", "results.csv", "table.tex"):
            self.assertTrue(os.path.exists(self.path("run", name)), name)


class Presets(Case):
    def test_every_study_runs_at_smoke_scale(self):
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../studies/grids")
        names = sorted(name.removesuffix(".toml") for name in os.listdir(folder) if name != "base.toml")
        self.assertEqual(len(names), 10)
        for name in names:
            with self.subTest(name):
                out, digits = self.path(name), ["--set", 'model.data="digits"']
                result = json.loads(self.ok("study", name, "--scale", "smoke", *digits, "--out", out, "--trained", self.path("trained"), "--quiet", "--json"))
                self.assertEqual({t["status"] for t in result["trainings"]}, {"ok"})
                self.assertLessEqual({c["status"] for c in result["cells"]}, {"ok", "not_applicable"} if name == "stages" else {"ok"})
                self.assertEqual({c["passed"] for c in result["controls"] if c["kind"] not in ("guess", "network")}, {True} if result["cells"] else set())
                self.assertEqual(bool(result["cells"]), name != "training-curves")
                with open(os.path.join(out, "report.html")) as page:
                    self.assertIn("smoke scale", page.read())
                for scale in ("laptop", "mnist-16") if name.startswith("demo") else ("laptop", "cifar", "paper"):
                    # Its settings are sound, though none of it is run.
                    self.refused(3, ["/proc/nowhere: cannot make the folder"], "study", name, "--scale", scale, "--out", "/proc/nowhere", "--trained", "/proc/nowhere",
                                 *digits)


if __name__ == "__main__":
    unittest.main()
