"""Trainings as users meet them: data that do not belong together, refusals that leave no trace, settings that only
judge, damage.

Usage: train_test.py PROGRAM [unittest arguments]
"""

import array
import fcntl
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

from pictures import folder
from program import PROGRAM, TINY, Case, digest, run, wait_for

ABC = {"a": (0, 40), "b": (1, 40), "c": (2, 40)}
ABC_TEST = {"a": (0, 10), "b": (1, 10), "c": (2, 10)}
QUICK = ["--threads", "1", "--quiet", "--json", "--test-attack-images", "0", "--test-attack.iterations", "1",
         "--judge-images", "4"]
TYPO = ["train", "--data", "patterns", "--net", "lenet", "--train-images", "64", "--epochs", "1", "--test-images", "20",
        *QUICK]


class TrainCase(Case):
    def train(self, data, *more):
        return json.loads(self.ok("train", "--data", data, "--net", "small_cnn", "--epochs", "6", "--batch-size", "16",
                                  "--learning-rate", "2e-3", *QUICK, *more))

    def snapshot(self, path):
        """Every file below a folder, with its content and its time."""
        found = {}
        for root, _, names in os.walk(path):
            for name in names:
                file = os.path.join(root, name)
                found[os.path.relpath(file, path)] = (digest(file), os.stat(file).st_mtime_ns)
        return found

    def result(self, name):
        with open(self.path(name, "result.json")) as file:
            return json.load(file)


class Data(TrainCase):
    def test_labels_are_matched_by_name(self):
        data = folder(self.path("data"), ABC, {"a": (0, 10), "c": (2, 10)})
        result = self.train(data, "--out", self.path("r"))
        self.assertGreater(result["natural"]["value"], 0.9)
        self.assertEqual(result["data"]["classes"], ["a", "b", "c"])
        self.assertIn("data", result["data"]["test_source"])
        self.assertIn('no image is of the class "b"', " ".join(f["sentence"] for f in result["findings"]))

    def test_a_class_that_training_lacks_is_refused_before_any_work(self):
        data = folder(self.path("data"), ABC, {**ABC_TEST, "d": (3, 2)})
        self.refused(3, ['class "d"'], "train", "--data", data, "--net", "lenet", *QUICK, "--out", self.path("r"))
        self.assertFalse(os.path.exists(self.path("r")))

    def test_a_sample_of_a_sorted_folder_holds_every_class(self):
        data = folder(self.path("data"), ABC, ABC_TEST)
        result = self.train(data, "--train-images", "30", "--test-images", "9", "--epochs", "20",
                            "--out", self.path("r"))
        self.assertGreater(result["natural"]["value"], 0.6)
        self.assertAlmostEqual(result["commonest_class"]["accuracy"]["value"], 1 / 3)

    def test_the_commonest_class_stands_beside_the_accuracy(self):
        data = folder(self.path("data"), {"rare": (1, 2), "usual": (0, 38)}, {"rare": (1, 1), "usual": (0, 19)})
        result = self.train(data, "--epochs", "1", "--out", self.path("r"))
        self.assertEqual(result["commonest_class"]["name"], "usual")
        self.assertAlmostEqual(result["commonest_class"]["accuracy"]["value"], 0.95)
        self.assertIn("constant-answer", [f["code"] for f in result["findings"]])
        text = self.ok("train", "--data", data, "--net", "small_cnn", "--epochs", "1", "--batch-size", "16",
                       "--learning-rate", "2e-3", *[flag for flag in QUICK if flag != "--json"],
                       "--out", self.path("r"))
        self.assertRegex(text, r'always "usual", the commonest class +95\.00 %')
        self.assertIn("warning constant-answer", text)
        self.assertIn(f'data ({os.path.join(data, "train")}', text)
        self.assertIn('"rare", "usual"', text)

    def test_a_batch_of_one_image_is_refused_where_batch_norm_has_one_value(self):
        data = folder(self.path("data"), {"a": (0, 33), "b": (1, 33)}, {"a": (0, 4), "b": (1, 4)}, side=8)
        self.refused(2, ["66 images in batches of 13", "batch norm", "batch_size"], "train", "--data", data,
                     "--net", "preact_resnet8", "--batch-size", "13", *QUICK, "--out", self.path("r"))
        self.assertFalse(os.path.exists(self.path("r")))

    def test_an_attack_that_cannot_reach_its_ball_is_found(self):
        data = folder(self.path("data"), ABC, ABC_TEST)
        result = self.train(data, "--epochs", "1", "--method", "adversarial", "--attack.norm", "l2",
                            "--attack.epsilon", "3", "--attack.step", "0.01", "--attack.iterations", "1",
                            "--test-attack.epsilon", "2/255", "--test-attack.iterations", "2",
                            "--test-attack.step", "0.01", "--out", self.path("r"))
        found = {f["code"]: f["sentence"] for f in result["findings"]}
        self.assertTrue(found["cannot-reach"].startswith("attack:"))
        self.assertTrue(found["step-too-large"].startswith("test_attack:"))


class Autoencoder(TrainCase):
    COMMAND = ["train", "--data", "patterns", "--train-images", "256", "--test-images", "20", "--method", "autoencoder",
               "--net", "autoencoder", "--epochs", "3", "--threads", "1", "--quiet"]

    def test_reports_how_well_it_gives_images_back_and_no_accuracy(self):
        result = json.loads(self.ok(*self.COMMAND, "--json", "--out", self.path("r")))
        error = result["reconstruction_error"]
        self.assertEqual(error["n"], 20)
        self.assertTrue(0 < error["low"] < error["value"] < error["high"] < 0.1, error)
        self.assertFalse({"natural", "robust", "commonest_class", "findings"} & set(result))
        self.assertEqual(result["curve"]["natural"], [None] * 3)
        self.assertTrue(result["training"].startswith("autoencoder training: 3 epochs"), result["training"])
        before = digest(self.path("r", "model.safetensors"))
        text = self.ok(*self.COMMAND, "--out", self.path("r"))
        self.assertRegex(text, r"reconstruction +0\.0\d+ \[")
        self.assertNotIn("natural", text)
        self.assertEqual(digest(self.path("r", "model.safetensors")), before)

    def test_refuses_what_has_no_meaning_for_it(self):
        self.refused(2, ["guard_images and method autoencoder"], *self.COMMAND, "--guard-images", "4",
                     "--out", self.path("r"))
        self.assertFalse(os.path.exists(self.path("r")))


class Private(TrainCase):
    ARGUMENTS = ["train", "--data", "patterns", "--net", "lenet", "--train-images", "200", "--test-images", "20",
                 "--epochs", "2", "--batch-size", "20", "--clip-norm", "1", *QUICK]

    def test_says_what_it_guarantees(self):
        given = json.loads(self.ok(*self.ARGUMENTS, "--noise-multiplier", "1.5", "--delta", "1e-3", "--out",
                                   self.path("given")))["guarantee"]
        self.assertEqual(given["phases"], [{"rate": 0.1, "noise": 1.5, "steps": 20}])
        self.assertEqual(given["delta"], 1e-3)
        tight = json.loads(self.ok("privacy", "epsilon", "--rate", "0.1", "--noise", "1.5", "--steps", "20", "--delta",
                                   "1e-3", "--json"))["guarantees"][-1]
        self.assertLessEqual(given["lowest_epsilon"], tight["epsilon"])
        self.assertLessEqual(tight["lowest_epsilon"], given["epsilon"])
        self.assertAlmostEqual(given["epsilon"] / tight["epsilon"], 1, delta=2e-3)
        solved = json.loads(self.ok(*self.ARGUMENTS, "--epsilon", "2", "--out", self.path("solved")))["guarantee"]
        self.assertLessEqual(solved["epsilon"], 2)
        self.assertGreater(solved["epsilon"], 1.99)
        again = json.loads(self.ok("train", "--config", self.path("solved", "config.json"), "--out",
                                   self.path("again"), *QUICK))
        self.assertEqual(again["guarantee"], solved)
        self.assertEqual(digest(self.path("again", "model.safetensors")),
                         digest(self.path("solved", "model.safetensors")))
        clipped = json.loads(self.ok(*self.ARGUMENTS, "--out", self.path("clipped")))
        self.assertNotIn("guarantee", clipped, "without noise nothing is guaranteed")

    def test_refuses_what_it_cannot_guarantee(self):
        out = ["--out", self.path("r")]
        self.refused(2, ["--epsilon: got 2", "no noise_multiplier"], *self.ARGUMENTS, "--epsilon", "2",
                     "--noise-multiplier", "1", *out)
        self.refused(2, ["--epsilon: got 2 with clip_norm 0"], *TYPO, "--epsilon", "2", *out)
        self.refused(2, ["with batch norm (model.bn0)", "tanh_cnn"], *self.ARGUMENTS, "--net", "convnet", *out)
        self.refused(2, ["clip_norm and method free"], *self.ARGUMENTS, "--method", "free", *out)
        self.assertFalse(os.path.exists(self.path("r")))


class Judging(TrainCase):
    def test_what_only_judges_is_checked_before_and_may_change_after(self):
        self.refused(2, ["test_attack: epsilon", "is 8/255 meant?"], *TYPO, "--test-attack.epsilon", "8",
                     "--out", self.path("r"))
        self.assertFalse(os.path.exists(self.path("r")))
        self.ok(*TYPO, "--test-attack.epsilon", "0.9", "--out", self.path("r"))
        before = digest(self.path("r", "model.safetensors"))
        self.assertEqual(self.result("r")["config"]["test_attack"]["epsilon"], "0.9")
        again = json.loads(self.ok(*TYPO, "--test-attack.epsilon", "8/255", "--judge-images", "6",
                                   "--out", self.path("r")))
        self.assertEqual(again["robust"]["n"], 6)
        self.assertIn("8/255", again["robust_attack"])
        self.assertEqual(digest(self.path("r", "model.safetensors")), before)
        self.assertEqual(self.result("r")["config"]["test_attack"]["epsilon"], "8/255")

    def test_more_epochs_go_on_or_say_how(self):
        self.ok(*TYPO, "--schedule", "constant", "--out", self.path("r"))
        self.ok(*TYPO, "--schedule", "constant", "--epochs", "2", "--out", self.path("r"))
        self.ok(*TYPO, "--schedule", "constant", "--epochs", "2", "--out", self.path("whole"))
        self.assertEqual(digest(self.path("r", "model.safetensors")), digest(self.path("whole", "model.safetensors")))
        self.ok(*TYPO, "--out", self.path("cyclic"))
        self.refused(2, ["another training", "/options/epochs", "schedule constant or step"], *TYPO, "--epochs", "2",
                     "--out", self.path("cyclic"))


class Folders(TrainCase):
    def test_a_refused_run_leaves_the_folder_as_it_was(self):
        self.ok(*TYPO, "--out", self.path("r"))
        before = self.snapshot(self.path("r"))
        self.refused(2, ["another training", "learning_rate"], *TYPO, "--learning-rate", "0.5", "--out", self.path("r"))
        self.refused(2, ["is 8/255 meant?"], *TYPO, "--test-attack.epsilon", "8", "--out", self.path("r"))
        self.refused(2, ["/spec/net"], *TYPO, "--net", "small_cnn", "--out", self.path("r"))
        self.refused(2, ["--device"], *TYPO, "--device", "gpu", "--out", self.path("r"))
        self.assertEqual(self.snapshot(self.path("r")), before)

    def test_other_training_images_are_another_training(self):
        data = folder(self.path("data"), {"a": (0, 20), "b": (1, 20)}, {"a": (0, 4), "b": (1, 4)})
        command = ["train", "--data", data, "--net", "lenet", "--epochs", "1", "--batch-size", "8", *QUICK,
                   "--out", self.path("r")]
        self.ok(*command)
        shutil.copy(os.path.join(data, "train", "a", "000.png"), os.path.join(data, "train", "a", "001.png"))
        self.refused(2, ["another training", "/data/content"], *command)

    def test_another_verb_s_folder_and_a_second_process_are_refused(self):
        os.mkdir(self.path("r"))
        self.write("r/config.json", '{"verb": "study"}')
        self.refused(2, ["pellucid study"], *TYPO, "--out", self.path("r"))
        self.assertEqual(os.listdir(self.path("r")), ["config.json"])
        os.mkdir(self.path("busy"))
        held = os.open(self.path("busy"), os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        self.refused(2, ["another process works in this folder"], *TYPO, "--out", self.path("busy"))
        os.close(held)
        self.ok(*TYPO, "--out", self.path("busy"))

    def test_a_result_of_other_settings_does_not_stay_beside_new_ones(self):
        self.ok(*TYPO, "--schedule", "constant", "--out", self.path("r"))
        def limit():
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        run(*TYPO, "--schedule", "constant", "--epochs", "3", "--out", self.path("r"), preexec_fn=limit,
            restore_signals=False)
        self.assertFalse(os.path.exists(self.path("r", "result.json")))


class Damage(TrainCase):
    def test_a_damaged_state_never_passes_silently(self):
        command = [*TYPO, "--schedule", "constant", "--epochs", "2", "--out", self.path("r")]
        self.ok(*command)
        expected = digest(self.path("r", "model.safetensors"))
        resume = self.path("r", "checkpoints", "resume.safetensors")
        with open(resume, "rb") as file:
            whole = file.read()
        random.seed(1)
        for k in range(6):  # the other hundreds are in tests/training/checkpoint_test.cc
            damaged = bytearray(whole)
            if k % 2:
                damaged = damaged[:random.randrange(len(whole))]
            else:
                damaged[random.randrange(len(whole))] ^= 1 << random.randrange(8)
            with open(resume, "wb") as file:
                file.write(damaged)
            result = json.loads(self.ok(*command))
            self.assertIn("goes on from the end of epoch 1", " ".join(result["notes"]))
            self.assertEqual(digest(self.path("r", "model.safetensors")), expected)
            with open(resume, "rb") as file:
                self.assertEqual(file.read(), whole)
        os.remove(self.path("r", "checkpoints", "resume-before.safetensors"))
        with open(resume, "wb") as file:
            file.write(whole[:-1])
        before = self.snapshot(self.path("r"))
        self.refused(3, ["damaged; remove", "the training begins again"], *command)
        self.assertEqual(self.snapshot(self.path("r")), before)


class Computing(TrainCase):
    def test_the_result_says_who_computed_and_how(self):
        result = json.loads(self.ok(*TYPO, "--schedule", "constant", "--precision", "mixed", "--out", self.path("r")))
        self.assertEqual(result["workers"], [{"processes": 1, "threads": 1}])
        with open("/proc/cpuinfo") as file:
            if "avx512_bf16" not in file.read():
                self.assertEqual(result["precision"], "float32")
                self.assertIn("float32 is used", " ".join(result["notes"]))
                self.assertNotIn("bfloat16", result["training"])
        more = json.loads(self.ok(*TYPO, "--schedule", "constant", "--precision", "mixed", "--epochs", "2",
                                  "--threads", "2", "--out", self.path("r")))
        self.assertEqual(more["workers"], [{"processes": 1, "threads": 1}, {"processes": 1, "threads": 2}])
        self.assertIn("differ in their last bits", " ".join(more["notes"]))
        self.assertIn("--threads", " ".join(self.ok("train", "--help").split("Common")[-1].split()))


class Training(Case):
    SMALL = ["train", *TINY, "--epochs", "1", "--test-images", "20"]

    @staticmethod
    def together(command, ask=lambda processes: None):
        """Two processes of one run: their exit codes, outputs and errors."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = [
            subprocess.Popen([PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2",
                                  "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
            for rank in range(2)]
        ask(processes)
        outputs = [process.communicate(timeout=180) for process in processes]
        return [process.returncode for process in processes], *zip(*outputs)

    def test_several_processes_end_where_one_does(self):
        uneven = ["--train-images", "98", "--batch-size", "32"]  # the last batch: one image each
        command = [*self.SMALL, *uneven, "--net", "preact_resnet8", "--method", "adversarial",
                   "--attack.iterations", "1", "--optimiser", "sgd", "--flip", "--seed", "3", "--json"]
        alone = json.loads(self.ok(*command, "--out", self.path("alone")))
        codes, outputs, errors = self.together([*command, "--out", self.path("together")])
        self.assertEqual(codes, [0, 0], errors)
        self.assertEqual(outputs[1], "", "the second process says nothing")
        self.assertAlmostEqual(json.loads(outputs[0])["curve"]["train_loss"][0], alone["curve"]["train_loss"][0],
                               delta=1e-3)
        a, b = (self.weights(self.path(name, "model.safetensors")) for name in ("alone", "together"))
        self.assertEqual(a.keys(), b.keys())
        for name in a:
            largest = max(1e-3, max(map(abs, a[name])))
            self.assertLess(max(abs(x - y) for x, y in zip(a[name], b[name])), 1e-3 * largest, name)

    def test_several_processes_stop_when_one_is_asked_to_and_go_on(self):
        command = ["train", *TINY, "--test-images", "20", "--epochs", "2", "--method", "adversarial",
                   "--out", self.path("r")]

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
        codes, _, errors = self.together([*self.SMALL, "--train-images", "33", "--batch-size", "16",
                                          "--out", self.path("r")])
        self.assertEqual(codes, [2, 2])
        self.assertIn("33 images in batches of 16 leave one of 1 for 2 processes", errors[0])

    @staticmethod
    def weights(path):
        """The float32 tensors of a safetensors file, as lists."""
        with open(path, "rb") as file:
            content = file.read()
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:8 + size])
        data = content[8 + size:]
        return {name: array.array("f", data[slice(*entry["data_offsets"])]).tolist()
                for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "F32"}

    def test_a_process_that_finds_no_other_names_the_variables(self):
        env = {**os.environ, "RANK": "3", "WORLD_SIZE": "2"}
        self.refused(2, ["$RANK", "got 3", "$WORLD_SIZE = 2"], *self.SMALL, "--out", self.path("r"), env=env)
        env["RANK"] = "one"
        self.refused(2, ["$RANK", 'got "one"'], *self.SMALL, "--out", self.path("r"), env=env)

    def test_an_unknown_or_missing_device_is_refused(self):
        self.refused(2, ["--device", 'got "gpu"', "cpu, cuda or cuda:N"], *self.SMALL, "--device", "gpu",
                     "--out", self.path("r"))
        self.refused(2, ['got "cuda:7"', "use --device cpu"], *self.SMALL, "--device", "cuda:7",
                     "--out", self.path("r"))

    def test_normalise_is_the_first_layer(self):
        for flags, channels in ([], 0), (["--normalise"], 1):
            self.ok(*self.SMALL, *flags, "--out", self.path("r", *flags))
            with open(self.path("r", *flags, "model.safetensors"), "rb") as file:
                content = file.read()
            header = json.loads(content[8:8 + struct.unpack("<Q", content[:8])[0]])
            network = json.loads(header["__metadata__"]["pellucid.architecture"])
            self.assertEqual(len(network["spec"]["mean"]), channels)
            self.assertEqual(network["layers"][0]["op"] == "normalise", bool(channels))

    def test_knobs_of_another_method_are_refused(self):
        self.refused(2, ["adversarial_share", "method adversarial"], *self.SMALL, "--method", "mart",
                     "--adversarial-share", "0.5", "--out", self.path("r"))

    def test_bench_times_the_plain_way_beside_ours(self):
        result = json.loads(self.ok("bench", "train", "--nets", "lenet", "--batch", "4", "--repeats", "1",
                                    "--threads", "1", "--json"))
        self.assertEqual([row["mode"] for row in result["rows"]], ["standard", "one step", "PGD-10"])
        for row in result["rows"]:
            self.assertAlmostEqual(row["ratio"], row["float32"] / row["plain"])
            self.assertAlmostEqual(row["mixed_ratio_images_only"], row["mixed"] / row["plain_images_only"])


class Resume(Case):
    LONG = ["train", *TINY, "--epochs", "3", "--method", "adversarial", "--attack.iterations", "2",
            "--attack.step", "0.15"]

    @classmethod
    def setUpClass(cls):
        cls.reference = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.reference.cleanup)
        run(*cls.LONG, "--out", cls.reference.name, check=True)
        cls.expected = digest(os.path.join(cls.reference.name, "model.safetensors"))

    def interrupted(self, name, stop):
        """Starts a training, stops it once the checkpoint `name` is there, and returns its exit code."""
        process = subprocess.Popen([PROGRAM, *self.LONG, "--out", self.path("r")], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
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


if __name__ == "__main__":
    unittest.main()
