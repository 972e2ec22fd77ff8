"""Every study and every training recipe that comes with Pellucid runs.

Usage: presets_test.py PROGRAM [unittest arguments]
"""

import json
import os
import unittest

from program import Case


class Presets(Case):
    def test_every_study_runs_at_smoke_scale(self):
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../studies/grids")
        names = sorted(name.removesuffix(".toml") for name in os.listdir(folder) if name != "base.toml")
        self.assertEqual(len(names), 17)
        for name in names:
            with self.subTest(name):
                out, patterns = self.path(name), ["--set", 'model.data="patterns"']
                result = json.loads(self.ok("study", name, "--scale", "smoke", *patterns, "--out", out,
                                            "--trained", self.path("trained"), "--quiet", "--json"))
                self.assertEqual({t["status"] for t in result["trainings"]}, {"ok"})
                self.assertLessEqual({c["status"] for c in result["cells"]},
                                     {"ok", "not_applicable"} if name == "stages" else {"ok"})
                self.assertEqual({c["passed"] for c in result["controls"] if c["kind"] not in ("guess", "network")},
                                 {True} if result["cells"] else set())
                self.assertEqual(bool(result["cells"]), name != "training-curves")
                with open(os.path.join(out, "report.html")) as page:
                    self.assertIn("smoke scale", page.read())
                for scale in ("laptop", "mnist-16") if name.startswith("demo") else ("laptop", "cifar", "paper"):
                    # Its settings are sound, though none of it is run. (Batches are small, so that few images do for
                    # every step whose checkpoint is asked for.)
                    self.refused(3, ["/proc/nowhere: cannot make the folder"], "study", name, "--scale", scale,
                                 *patterns, "--set", "training.batch_size=16", "--out", "/proc/nowhere",
                                 "--trained", "/proc/nowhere")



class Recipes(Case):
    def test_every_preset_runs(self):
        folder = os.path.join(os.path.dirname(__file__), "../../studies/training")
        presets = sorted(os.listdir(folder))
        self.assertGreater(len(presets), 10)
        for preset in presets:
            with self.subTest(preset):  # on a small network: the large ones would write gigabytes of checkpoints
                small = ["--net", "preact_resnet8"] if "cifar10" in preset else []
                self.ok("train", "--config", os.path.join(folder, preset), "--data", "patterns", "--train-images", "4",
                        "--batch-size", "2", "--epochs", "1", "--milestones", "1", "--test-images", "2",
                        "--judge-images", "2", "--test-attack-images", "1", "--guard-images", "0", "--replays", "2",
                        "--attack.iterations", "1", "--test-attack.iterations", "1", *small, "--out", self.path(preset))


if __name__ == "__main__":
    unittest.main()
