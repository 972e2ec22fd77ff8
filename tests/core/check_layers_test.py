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
            if isinstance(content, pathlib.Path):
                path.symlink_to(content)
            else:
                path.write_bytes(content.encode())
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
            "gradients/run.cc": '#include "pellucid/metrics/image.h"\n#include <vector>\n',
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
        self.refuses("nets/x.h", '#include "../gradients/run.h"',
                     'nets/x.h:1: includes "../gradients/run.h", expected "pellucid/')

    def test_comments_strings_and_numbers_are_no_includes(self):
        code, output = check({"inversion/match.cc": """// #include "pellucid/data/x.h"
/* #include "pellucid/data/x.h"
   data::load */ #include "pellucid/sharing/update.h"
const char* text = "data::load /*";  // 'data'
const char* raw = R"x(
#include "pellucid/data/x.h"
)x";
int million = 1'000'000; char quote = '"';
auto size = std::data(text);
"""})
        self.assertEqual((code, output), (0, "1 files keep to the layers\n"))

    def test_follows_what_is_included(self):
        self.refuses("inversion/match.cc", '#include "pellucid/sharing/update.h"',
                     "pellucid/inversion/match.cc:1: inversion includes pellucid/sharing/update.h, "
                     "and with it pellucid/data/dataset.h (from pellucid/sharing/batch.h)", **{
                         "sharing/update.h": '#include "pellucid/sharing/batch.h"\n',
                         "sharing/batch.h": '#include "pellucid/data/dataset.h"\n',
                         "data/dataset.h": "#pragma once\n"})
        self.refuses("stats/x.cc", '#include "pellucid/core/x.inc"',
                     "and with it torch/types.h (from pellucid/core/y)", **{
                         "core/x.inc": "#include <pellucid/core/y>", "core/y": "#include <torch/types.h>"})

    # Each brings the data into the attacker's layer, one way or another.
    WAYS_ROUND = {
        "angle brackets": "#include <pellucid/data/x.h>",
        "a relative path": '#include "../data/x.h"',
        "a path beside it": '#include "x.h"',
        "a path with dots": '#include "pellucid/inversion/../data/x.h"',
        "a path with a dot": '#include "pellucid/./data/x.h"',
        "a path with two slashes": '#include "pellucid//data/x.h"',
        "the same in angle brackets": "#include <pellucid//data/x.h>",
        "an absolute path": '#include "/src/pellucid/data/x.h"',
        "an absolute path in angle brackets": "#include </src/pellucid/data/x.h>",
        "a path from above": "#include <../src/pellucid/data/x.h>",
        "spaces": ' \t #  include\t"pellucid/data/x.h"',
        "no space": '#include"pellucid/data/x.h"',
        "a comment before": '/* a */ #include "pellucid/data/x.h"',
        "a comment within": '#/**/include /* b */ "pellucid/data/x.h"',
        "a comment behind": '#include "pellucid/data/x.h"  // nothing',
        "a string that opens a comment": 'const char* s = "/*";\n#include "pellucid/data/x.h"\nconst char* t = "*/";',
        "a character that opens a string": "char c = '\"';\n#include \"pellucid/data/x.h\"\nchar d = '\"';",
        "a raw string that closes": 'const char* s = R"(\")";\n#include "pellucid/data/x.h"\nconst char* t = "";',
        "a number that opens a character": "int n = 1'0;\n#include \"pellucid/data/x.h\"\nint m = 1'0;",
        "a line that goes on": '#inc\\\nlude "pellucid/data/x.h"',
        "other line ends": '#pragma once\r\n#include "pellucid/data/x.h"\r\n',
        "a byte order mark": '\ufeff#include "pellucid/data/x.h"',
        "a digraph": '%:include "pellucid/data/x.h"',
        "include_next": '#include_next <pellucid/data/x.h>',
        "import": '#import "pellucid/data/x.h"',
        "a header unit": 'import "pellucid/data/x.h";',
        "a macro": '#define X "pellucid/data/x.h"\n#include X',
        "a macro with arguments": '#define X(y) <pellucid/y/x.h>\n#include X(data)',
        "a condition": '#if __has_include("pellucid/data/x.h")\n#include "pellucid/data/x.h"\n#endif',
        "a source": '#include "pellucid/data/x.cc"',
        "an include folder": "#include <data/x.h>",
        "an include folder of the layer": "#include <x.h>",
        "the tests": '#include "tests/data/folder.h"',
        "a header above the layers": '#include "pellucid/all.h"',
        "a declaration": "namespace pellucid::data { int load(); }",
        "a nested declaration": "namespace pellucid {\nnamespace data { int load(); }\n}",
        "its name": "int n = data::load();",
        "its whole name": "int n = ::pellucid::data::load();",
        "another name for it": "namespace d = pellucid::data;",
        "its names": "using namespace data;",
    }

    def test_there_is_no_way_round(self):
        data = {"data/x.h": "#pragma once\n", "data/x.cc": "#include <vector>\n"}
        suffixes = ("", ".cc", ".h", ".hpp", ".inc", ".ipp", ".cpp")
        names = ["inversion/match" + suffix for suffix in suffixes] + ["inversion/deep/match.h"]
        for way, content in self.WAYS_ROUND.items():
            with self.subTest(way):
                code, output = check(dict.fromkeys(names, content) | data)
                self.assertEqual(code, 1, output)
                for name in names:
                    self.assertIn(f"pellucid/{name}:", output)

    def test_refuses_links_and_headers_of_no_layer(self):
        data = {"data/x.h": "#pragma once\n"}
        self.refuses("inversion/y.h", pathlib.Path("../data/x.h"), "inversion/y.h:1: is a symbolic link", **data)
        self.refuses("inversion/sub", pathlib.Path("../data"), "inversion/sub:1: is a symbolic link", **data)
        self.refuses("all.h", "#pragma once", "layer all.h is unknown")

    def test_a_layer_s_libraries_and_sources_keep_to_the_order(self):
        for text, message in {
            "pellucid_layer(inversion TORCH\n SOURCES x.cc\n LAYERS core data)": "inversion links data",
            "target_link_libraries(pellucid_inversion PRIVATE pellucid::metrics)": "inversion links metrics",
            "pellucid_layer(inversion SOURCES x.cc ../data/x.cc LAYERS core)": "has ../",
            "target_compile_options(pellucid_inversion PRIVATE -include x.h)": "has -include",
        }.items():
            self.refuses("inversion/CMakeLists.txt", text, f"pellucid/inversion/CMakeLists.txt: {message}",
                         **{"inversion/x.cc": ""})

    def test_refuses_a_folder_without_sources(self):
        self.assertEqual(check({})[0], 2)


if __name__ == "__main__":
    unittest.main()
