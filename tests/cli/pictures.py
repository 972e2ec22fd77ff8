"""Small pictures of a few classes, drawn here, as folders of PNG files."""

import os
import random
import struct
import zlib


def png(side, draw):
    """A grey PNG of side x side; draw(x, y) is the value."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    rows = b"".join(b"\0" + bytes(draw(x, y) for x in range(side)) for y in range(side))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) +
            chunk(b"IEND", b""))


def picture(kind, seed, side=28):
    """Vertical bars, horizontal bars, a disc or a cross, with noise."""
    r = random.Random(seed * 7919 + kind)
    p, cx, cy = r.randint(3, 5), side / 2 + r.uniform(-3, 3), side / 2 + r.uniform(-3, 3)
    def draw(x, y):
        on = [(x // p) % 2, (y // p) % 2, (x - cx) ** 2 + (y - cy) ** 2 < (side / 4) ** 2, abs(x - cx) < 3 or abs(y - cy) < 3][kind % 4]
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
