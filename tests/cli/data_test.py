"""Data sets and images on the way in: which folder is used, what is refused, and what that costs."""

import gzip
import json
import os
import struct
import subprocess
import sys
import zlib

from pictures import idx
from program import Case, PROGRAM, run, unittest

MIB = 1 << 20


def png(width, height, rows, colour=0, depth=8):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def grey(value, size=12):
    return png(size, size, [[value] * size] * size)


class Data(Case):
    def put(self, name, content):
        path = os.path.join(os.fsencode(self.folder.name), name if isinstance(name, bytes) else os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return os.fsdecode(path)

    def put_mnist(self, folder, n=20, labels=None, dots=False, pack=lambda content: content):
        for stem in ("train", "t10k"):
            for what, content in (("images-idx3", idx((n, 28, 28), [7] * (n * 784))),
                                  ("labels-idx1", idx((n,), labels or [i % 10 for i in range(n)]))):
                name = f"{stem}-{what}-ubyte"
                self.put(f"{folder}/{name.replace('-idx', '.idx') if dots else name}", pack(content))
        return self.path(folder)

    def put_classes(self, folder, classes, n=2):
        for c, name in enumerate(classes):
            for i in range(n):
                self.put(f"{folder}/{name}/{i}.png", grey(20 * c + i))

    def check(self, name, *arguments, **options):
        result = json.loads(self.ok("data", "check", name, "--json", *arguments, **options))
        return {split["split"]: split for split in result["splits"]}

    def train(self, *arguments):
        return ["train", "--net", "lenet", "--epochs", "1", "--batch-size", "4", "--judge-images", "1",
                "--test-attack-images", "0", "--test-attack.iterations", "1", "--threads", "1", "--quiet",
                "--out", self.path("r"), *arguments]

    def cheaply_refused(self, wanted, *arguments, megabytes=200, seconds=3):
        """Refused with exit 3, at little cost. The processor's time is counted, so that a busy machine does not matter;
        of it the start of the program alone takes some."""
        code = ("import resource, subprocess, sys\n"
                "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
                "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
                "sys.stderr.write(done.stderr)\n"
                "print(used.ru_maxrss // 1024, used.ru_utime + used.ru_stime)\n"
                "sys.exit(done.returncode)\n")
        done = subprocess.run([sys.executable, "-c", code, PROGRAM, *map(str, arguments)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertEqual(done.stderr.strip().count("\n"), 0, done.stderr)
        self.assertIn(wanted, done.stderr)
        peak, time = done.stdout.split()
        self.assertLess(float(peak), megabytes)
        self.assertLess(float(time), seconds)

    # Which folder is used.

    def test_an_explicit_folder_is_the_only_place(self):
        environment = dict(os.environ, PELLUCID_DATA=self.put_mnist("usual"))
        self.assertEqual(self.check("mnist", env=environment)["train"]["source"], self.path("usual"))
        os.makedirs(self.path("given"))
        wanted = ["looked in " + self.path("given"), "it is empty",
                  f"pellucid data fetch mnist --data-dir {self.path('given')}"]
        self.refused(3, wanted, "data", "check", "mnist", "--data-dir", self.path("given"), env=environment)
        self.refused(3, wanted, *self.train("--data", "mnist", "--data-dir", self.path("given")), env=environment)
        environment = dict(os.environ, PELLUCID_DATA=self.path("given"), HOME=self.path("home"), XDG_CACHE_HOME="")
        self.put_mnist("home/.cache/datasets/mnist")
        self.refused(3, ["looked in " + self.path("given")], "data", "check", "mnist", env=environment)

    def test_names_of_other_tools_are_read(self):
        self.assertEqual(self.check("mnist", "--data-dir", self.put_mnist("dots", dots=True))["test"]["images"], 20)
        self.put_mnist("torch/MNIST/raw")
        self.assertEqual(self.check("mnist", "--data-dir", self.path("torch"))["test"]["source"],
                         self.path("torch/MNIST/raw"))
        members = lambda content: gzip.compress(content[:100]) + gzip.compress(content[100:])
        packed = self.put_mnist("members", pack=members)
        self.assertEqual(self.check("mnist", "--data-dir", packed)["train"]["images"], 20)

    def test_what_lies_there_instead_is_named(self):
        self.put("py/cifar-10-batches-py/data_batch_1", b"")
        self.refused(3, ["cifar-10-batches-py", "the Python version of CIFAR-10"], "data", "check", "cifar10",
                     "--data-dir", self.path("py"))
        self.put_mnist("letters", labels=[i % 20 + 1 for i in range(20)])
        self.refused(3, ["train-labels-idx1-ubyte: byte 17: class of image 9, got 10, expected 0 to 9",
                         "classes are 1 to 20"], "data", "check", "mnist", "--data-dir", self.path("letters"))

    def test_a_class_past_the_last_names_file_image_and_class(self):
        self.put("c/test_batch.bin", bytes(3073) + b"\x0b" + bytes(3072))
        for batch in range(1, 6):
            self.put(f"c/data_batch_{batch}.bin", bytes(3073))
        self.refused(3, [self.path("c/test_batch.bin"), "class of image 1, got 11, expected 0 to 9"],
                     "data", "check", "cifar10", "--data-dir", self.path("c"))

    def test_a_folder_that_may_not_be_entered_is_not_an_empty_one(self):
        shut = self.path("shut")
        os.makedirs(os.path.join(shut, "mnist"))
        os.chmod(self.folder.name, 0o755)
        os.chmod(shut, 0)
        user = {"user": 65534} if os.getuid() == 0 else {}
        if subprocess.run([PROGRAM, "--version"], capture_output=True, **user).returncode != 0:
            self.skipTest("another user may not run the program")
        self.refused(3, ["shut/mnist", "Permission denied"], "data", "check", "mnist", "--data-dir", shut, **user)
        listed = json.loads(self.ok("data", "list", "--json", "--data-dir", shut, **user))
        found = {item["name"]: item for item in listed}
        self.assertIn("Permission denied", found["mnist"]["problem"])
        self.assertIn("Permission denied", self.ok("data", "list", "--data-dir", shut, **user))
        os.chmod(shut, 0o700)

    def test_list_says_where_it_looked(self):
        self.assertIn(f"Looked in {self.path()}", self.ok("data", "list", "--data-dir", self.path()))

    # Folders of images.

    def test_labels_of_the_test_split_are_those_of_train(self):
        self.put_classes("f/train", "abc")
        self.put_classes("f/test", "ac")
        splits = self.check(self.path("f"))
        self.assertEqual(splits["train"]["classes"], {"a": 2, "b": 2, "c": 2})
        self.assertEqual(splits["test"]["classes"], {"a": 2, "b": 0, "c": 2})
        self.put_classes("f/test", ["aa"])
        self.refused(3, ['class "aa": 2 images in test and none in train'], "data", "check", self.path("f"))

    def test_nested_folders_and_val_are_read(self):
        for split in ("train", "val"):
            self.put_classes(f"f/{split}", ["a/images", "b/images"])
        self.assertEqual(self.check(self.path("f"))["test"]["source"], self.path("f/val"))

    def test_names_that_are_not_utf8_train(self):
        for split in (b"train", b"test"):
            for name in (b"caf\xe9", b"line\nbreak"):
                for i in range(4):
                    self.put(b"latin-\xe9/" + split + b"/" + name + b"/%d.png" % i, png(28, 28, [[i] * 28] * 28))
        splits = self.check(os.fsdecode(os.path.join(os.fsencode(self.folder.name), b"latin-\xe9")))
        self.assertEqual(list(splits["test"]["classes"]), ["caf\ufffd", "line\\nbreak"])
        self.ok(*self.train("--data", os.fsdecode(os.path.join(os.fsencode(self.folder.name), b"latin-\xe9"))))

    # Files that claim too much.

    def test_a_bomb_costs_nothing(self):
        def packed(header):  # a GiB of zeros behind it
            packer = zlib.compressobj(9, zlib.DEFLATED, 31)
            return packer.compress(header) + b"".join(packer.compress(bytes(MIB)) for _ in range(1024)) + packer.flush()
        bomb, claim = packed(idx((20, 28, 28), b"")), packed(idx((1369568, 28, 28), b""))
        self.assertLess(len(bomb), 2 * MIB)
        self.put_mnist("b")
        self.put("b/train-images-idx3-ubyte", bomb)
        self.cheaply_refused("size, got more than 15696 bytes", "data", "check", "mnist", "--data-dir", self.path("b"))
        self.put("b/train-images-idx3-ubyte", claim)
        self.cheaply_refused("number of labels, got 20, expected 1369568", "data", "check", "mnist",
                             "--data-dir", self.path("b"))
        for batch in range(1, 6):
            self.put(f"b/data_batch_{batch}.bin", claim)
        self.put("b/test_batch.bin", claim)
        self.cheaply_refused("data_batch_1.bin (unpacked): got more than 10000 records of 3073 bytes",
                             "data", "check", "cifar10", "--data-dir", self.path("b"))

    def test_a_sparse_file_is_not_read(self):
        def sparse(name, head):
            with open(self.put(name, head), "r+b") as file:
                file.truncate(7 << 30)
        self.put_mnist("s")
        for head in (b"", idx((20, 28, 28), b""), idx((9586980, 28, 28), b"")):
            sparse("s/train-images-idx3-ubyte", head)
            self.cheaply_refused("train-images-idx3-ubyte", "data", "check", "mnist", "--data-dir", self.path("s"))
        for batch in range(1, 6):
            sparse(f"s/data_batch_{batch}.bin", b"")
        sparse("s/test_batch.bin", b"")
        self.cheaply_refused("data_batch_1.bin: size, got 7516192768 bytes", "data", "check", "cifar10",
                             "--data-dir", self.path("s"))
        for head in (b"", grey(1), b"\xff\xd8\xff\xe0"):
            sparse("s/p/train/a/x.png", head)
            self.cheaply_refused("x.png", "data", "check", self.path("s/p"))

    def test_an_image_that_claims_too_much_is_not_unpacked(self):
        self.put("p/train/a/0.png", png(65535, 65535, [], depth=1))
        self.cheaply_refused("size, got 65535 x 65535 pixels", "data", "check", self.path("p"))
        self.put("p/train/a/0.png", grey(1))
        self.put("p/train/a/1.png", png(4096, 4096, [bytes(4096 * 8)] * 4096, colour=6, depth=16))
        self.cheaply_refused("1.png: got 4096 x 4096 pixels of 3 channels, expected 12 x 12 pixels of 1 channels",
                             "data", "check", self.path("p"))

    def test_the_memory_budget_holds_for_images_and_files(self):
        for i in range(30):
            self.put(f"f/train/a/{i}.png", grey(i))
        self.put("f/test/a/0.png", grey(1))
        self.refused(3, ["27 images or more of 144 bytes: needs 4.01 KiB of memory, and 4 KiB are allowed"],
                     "data", "check", self.path("f"), "--memory", "4K")
        self.refused(3, ["20 x 28 x 28 bytes: needs 15.3 KiB"], "data", "check", "mnist",
                     "--data-dir", self.put_mnist("m"), "--memory", "8K")

    # What a terminal is shown.

    def test_names_of_others_are_shown_without_control_characters(self):
        self.put_classes("f/train", ["a"])
        self.put("f/train/a/\x1b[31mred.png", b"no image")
        self.refused(3, ["\\x1b[31mred.png: byte 0: neither"], "data", "check", self.path("f"))
        done = run("data", "check", "x" * 100_000 + "/y")
        self.assertEqual(done.returncode, 3)
        self.assertLess(len(done.stderr), 600)
        done = run("data", "check", "\x1b[31m" + "x" * 100_000)
        self.assertNotIn("\x1b", done.stderr)
        self.assertLess(len(done.stderr), 600)

    def test_check_says_what_a_set_holds(self):
        self.put_classes("f/train", ["cat", "dog"], n=3)
        self.put_classes("f/test", ["cat", "dog"])
        shown = self.ok("data", "check", self.path("f")).split()
        for word in ["train", "6", "[1,12,12]", self.path("f/train"), "test", "4", "cat", "dog"]:
            self.assertIn(word, shown)
        self.refused(2, ["got \"minst\"", "did you mean mnist?"], "data", "check", "minst")


if __name__ == "__main__":
    unittest.main()
