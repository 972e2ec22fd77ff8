"""Small pictures of a few classes, drawn here: folders of PNG files, and digits in the files of MNIST."""

import os
import random
import struct
import zlib


def png(side, draw):
    """A grey PNG of side x side; draw(x, y) is the value."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + bytes(draw(x, y) for x in range(side)) for y in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def picture(kind, seed, side=28):
    """Vertical bars, horizontal bars, a disc or a cross, with noise."""
    r = random.Random(seed * 7919 + kind)
    p, cx, cy = r.randint(3, 5), side / 2 + r.uniform(-3, 3), side / 2 + r.uniform(-3, 3)
    def draw(x, y):
        on = [(x // p) % 2, (y // p) % 2, (x - cx) ** 2 + (y - cy) ** 2 < (side / 4) ** 2,
              abs(x - cx) < 3 or abs(y - cy) < 3][kind % 4]
        return max(0, min(255, (200 if on else 30) + r.randint(-25, 25)))
    return png(side, draw)


def folder(path, train, test, side=28):
    """train, test: {class: (kind of picture, how many)}. Returns the path."""
    for split, classes, first in (("train", train, 0), ("test", test, 1000)):
        for name, (kind, count) in classes.items():
            os.makedirs(os.path.join(path, split, name), exist_ok=True)
            for i in range(count):
                with open(os.path.join(path, split, name, f"{i:03}.png"), "wb") as file:
                    file.write(picture(kind, first + i, side))
    return path


def idx(shape, values):
    """An IDX file of bytes."""
    return struct.pack(">HBB", 0, 8, len(shape)) + b"".join(struct.pack(">I", n) for n in shape) + bytes(values)


# Digits of 5 x 7 dots, a byte for each row.
FONT = [bytes.fromhex(rows) for rows in (
    "0E11111111110E", "040C040404040E", "0E11010204081F", "1F02040201110E", "02060A121F0202", "1F101E0101110E",
    "0608101E11110E", "1F010204080808", "0E11110E11110E", "0E11110F01020C")]


def mnist(path, count=40):
    """MNIST's four files, of digits in dots of 3 x 3 pixels. Returns the path."""
    def draw(label, left, top):
        def on(x, y):
            column, row = (x - left) // 3, (y - top) // 3
            return 0 <= row < 7 and 0 <= column < 5 and FONT[label][row] >> (4 - column) & 1
        return [255 if on(x, y) else 0 for y in range(28) for x in range(28)]
    os.makedirs(path)
    labels = [i % 10 for i in range(count)]
    pixels = [value for i, label in enumerate(labels) for value in draw(label, 6 + i % 3, 3 + i % 2)]
    for split in ("train", "t10k"):
        for name, content in (("images-idx3", idx((count, 28, 28), pixels)), ("labels-idx1", idx((count,), labels))):
            with open(os.path.join(path, f"{split}-{name}-ubyte"), "wb") as file:
                file.write(content)
    return path
