"""The demo as a newcomer runs it.

Usage: demo_test.py PROGRAM [unittest arguments]
"""

import html
import json
import os
import unittest

from pictures import mnist
from program import SHORT_DEMO, Case


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
        command = [*SHORT_DEMO, "--data", "patterns", "--out", out]
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

    def test_takes_the_patterns_only_where_nothing_is_named(self):
        environment = {**os.environ, "PELLUCID_DATA": self.path(), "XDG_CACHE_HOME": self.path()}
        result = json.loads(self.ok(*SHORT_DEMO, "--seed", "3", "--images", "1", "--json", "--out", self.path("demo"),
                                    env=environment))
        self.assertEqual(result["data"]["name"], "patterns")
        groups = result["config"]["groups"].values()
        self.assertEqual({(group["training"]["seed"], group["attack"]["seed"]) for group in groups}, {(3, 3)})
        self.assertEqual(len(result["cells"]), 4)
        for named in (["--data-dir", self.path()], ["--set", f"model.data_dir='{self.path()}'"], ["--data", "mnist"],
                      ["--scale", "mnist-16"], ["--pretrained"]):
            self.refused(3, ["mnist: train files not found", self.path(), "pellucid data fetch mnist"], *SHORT_DEMO,
                         *named, "--out", self.path("no"), env=environment)
        self.assertFalse(os.path.exists(self.path("no")))
        self.refused(2, ["unknown flag --config"], "demo", "--config", "x.toml")
        self.refused(2, ["did you mean smoke?"], "demo", "--scale", "smok")

    def test_takes_the_models_that_come_with_it(self):
        result = json.loads(self.ok(*SHORT_DEMO, "--pretrained", "--data-dir", mnist(self.path("mnist")),
                                    "--images", "1", "--json", "--out", self.path("demo")))
        self.assertEqual(os.listdir(self.path("trained")), ["cells.jsonl"], "nothing is trained")
        self.assertEqual([training["curve"] for training in result["trainings"]], [None, None])
        for training in result["trainings"]:
            self.assertGreater(training["natural"]["value"], 0.8, "0.875 and 0.95 of these digits")
        self.assertEqual({group["model"]["weights"] for group in result["config"]["groups"].values()},
                         {"mnist-standard.safetensors", "mnist-adversarial.safetensors"})


if __name__ == "__main__":
    unittest.main()
