"""capture and invert: inputs that belong together, files that lie, results that stay."""

import array
import functools
import json
import os
import resource
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

from program import PROGRAM, TINY, Case, digest, run


def read(path):
    """The tensors and the metadata of a safetensors file: {name: (dtype, shape, bytes)}, {key: text}."""
    with open(path, "rb") as file:
        content = file.read()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    metadata = header.pop("__metadata__", {})
    return {name: (t["dtype"], t["shape"], content[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]])
            for name, t in header.items()}, metadata


def written(tensors, metadata=None):
    """The bytes of a safetensors file, as another program writes it."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def grey(width, height, draw):
    """A grey PNG."""
    import zlib
    rows = b"".join(b"\0" + bytes(draw(x, y) % 256 for x in range(width)) for y in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Pair(Case):
    """One lenet, trained for one epoch, with updates and truths of it: made once, for the tests of every class."""

    QUIET = ["--threads", "1", "--quiet"]

    @classmethod
    def setUpClass(cls):
        if hasattr(Pair, "shared"):
            return
        Pair.shared = tempfile.TemporaryDirectory()
        unittest.addModuleCleanup(Pair.shared.cleanup)
        Pair.model = cls.at("r", "model.safetensors")
        Pair.fresh = cls.at("r", "checkpoints", "step-000000.safetensors")
        run("train", *TINY, "--net", "lenet", "--epochs", "1", "--test-images", "20", "--out", cls.at("r"), check=True)
        for name, more in {"3": [], "5": [], "3,5": ["--share-labels"]}.items():
            run("capture", cls.model, "--data", "patterns", "--images", name, *more, "--out", cls.at(f"u{name}"),
                "--truth", cls.at(f"t{name}"), *cls.QUIET, check=True)

    @classmethod
    def at(cls, *parts):
        return os.path.join(cls.shared.name, *parts)

    def invert(self, update, *more, model=None):
        return ["invert", update, "--model", model or self.model, "--attack.restarts", "1", "--attack.iterations", "20",
                "--out", self.path("i"), *more, *self.QUIET]

    def edited(self, name, source, change=lambda tensors, metadata: None):
        """A copy of a file, written anew by another program with a change."""
        tensors, metadata = read(source)
        change(tensors, metadata)
        return self.write(name, written(tensors, metadata))

    @staticmethod
    def given(metadata, **changes):
        metadata["observation"] = json.dumps({**json.loads(metadata["observation"]), **changes})

    def result(self, *parts):
        with open(self.path(*(parts or ("i", "result.json")))) as file:
            return json.load(file)


class Prior(Pair):
    """The learned prior, from its training to its attack."""

    def test_is_an_autoencoder_in_a_file(self):
        self.ok("train", *TINY, "--method", "autoencoder", "--net", "autoencoder", "--epochs", "1", "--test-images",
                "20", "--out", self.path("p"))
        prior = ["--attack.prior", self.path("p", "model.safetensors"), "--attack.anomaly", "0.1"]
        self.ok(*self.invert(self.at("u3"), "--attack", "ig", *prior))
        self.assertEqual(self.result()["threat_model"], "D")
        with_prior = digest(self.path("i", "images.safetensors"))
        self.ok(*self.invert(self.at("u3"), "--attack", "ig"))
        self.assertNotEqual(digest(self.path("i", "images.safetensors")), with_prior)
        self.assertEqual(self.result()["threat_model"], "B")

    def test_is_refused_where_it_is_none(self):
        for code, wanted, more in (
                (2, "anomaly: got 0.1 without a prior", ["--attack.anomaly", "0.1"]),
                (2, "with anomaly = 0, expected a weight", ["--attack.prior", self.model]),
                (2, "outputs: got [10], expected [784]", ["--attack.prior", self.model, "--attack.anomaly", "0.1"]),
                (3, "attack: prior: ", ["--attack.prior", self.path("none"), "--attack.anomaly", "0.1"]),
                (2, "threat model C", ["--attack.prior", self.model, "--attack.anomaly", "0.1",
                                       "--attack.threat-model", "C"])):
            with self.subTest(wanted):
                self.refused(code, [wanted], *self.invert(self.at("u3"), "--attack", "ig", *more))
                self.assertFalse(os.path.exists(self.path("i")), "a refused command leaves no folder")


class Truth(Pair):
    def test_is_compared_with_the_update_before_the_attack(self):
        long = ["--attack.iterations", "1000000", "--attack", "ig"]  # an attack that has begun would not end
        for update, truth, why in (("u3,5", "t3", "got 1 image, the update is of 2"),
                                   ("u3", "t3,5", "got 2 images, the update is of 1"),
                                   ("u3", "t5", "it belongs to the update"), ("u3", "none", "cannot open"),
                                   ("u3", "u3", "got no truth")):
            with self.subTest(truth):
                begin = time.monotonic()
                self.refused(3, [why], *self.invert(self.at(update), *long, "--truth", self.at(truth)))
                self.assertLess(time.monotonic() - begin, 30)
                self.assertFalse(os.path.exists(self.path("i")), "a refused command leaves no folder")

    def test_with_other_labels_than_the_shared_ones_is_refused(self):
        def swap(tensors, metadata):
            labels = array.array("q", tensors["labels"][2])
            labels[0] = (labels[0] + 1) % 10
            tensors["labels"] = (*tensors["labels"][:2], labels.tobytes())
            del metadata["update"]
        truth = self.edited("t", self.at("t3,5"), swap)
        self.refused(3, ["its labels are not those that were shared"],
                     *self.invert(self.at("u3,5"), "--attack", "ig", "--truth", truth))

    def test_that_vanishes_during_the_attack_costs_no_image(self):
        truth = shutil.copy(self.at("t3"), self.path("t"))
        long = ["--attack.iterations", "600", "--attack.restarts", "8"]
        attack = subprocess.Popen([PROGRAM, *self.invert(self.at("u3"), *long, "--truth", truth)],
                                  stderr=subprocess.PIPE, text=True)
        while not os.path.isdir(self.path("i")):  # accepted: the truth was looked at
            time.sleep(0.001)
        os.remove(truth)
        _, errors = attack.communicate(timeout=300)
        self.assertEqual(attack.returncode, 3, errors)
        self.assertIn("holds the reconstruction; scoring it", errors)
        self.assertTrue(os.path.exists(self.path("i", "images", "0000.png")))
        self.assertNotIn("psnr", self.result()["images"][0])

    def test_scores_are_matched_and_say_with_which_original(self):
        self.ok("capture", self.fresh, "--data", "patterns", "--images", "6,10", "--share-labels",
                "--out", self.path("u"), "--truth", self.path("t"), *self.QUIET)
        flipped = self.edited("flipped", self.path("t"), lambda tensors, metadata: tensors.update(
            images=(*tensors["images"][:2], tensors["images"][2][28 * 28 * 4:] + tensors["images"][2][:28 * 28 * 4]),
            labels=(*tensors["labels"][:2], tensors["labels"][2][8:] + tensors["labels"][2][:8])))
        scores = []
        for truth in (self.path("t"), flipped):
            rows = json.loads(self.ok(*self.invert(self.path("u"), "--attack", "ig", "--attack.iterations", "300",
                                                   "--truth", truth, "--json", model=self.fresh)))["images"]
            self.assertEqual(sorted(row["original"] for row in rows), [0, 1])
            scores.append([(row["original"], row["psnr"]) for row in rows])
        self.assertEqual([(1 - original, psnr) for original, psnr in scores[0]], scores[1],
                         "the order of the truth does not matter")


class Update(Pair):
    def test_names_no_image(self):
        """Two numbers of one picture, in data sets of two names, captured into files of two names: the same bytes."""
        for name in ("x", "y"):
            for split in ("train", "test"):
                for label in ("a", "b"):
                    os.makedirs(self.path(name, split, label))
                    for i in range(4):
                        picture = grey(28, 28, lambda x, y: 0 if label == "a" else 31 * x + 17 * y + i)
                        self.write(os.path.join(name, split, label, f"{i}.png"), picture)
        self.ok("train", "--data", self.path("x"), "--net", "lenet", "--epochs", "1", "--batch-size", "8",
                "--judge-images", "1", "--test-attack-images", "0", "--out", self.path("r"), *self.QUIET)
        model = self.path("r", "model.safetensors")

        def captured(out, data, images, *more):
            self.ok("capture", model, "--data", self.path(data), "--images", images, "--out", self.path(out), *more,
                    *self.QUIET)
            return digest(self.path(out))
        first = captured("u0", "x", "0", "--truth", self.path("t"))
        self.assertEqual(captured("another", "y", "2"), first)
        self.assertNotEqual(captured("u5", "x", "5"), first)
        metadata = read(self.path("u0"))[1]
        self.assertEqual(set(metadata), {"schema", "observation", "threat_model", "pellucid.checksum"})
        self.assertEqual(set(json.loads(metadata["observation"])), {"batch_size", "mode", "model", "labels", "classes"})
        for name, images in (("twice", "5,0,0"), ("other", "0,1,5")):
            captured(name, "x", images, "--share-labels")
        twice, other = (read(self.path(name))[1]["observation"] for name in ("twice", "other"))
        self.assertEqual(twice, other, "labels in ascending order")

    def test_and_results_hold_the_classes_names(self):
        names = json.loads(read(self.model)[1]["pellucid.classes"])
        self.assertEqual(json.loads(read(self.at("u3"))[1]["observation"])["classes"], names)
        result = json.loads(self.ok(*self.invert(self.at("u3"), "--json")))
        self.assertEqual(result["class_read"], names[result["label_read"]])
        self.assertEqual(result["images"][0]["class"], result["class_read"])
        captured = json.loads(self.ok("capture", self.model, "--data", "patterns", "--images", "3",
                                      "--out", self.path("u"), "--json"))
        self.assertEqual(captured["images"][0]["class"], result["class_read"])

    def test_of_before_still_loads(self):
        def first_version(tensors, metadata):
            given = json.loads(metadata["observation"])
            del given["classes"]
            given["id"] = 3
            metadata.update(schema="pellucid.update/1", observation=json.dumps(given))
            del metadata["pellucid.checksum"]
        old = self.edited("old", self.at("u3"), first_version)
        new = json.loads(self.ok(*self.invert(self.at("u3"), "--json")))["matching_loss"]
        self.assertEqual(json.loads(self.ok(*self.invert(old, "--json")))["matching_loss"], new)

    def test_that_nothing_can_be_read_from_is_no_success(self):
        self.ok(*self.invert(self.at("u3")))
        before = {name: digest(self.path("i", name))
                  for name in ("result.json", "config.json", "images.safetensors", "images/0000.png")}

        def fill(value):
            def change(tensors, metadata):
                dtype, shape, content = tensors["fc.0.bias"]
                tensors["fc.0.bias"] = (dtype, shape, struct.pack("<f", value) + content[4:])
                if value == 0:
                    for name, (t, s, c) in tensors.items():
                        tensors[name] = (t, s, bytes(len(c)))
            return change
        cases = {"nan": (3, "not finite", self.edited("nan", self.at("u3"), fill(float("nan")))),
                 "inf": (3, "not finite", self.edited("inf", self.at("u3"), fill(float("inf")))),
                 "zero": (3, "zero everywhere", self.edited("zero", self.at("u3"), fill(0))),
                 "batch": (2, "expected one image; use ig", self.at("u3,5"))}
        for name, (code, why, update) in cases.items():
            with self.subTest(name):
                self.refused(code, [why], *self.invert(update))
        after = {name: digest(self.path("i", name)) for name in before}
        self.assertEqual(before, after, "a refused command leaves the folder as it was")

    def test_reads_the_labels_of_a_batch_too(self):
        blind = self.edited("blind", self.at("u3,5"), lambda t, m: self.given(m, labels=None))
        self.ok(*self.invert(blind, "--attack", "ig", "--attack.iterations", "1", "--truth", self.at("t3,5")))
        shared = json.loads(read(self.at("u3,5"))[1]["observation"])["labels"]
        self.assertEqual(sorted(image["label"] for image in self.result()["images"]), sorted(shared))

    def test_names_the_cause_that_the_attacker_can_see(self):
        label = json.loads(read(self.at("u3,5"))[1]["observation"])["labels"]
        wrong = self.edited("wrong", self.at("u3,5"), lambda t, m: self.given(m, labels=[(x + 1) % 10 for x in label]))
        self.assertIn("the labels that were shared contradict the gradient",
                      self.ok(*self.invert(wrong, "--attack", "ig")))
        self.assertNotIn("more iterations", self.ok(*self.invert(wrong, "--attack", "ig")))
        self.ok("train", *TINY, "--net", "preact_resnet8", "--epochs", "1", "--train-images", "32",
                "--test-images", "4", "--judge-images", "1", "--out", self.path("bn"))
        model = self.path("bn", "model.safetensors")
        self.ok("capture", model, "--data", "patterns", "--images", "0", "--mode", "training", "--out", self.path("u"))
        text = self.ok(*self.invert(self.path("u"), "--attack.iterations", "1", model=model))
        self.assertIn("batch norm in training mode", text)
        self.assertNotIn("more iterations", text)


class Inspect(Pair):
    def test_says_which_attacks_apply_and_why_others_do_not(self):
        text = self.ok("inspect", self.at("u3,5"), "--model", self.model)
        self.assertRegex(text, r"(?m)^ +ig +B +yes$")
        self.assertRegex(text, r"(?m)^ +residual +no: .*got a batch of 2")
        self.assertRegex(text, r"(?m)^ +shared +\S")
        found = json.loads(self.ok("inspect", self.at("u3"), "--model", self.model, "--json"))
        self.assertEqual(found["labels"][1]["strategy"], "idlg")
        self.assertEqual(len(found["labels"][1]["labels"]), 1)
        self.assertEqual({a["preset"]: a["applies"] for a in found["attacks"]}["residual"], True)
        self.refused(3, ["computed with the network"], "inspect", self.at("u3"), "--model", self.fresh)

    def test_warns_of_a_layer_that_sorts_images_and_imprint_reads_them(self):
        planted, update, truth = self.path("planted"), self.path("update"), self.path("truth")
        self.ok("imprint", self.model, "--data", "patterns", "--bins", "50", "--out", planted)
        self.ok("capture", planted, "--data", "patterns", "--images", "3,5,8", "--out", update, "--truth", truth,
                *self.QUIET)
        self.assertIn("rows of imprint.bins are alike", self.ok("inspect", update, "--model", planted))
        result = json.loads(self.ok(*self.invert(update, "--attack", "imprint", "--truth", truth, "--json",
                                                 model=planted)))
        self.assertEqual(sum(row["psnr"] > 60 for row in result["images"]), 3)
        self.refused(2, ["does not sort images into bins"], *self.invert(self.at("u3"), "--attack", "imprint"))
        self.refused(2, ["the model itself"], "imprint", self.model, "--data", "patterns", "--out", self.model)

    def test_of_local_training_names_the_attacks_for_it(self):
        update = self.path("local.safetensors")
        self.ok("capture", self.model, "--data", "patterns", "--images", "3,5", "--local-epochs", "2", "--step-images",
                "1", "--share-labels", "--out", update, *self.QUIET)
        found = json.loads(self.ok("inspect", update, "--model", self.model, "--json"))
        self.assertIn("2 epochs of SGD at 0.01 (4 steps)", found["observation"])
        applies = {a["preset"]: a["applies"] for a in found["attacks"]}
        self.assertEqual([applies[name] for name in ("unrolled", "surrogate", "residual")], [True, True, False])
        self.ok(*self.invert(update, "--attack", "surrogate"))
        self.refused(2, ["got the change of the weights by 4 steps"], *self.invert(update, "--attack", "residual"))


class Result(Pair):
    def test_is_computed_as_asked(self):
        self.refused(2, ["precision: got tf32 on the cpu, expected float32 or a CUDA device"],
                     *self.invert(self.at("u3"), "--attack.precision", "tf32"))
        self.assertFalse(os.path.exists(self.path("i")), "a refused command leaves no folder")
        tensor = ["--attack.method", "tensor"]
        for more, method in (([], "engine, float32"), (tensor, "tensor engine, float32"),
                             ([*tensor, "--attack.precision", "float64"], "tensor engine, float64")):
            self.assertEqual(json.loads(self.ok(*self.invert(self.at("u3"), *more, "--json")))["method"], method)

    def test_stands_alone_in_its_folder(self):
        self.ok(*self.invert(self.at("u3,5"), "--attack", "ig"))
        self.assertEqual(sorted(os.listdir(self.path("i", "images"))), ["0000.png", "0001.png"])
        self.write("i/images/mine.png", b"kept")
        self.ok(*self.invert(self.at("u3")))
        self.assertEqual(sorted(os.listdir(self.path("i", "images"))), ["0000.png", "mine.png"],
                         "no picture of an earlier run")
        self.write("i/config.json", '{"verb": "train"}')
        self.refused(2, ["holds a run of `pellucid train`"], *self.invert(self.at("u3")))

    def test_holds_the_exact_pixels(self):
        self.ok(*self.invert(self.at("u3")))
        tensors, metadata = read(self.path("i", "images.safetensors"))
        dtype, shape, content = tensors["images"]
        self.assertEqual((dtype, shape, metadata["schema"]), ("F32", [1, 1, 28, 28], "pellucid.images/1"))
        pixels = array.array("f", content)
        self.assertTrue(all(0 <= p <= 1 for p in pixels))
        self.assertGreater(sum(abs(p * 255 - round(p * 255)) > 0.01 for p in pixels), 100,
                           "finer than the PNG's 8 bits")
        self.assertIn("float32", " ".join(self.ok("invert", "--help").split()))

    def test_of_small_images_lacks_ssim_alone(self):
        for split in ("train", "test"):
            for k, label in enumerate("ab"):
                os.makedirs(self.path("eight", split, label))
                for i in range(8):
                    self.write(f"eight/{split}/{label}/{i}.png", grey(8, 8, lambda x, y: 29 * (x if k else y) + i))
        self.ok("train", "--data", self.path("eight"), "--net", "lenet", "--epochs", "1", "--batch-size", "8",
                "--judge-images", "1", "--test-attack-images", "0", "--out", self.path("r"), *self.QUIET)
        model = self.path("r", "model.safetensors")
        self.ok("capture", model, "--data", self.path("eight"), "--images", "2", "--out", self.path("u"),
                "--truth", self.path("t"), *self.QUIET)
        row = json.loads(self.ok(*self.invert(self.path("u"), "--truth", self.path("t"), "--json",
                                              model=model)))["images"][0]
        self.assertIsNone(row["ssim"])
        self.assertGreater(row["psnr"], 3)
        self.assertTrue(os.path.exists(row["file"]))
        self.ok(*self.invert(self.path("u"), "--truth", self.path("t"), model=model))

    def test_does_not_overwrite_its_inputs(self):
        os.mkdir(self.path("i"))
        update = shutil.copy(self.at("u3"), self.path("i", "images.safetensors"))
        before = digest(update)
        self.refused(2, ["would be overwritten"], *self.invert(update))
        self.assertEqual(digest(update), before)


class Rounds(Pair):
    """Two networks of one training, and the update of one image from each."""

    def setUp(self):
        super().setUp()
        self.rounds = {}
        for name, model in (("first", self.fresh), ("last", self.model)):
            self.rounds[name] = (self.path(name), model)
            self.ok("capture", model, "--data", "patterns", "--images", "3", "--out", self.path(name),
                    "--truth", self.path(name + "-truth"), *self.QUIET)

    def both(self, *more, updates=None, models=None):
        models = models or [self.fresh, self.model]
        return ["invert", *(updates or [self.path("first"), self.path("last")]),
                *(part for model in models for part in ("--model", model)), "--attack.restarts", "1",
                "--attack.iterations", "20", "--out", self.path("i"), *more, *self.QUIET]

    def test_are_paired_in_order(self):
        result = json.loads(self.ok(*self.both("--json")))
        self.assertEqual(result["rounds"], 2)
        self.assertEqual(result["method"], "engine, float32; 2 rounds")
        self.assertIn("in each of 2 rounds", result["observation"])
        for truth in ("first-truth", "last-truth"):
            scored = json.loads(self.ok(*self.both("--truth", self.path(truth), "--json")))
            self.assertGreater(scored["images"][0]["psnr"], 3)
        flags_first = ["invert", "--model", self.fresh, self.path("first"), "--model", self.model, self.path("last"),
                       "--attack.restarts", "1", "--attack.iterations", "20", "--out", self.path("i"), *self.QUIET]
        self.assertEqual(json.loads(self.ok(*flags_first, "--json"))["matching_loss"], result["matching_loss"])
        alone = json.loads(self.ok(*self.both("--json", updates=[self.path("first")], models=[self.fresh])))
        self.assertEqual((alone["rounds"], alone["method"]), (1, "engine, float32"))

    def test_that_do_not_belong_together_are_refused(self):
        first, last = self.path("first"), self.path("last")
        self.refused(2, ["--model: got 1 for 2 updates, expected one for each, in the same order"],
                     *self.both(models=[self.model]))
        self.refused(2, ["--model: got 2 for 1 update, expected one for each"], *self.both(updates=[first]))
        self.refused(3, ["first: computed with the network", "not with the one given"],
                     *self.both(models=[self.model, self.fresh]))
        self.refused(3, ["round 2: got the update of round 1 again"],
                     *self.both(updates=[first, first], models=[self.fresh, self.fresh]))
        self.refused(3, ["round 2: got the float32 gradient of the mean cross-entropy over 2 images",
                         "expected as in round 1 the float32 gradient of the mean cross-entropy over 1 image"],
                     *self.both("--attack", "ig", updates=[first, self.at("u3,5")]))
        self.ok("capture", self.model, "--data", "patterns", "--images", "3", "--local-epochs", "2",
                "--out", self.path("trained"), *self.QUIET)
        self.refused(3, ["round 2: got the change of its float32 weights by 2 epochs"],
                     *self.both(updates=[first, self.path("trained")]))
        run("train", *TINY, "--net", "convnet", "--epochs", "1", "--train-images", "8", "--test-images", "2",
            "--out", self.path("other"), check=True)
        other = self.path("other", "model.safetensors")
        self.ok("capture", other, "--data", "patterns", "--images", "3", "--out", self.path("of-other"), *self.QUIET)
        self.refused(3, ["round 2: got another architecture (convnet), expected that of round 1 (lenet)"],
                     *self.both(updates=[first, self.path("of-other")], models=[self.fresh, other]))
        self.refused(3, ["it belongs to the update"], *self.both("--truth", self.at("t5")))
        os.mkdir(self.path("i"))
        inside = shutil.copy(last, self.path("i", "images.safetensors"))
        self.refused(2, ["would be overwritten"], *self.both(updates=[first, inside]))


class Capture(Pair):
    def capture(self, *more):
        return ["capture", self.model, "--data", "patterns", *more, *self.QUIET]

    def test_writes_no_file_over_another_of_its_own(self):
        model = shutil.copy(self.model, self.path("m"))
        before = digest(model)
        os.symlink("m", self.path("link"))
        os.link(model, self.path("hard"))
        os.symlink("new", self.path("dangling"))
        for other in ("m", "link", "hard", "./x/../m"):
            with self.subTest(other):
                os.makedirs(self.path("x"), exist_ok=True)
                self.refused(2, ["--out", "which is the model itself"], "capture", model, "--data", "patterns",
                             "--out", self.path(other))
                self.refused(2, ["--truth", "which is the model itself"], "capture", model, "--data", "patterns",
                             "--out", self.path("u"), "--truth", self.path(other))
        for a, b in (("u", "u"), ("u", "./u"), ("u", "x/../u"), ("new", "dangling")):
            self.refused(2, ["--truth", "the file of the update (--out)"], "capture", model, "--data", "patterns",
                         "--out", self.path(a), "--truth", self.path(b))
        self.assertEqual(digest(model), before)
        self.assertEqual(sorted(os.listdir(self.path())), ["dangling", "hard", "link", "m", "x"])

    def test_takes_images_of_the_set_alone(self):
        for images in ("1000", "0,99999999999"):
            self.refused(2, ["image number", "expected 0 to 999"],
                         *self.capture("--images", images, "--out", self.path("u")))
        self.refused(2, ["--images", "at least one"], *self.capture("--images", "", "--out", self.path("u")))
        self.assertEqual(os.listdir(self.path()), [])

    def test_says_what_noise_leaves(self):
        def captured(*more):
            return json.loads(self.ok(*self.capture("--images", "3", "--out", self.path("u"), "--json", *more)))
        self.assertNotIn("bound", captured("--mechanisms", "gaussian 1e-3")["images"][0])
        before = digest(self.path("u"))
        result = captured("--mechanisms", "gaussian 1e-3", "--bound", "--bound-draws", "3")
        bound, every = result["images"][0]["bound"], result["bound_of_all"]
        self.assertEqual(digest(self.path("u")), before, "the update is the same")
        self.assertEqual(bound["pixels"], 784)
        self.assertLess(bound["unbiased_psnr"], bound["trace_psnr"])
        self.assertTrue(every["low"] <= every["psnr"] <= every["high"])
        self.assertLess(every["prior_psnr"], every["psnr"])
        louder = captured("--mechanisms", "gaussian 1e-2", "--bound")["images"][0]["bound"]
        self.assertAlmostEqual(louder["trace_psnr"], bound["trace_psnr"] - 20, 6)
        self.assertAlmostEqual(louder["fisher_loss"], bound["fisher_loss"] / 10, 6)
        self.assertLess(louder["linear_psnr"], bound["linear_psnr"])
        text = self.ok(*self.capture("--images", "3", "--out", self.path("u"), "--mechanisms", "gaussian 1e-3",
                                     "--bound"))
        self.assertRegex(text, r"(?m)^ +3 +-?[\d.]+ +-?[\d.]+ +\S+ +\d+ of 784 +[\d.]+$")
        self.assertIn("The last is no bound", text)

    def test_refuses_a_bound_where_there_is_none_before_it_writes(self):
        out = ["--images", "3,5", "--out", self.path("u")]
        self.refused(2, ["without noise there is no bound"], *self.capture(*out, "--bound"))
        noise = ["--mechanisms", "gaussian 1e-3"]
        self.refused(2, ["--bound-draws: got 1"], *self.capture(*out, *noise, "--bound-draws", "1"))
        self.refused(2, ["got 2 images of 1 clients"], *self.capture(*out, *noise, "--bound-draws", "2"))
        self.assertEqual(os.listdir(self.path()), [])

    def test_averages_over_clients_and_hides_a_schedule(self):
        update = self.path("u")
        images = ["--images", "0,1,2,3", "--out", update]
        result = json.loads(self.ok(*self.capture(*images, "--clients", "2", "--local-epochs", "3",
                                                  "--hide-schedule", "--json")))
        self.assertIn("by SGD at an unknown rate, in unknown steps, over 4 images of 2 clients", result["observation"])
        self.assertAlmostEqual(sum(row["share"] for row in result["images"]), 1)
        self.assertGreater(result["d_snr"], 0)
        text = self.ok("inspect", update, "--model", self.model)
        self.assertRegex(text, r"(?m)^ +best +no: .*ilrg needs the learning rate of local training, which is hidden")
        self.ok(*self.capture(*images, "--local-epochs", "3", "--hide-schedule", "--share-labels"))
        text = self.ok("inspect", update, "--model", self.model)
        self.assertRegex(text, r"(?m)^ +unrolled +no: the steps of local training are not known.*; use surrogate")
        self.assertRegex(text, r"(?m)^ +best +B +yes$")
        self.refused(2, ["clients: got 3 with 4 images in all"], *self.capture(*images, "--clients", "3"))
        self.refused(2, ["share_statistics: got lenet in evaluation mode"],
                     *self.capture(*images, "--share-statistics"))

    def test_compares_data_and_network(self):
        for split in ("train", "test"):
            for label in ("a", "b"):
                os.makedirs(self.path("d", split, label))
                self.write(f"d/{split}/{label}/0.png", grey(28, 28, lambda x, y: x))
        out = ["--out", self.path("u")]
        self.refused(3, ['class "a"', "the network does not know it"], "capture", self.model, "--data", self.path("d"),
                     *out)
        os.makedirs(self.path("e", "train", "0")), os.makedirs(self.path("e", "test", "0"))
        for split in ("train", "test"):
            self.write(f"e/{split}/0/0.png", grey(20, 28, lambda x, y: x))
        self.refused(3, ["got images of 1 x 28 x 20, expected 1 x 28 x 28"], "capture", self.model,
                     "--data", self.path("e"), *out)
        self.assertFalse(os.path.exists(self.path("u")))

    def test_of_a_vast_batch_is_refused_at_once(self):
        done = self.measured(*self.capture("--images", ",".join(["0"] * 30000), "--memory", "100M",
                                           "--out", self.path("u")))
        self.assertIn("the gradient of a batch of 30000 through lenet", done)

    def measured(self, *arguments):
        """What a refusal says; it takes about no more time and memory than starting the program."""
        code, errors, seconds, kilobytes = self.usage(*arguments)
        self.assertEqual(code, 3, errors)
        self.assertLess(seconds, self.idle[2] + 1)
        self.assertLess(kilobytes, self.idle[3] + 100_000)
        return errors

    @functools.cached_property
    def idle(self):
        return self.usage("--version")

    @staticmethod
    def usage(*arguments):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        return process.returncode, errors, used.ru_utime + used.ru_stime, used.ru_maxrss

    def test_hostile_weight_files_cost_nothing(self):
        def file(name, header, size=0):
            path = self.write(name, struct.pack("<Q", len(header)) + header)
            os.truncate(path, max(size, os.path.getsize(path)))
            return path
        lenet, metadata = read(self.model)
        sparse = b'{"x":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (7 << 30, 7 << 30)
        nested = "[" * 400_000 + "]" * 400_000
        layers = "{}," * 400_000 + "{}]}"
        classes = json.dumps({str(i): 0 for i in range(70_000)})
        bombs = {
            "empty objects": file("a", b"{" + b",".join(b'"%d":{}' % i for i in range(400_000)) + b"}"),
            "long header": file("b", b" " * 100_000_000),
            "sparse": file("c", b"{}", 7 << 30),
            "large tensor": file("d", sparse, 8 + len(sparse) + (7 << 30)),
            "metadata": file("e", b'{"__metadata__":{' + b",".join(b'"%d":""' % i for i in range(1_000_000)) + b"}}"),
            "deep": file("f", b"[" * 10_000_000),
            "spec": self.write("g", written(lenet, {"pellucid.spec": '{"net":' + nested + "}"})),
            "long spec": self.write("j", written(lenet, {"pellucid.spec": "[" * 4_000_000})),
            "architecture": self.write("k", written(lenet, {"pellucid.architecture": '{"spec":' + nested + "}"})),
            "layers": self.write("l", written(lenet, {"pellucid.architecture": '{"spec":{},"layers":[' + layers})),
            "classes": self.write("h", written(lenet, {**metadata, "pellucid.classes": classes})),
            "name": self.write("i", written({"\x1b[2J" * 30_000: ("U8", [1], b"0")})),
        }
        for name, path in bombs.items():
            with self.subTest(name):
                errors = self.measured("capture", path, "--data", "patterns", "--out", self.path("u"))
                self.assertLess(len(errors), 1000 + len(path))
                self.assertNotIn("\x1b", errors)
                self.measured("invert", path, "--model", self.model, "--out", self.path("o"))
        self.ok("train", *TINY, "--net", "preact_resnet8", "--epochs", "1", "--train-images", "8", "--batch-size", "4",
                "--test-images", "4", "--judge-images", "1", "--out", self.path("r"))
        tensors, metadata = read(self.path("r", "model.safetensors"))
        network = json.loads(metadata["pellucid.architecture"])
        network["spec"]["input"] = [1, 65536, 65536]
        metadata["pellucid.architecture"] = json.dumps(network)
        vast = self.write("vast", written(tensors, metadata))
        self.assertIn("preact_resnet8 on images of 1x65536x65536: needs",
                      self.measured("capture", vast, "--data", "patterns", "--out", self.path("u")))
        gradient, given = read(self.at("u3"))
        many = json.dumps({**json.loads(given["observation"]), "batch_size": 10**9})
        claimed = self.write("many", written(gradient, {**given, "observation": many}))
        deep = self.write("deep", written(gradient, {**given, "observation": '{"batch_size":' + nested + "}"}))
        self.measured(*self.invert(deep))
        for attack in ("ig", "residual"):
            code, errors, *_ = self.usage(*self.invert(claimed, "--attack", attack))
            self.assertIn(code, (2, 3), errors)


class PyTorch(Pair):
    """State dicts as PyTorch writes them, of the same network."""

    def evade(self, path, *more):
        return ["evade", path, "--data", "patterns", "--images", "20", "--iterations", "2", "--lint-images", "0", *more,
                *self.QUIET]

    def test_weights_work_in_every_verb(self):
        tensors, metadata = read(self.model)
        spec = json.loads(metadata["pellucid.architecture"])["spec"]
        told = ["--net", "lenet"]
        if spec["mean"]:
            told += ["--mean", ",".join(map(str, spec["mean"])), "--deviation", ",".join(map(str, spec["deviation"]))]
        foreign = self.write("f", written(tensors))
        natural = lambda done: json.loads(done)["natural"]["value"]
        expected = natural(self.ok(*self.evade(self.model, "--json")))
        self.refused(3, ["name it with --net"], *self.evade(foreign))
        self.assertEqual(natural(self.ok(*self.evade(foreign, *told, "--json"))), expected)
        self.refused(2, ["did you mean lenet?"], *self.evade(foreign, "--net", "lenett"))
        self.refused(2, ['network: got "small_cnn", but the file itself says lenet'],
                     *self.evade(self.model, "--net", "small_cnn"))
        self.ok("capture", foreign, *told, "--data", "patterns", "--images", "3", "--out", self.path("u"),
                "--truth", self.path("t"), *self.QUIET)
        self.ok(*self.invert(self.path("u"), *told, "--truth", self.path("t"), model=foreign))
        self.ok(*self.invert(self.path("u"), "--truth", self.path("t")))  # the same network by our own file

    def test_weights_of_other_types_and_names_load(self):
        tensors, metadata = read(self.model)
        floats = {name: array.array("f", content) for name, (dtype, _, content) in tensors.items() if dtype == "F32"}
        changed = lambda dtype, pack: {name: (dtype, shape, pack(floats[name]))
                                       for name, (_, shape, _) in tensors.items()}
        files = {
            "float64": changed("F64", lambda x: array.array("d", x).tobytes()),
            "float16": changed("F16", lambda x: struct.pack(f"<{len(x)}e", *x)),
            "bfloat16": changed("BF16", lambda x: b"".join(x.tobytes()[i + 2:i + 4] for i in range(0, 4 * len(x), 4))),
            "prefix": {"module." + name: tensor for name, tensor in tensors.items()},
            "extra": {**tensors, "optimizer.step": ("I64", [], bytes(8))},
        }
        said = {"float64": "converted to float32 from Double", "float16": "converted to float32 from Half",
                "bfloat16": "converted to float32 from BFloat16", "prefix": 'without the prefix "module."',
                "extra": '"optimizer.step"'}
        for name, content in files.items():
            with self.subTest(name):
                for carried in (metadata, None):  # with our metadata, checksum included, and without
                    path = self.write(name, written(content, carried))
                    done = run("capture", path, *([] if carried else ["--net", "lenet"]), "--data", "patterns",
                               "--images", "0", "--out", self.path("u"))
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertIn(said[name], done.stderr)
        self.refused(3, ["a zip archive, as torch.save", "save_file"],
                     *self.evade(self.write("pth", b"PK\3\4" + bytes(100))))


class Damage(Pair):
    def test_of_a_file_never_passes_and_never_crashes(self):
        import random
        random.seed(11)
        for source, command in ((self.model, lambda path: ["invert", self.at("u3"), "--model", path]),
                                (self.at("u3"), lambda path: ["invert", path, "--model", self.model])):
            with open(source, "rb") as file:
                whole = file.read()
            for i in range(6):  # two hundred of each are in tests/nets and tests/sharing
                damaged = bytearray(whole)
                at = random.randrange(3000 if i % 2 else len(whole))
                damaged[at] ^= 1 << random.randrange(8)
                self.refused(3, ["damaged"], *command(self.write("damaged", bytes(damaged if i < 4 else whole[:at]))),
                             "--attack.iterations", "1", "--out", self.path("i"))


if __name__ == "__main__":
    unittest.main()
