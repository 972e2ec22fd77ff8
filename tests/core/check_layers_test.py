"""Tests tools/check_layers on small trees, each with one file or two."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "tools/check_layers"


def check(files):
    """The exit code and the output of the check on a tree of `files`, a map from path to content."""
    with tempfile.TemporaryDirectory() as root:
        for name, content in files.items():
            path = pathlib.Path(root) / "pellucid" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        done = subprocess.run([sys.executable, CHECK, root], capture_output=True, text=True)
        return done.returncode, done.stdout


class CheckLayers(unittest.TestCase):
    def refuses(self, name, content, message, **others):
        code, output = check({name: content, **others})
        self.assertEqual(code, 1, output)
        self.assertIn(message, output)
        self.assertEqual(output.count("\n"), 1, output)

    def test_accepts_includes_of_the_layers_above(self):
        code, output = check({
            "study/run.cc": '#include "pellucid/metrics/image.h"\n#include <vector>\n',
            "inversion/match.h": '#include "pellucid/sharing/update.h"\n#include "pellucid/inversion/prior.h"\n',
        })
        self.assertEqual((code, output), (0, "2 files keep to the layers\n"))

    def test_refuses_a_layer_below(self):
        self.refuses("core/file.cc", '\n#include "pellucid/nets/zoo.h"\n',
                     "pellucid/core/file.cc:2: core includes pellucid/nets/zoo.h, expected only core")

    def test_the_attacker_never_sees_the_truth(self):
        for layer in ("data", "metrics", "training", "evasion", "study"):
            self.refuses("inversion/match.cc", f'#include "pellucid/{layer}/x.h"',
                         f"inversion includes pellucid/{layer}/x.h")

    def test_the_report_computes_nothing(self):
        for layer in ("stats", "nets", "metrics", "study"):
            self.refuses("report/page.cc", f"#  include <pellucid/{layer}/x.h>",
                         f"report includes pellucid/{layer}/x.h")

    def test_metrics_know_plain_tensors_only(self):
        self.refuses("metrics/image.h", '#include "pellucid/nets/network.h"',
                     "metrics includes pellucid/nets/network.h")

    def test_stats_and_report_are_free_of_libtorch(self):
        for layer in ("stats", "report"):
            self.refuses(f"{layer}/x.h", "#include <torch/torch.h>",
                         f"{layer} includes torch/torch.h, expected nothing")

    def test_finds_libtorch_behind_another_header(self):
        self.refuses("stats/x.h", '#include "pellucid/core/tensor.h"', "pellucid/stats/x.h:1: stats includes", **{
            "core/tensor.h": '#include "pellucid/core/torch.h"',
            "core/torch.h": '#include "pellucid/core/tensor.h"\n#include <ATen/core/ivalue.h>',
        })

    def test_refuses_an_unknown_layer(self):
        self.refuses("helpers/x.h", "#include <vector>", "layer helpers is unknown")

    def test_refuses_a_path_that_is_not_from_the_root(self):
        self.refuses("nets/x.h", '#include "../study/run.h"',
                     'nets/x.h:1: includes "../study/run.h", expected "pellucid/')

    def test_refuses_a_folder_without_sources(self):
        self.assertEqual(check({})[0], 2)


if __name__ == "__main__":
    unittest.main()
