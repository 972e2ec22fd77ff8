"""Accuracies under attack as users meet them: data that do not fit the network, attacks that cannot reach, parts of a
sample.

Usage: evade_test.py PROGRAM [unittest arguments]
"""

import json
import os
import struct
import tempfile
import unittest

from pictures import folder
from program import Case, run

QUICK = ["--threads", "1", "--quiet", "--json"]
TRAIN = ["--epochs", "6", "--batch-size", "16", "--learning-rate", "2e-3", "--judge-images", "4",
         "--test-attack-images", "0", "--test-attack.iterations", "1", "--net", "small_cnn", *QUICK]


class Evade(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        cls.data = folder(cls.at("data"), {"a": (0, 40), "b": (1, 40), "c": (2, 40)},
                          {"a": (0, 20), "b": (1, 20), "c": (2, 20)})
        run("train", "--data", cls.data, *TRAIN, "--out", cls.at("r"), check=True)
        cls.model = cls.at("r/model.safetensors")

    @classmethod
    def at(cls, name):
        return os.path.join(cls.shared.name, name)

    def evade(self, *more, model=None):
        return json.loads(self.ok("evade", model or self.model, *QUICK, "--lint-images", "0", *more))

    def codes(self, result):
        return [finding["code"] for finding in result["findings"]]

    def test_labels_are_matched_by_name(self):
        data = folder(self.path("data"), {}, {"a": (0, 10), "c": (2, 10)})
        result = self.evade("--data", data, "--iterations", "1")
        self.assertGreater(result["natural"]["value"], 0.9)
        self.assertEqual(result["data"]["labels"], "by name")
        self.assertEqual(result["data"]["classes"], ["a", "b", "c"])

    def test_data_that_do_not_fit_are_refused_at_once(self):
        data = folder(self.path("more"), {}, {"a": (0, 2), "z": (3, 2)})
        self.refused(3, ['class "z"'], "evade", self.model, "--data", data, *QUICK, "--out", self.path("e"))
        small = folder(self.path("small"), {}, {"a": (0, 2), "b": (1, 2)}, side=8)
        self.refused(3, ["got images of 1 x 8 x 8, expected 1 x 28 x 28"], "evade", self.model, "--data", small, *QUICK,
                     "--out", self.path("e"))
        self.assertFalse(os.path.exists(self.path("e")))

    def test_old_weights_without_names_are_matched_by_place_and_say_so(self):
        with open(self.model, "rb") as file:
            content = file.read()
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:8 + size])
        for key in ("pellucid.classes", "pellucid.checksum"):
            header["__metadata__"].pop(key, None)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        old = self.write("old.safetensors", struct.pack("<Q", len(text)) + text + content[8 + size:])
        self.assertEqual(self.evade("--data", self.data, "--iterations", "1", model=old)["data"]["labels"], "by place")
        done = self.ok("evade", old, "--data", self.data, "--iterations", "1", "--images", "6", "--lint-images", "0",
                       "--threads", "1")
        self.assertIn("labels are matched by place", done)
        data = folder(self.path("more"), {}, {name: (k, 2) for k, name in enumerate("abcd")})
        self.refused(3, ['class "d" is number 3, expected numbers below 3'], "evade", old, "--data", data, *QUICK)

    def test_a_sample_holds_every_class_and_its_parts_make_the_whole(self):
        attack = ["--data", self.data, "--epsilon", "0.1", "--iterations", "3"]
        whole = self.evade(*attack, "--images", "12")
        self.assertEqual(len(whole["data"]["attacked"]), 12)
        self.assertEqual(sorted(number // 20 for number in whole["data"]["attacked"]), [0] * 4 + [1] * 4 + [2] * 4)
        parts = [self.evade(*attack, "--images", "6", "--first-image", first) for first in (0, 6)]
        self.assertEqual(sum((part["data"]["attacked"] for part in parts), []), whole["data"]["attacked"])
        self.assertEqual(sum((part["evaluation"]["broken_by"] for part in parts), []), whole["evaluation"]["broken_by"])
        self.assertIn("a sample drawn with seed 0", whole["model_info"]["footnote"])
        self.assertNotIn("the first 12", whole["model_info"]["footnote"])
        self.refused(2, ["--first-image", "got 60", "less than the 60"], "evade", self.model, "--data", self.data,
                     "--first-image", "60", *QUICK)

    def test_an_l2_ball_is_reached_by_default_and_a_weak_attack_is_found(self):
        ball = ["--data", self.data, "--norm", "l2", "--epsilon", "5", "--images", "12", "--lint-images", "12"]
        strong = self.evade(*ball)
        self.assertLess(strong["robust"]["value"], 0.2)
        self.assertNotIn("cannot-reach", self.codes(strong))
        weak = self.evade(*ball, "--step", "0.01")
        self.assertGreater(weak["robust"]["value"], strong["robust"]["value"] + 0.3)
        self.assertIn("cannot-reach", self.codes(weak))
        self.assertIn("weak-attack", self.codes(weak))
        self.assertIn("step-too-large", self.codes(self.evade("--data", self.data, "--epsilon", "2/255",
                                                              "--step", "0.01", "--images", "4", "--iterations", "2")))
        self.assertIn("no-budget", self.codes(self.evade("--data", self.data, "--epsilon", "0", "--images", "4",
                                                         "--iterations", "2")))

    def test_attacks_for_more_classes_are_left_out_with_a_word(self):
        attack = ["--data", self.data, "--images", "4", "--apgd-ce.iterations", "3", "--fab-t.iterations", "3",
                  "--square.queries", "5"]
        result = self.evade(*attack, "--attacks", "apgd-ce,apgd-t,fab-t,square")
        self.assertEqual([a["name"] for a in result["evaluation"]["attacks"]], ["apgd-ce", "fab-t", "square"])
        self.assertIn("not-applicable", self.codes(result))
        self.assertIsNone(result["model_info"]["autoattack_acc"])
        self.refused(2, ["apgd-t", "a model of 3 classes"], "evade", self.model, *attack, "--attacks", "apgd-t", *QUICK,
                     "--out", self.path("e"))
        self.assertFalse(os.path.exists(self.path("e")))

    def test_what_makes_no_sense_is_refused_before_any_work(self):
        for flags, wanted in ((["--epsilon", "8"], "is 8/255 meant?"), (["--attacks", "cw"], "cw needs norm l2")):
            self.refused(2, [wanted], "evade", self.model, "--data", self.data, *flags, *QUICK, "--out", self.path("e"))
        self.assertFalse(os.path.exists(self.path("e")))

    def test_a_folder_belongs_to_its_verb_and_its_settings(self):
        self.refused(2, ["pellucid train"], "evade", self.model, "--data", self.data, *QUICK, "--out", self.at("r"))
        attack = ["--data", self.data, "--images", "6", "--iterations", "2", "--out", self.path("e")]
        self.evade(*attack)
        with open(self.path("e", "config.json")) as file:
            config = json.load(file)
        self.assertEqual(config["verb"], "evade")
        self.assertEqual(config["model"], self.model)
        self.assertTrue(os.path.exists(self.path("e", "result.json")))
        self.refused(2, ["pellucid evade"], "train", "--data", self.data, *TRAIN, "--out", self.path("e"))

    def test_the_commonest_class_and_the_data_stand_in_the_text(self):
        data = folder(self.path("data"), {}, {"a": (0, 19), "b": (0, 1)})
        text = self.ok("evade", self.model, "--data", data, "--iterations", "1", "--images", "4", "--lint-images", "4",
                       "--threads", "1")
        self.assertIn('always "a", the commonest class', text)
        self.assertIn("warning constant-answer", text)
        self.assertIn(os.path.join(data, "test"), text)

    def test_seconds_are_processor_time(self):
        result = self.evade("--data", self.data, "--images", "12", "--iterations", "5")
        self.assertGreater(result["evaluation"]["attacks"][0]["seconds"], 0)


if __name__ == "__main__":
    unittest.main()
