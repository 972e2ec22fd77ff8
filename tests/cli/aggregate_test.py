"""`aggregate` as processes that talk over a Unix socket and over TLS, and people in between who should not be there.

Usage: aggregate_test.py PROGRAM [unittest arguments]
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

from program import PROGRAM, TINY, Case, run, wait_for

HEADER = 12  # "PAG", the version, the length
NAMES = ["anna", "bob", "carol"]


def frames(data):
    """The whole frames at the front of some bytes, and what is left."""
    found = []
    while len(data) >= HEADER:
        size = struct.unpack("<Q", data[4:HEADER])[0]
        if len(data) < HEADER + size:
            break
        found.append(data[:HEADER + size])
        data = data[HEADER + size:]
    return found, data


def tensors(path):
    """The tensors of a safetensors file of float32 as lists, and its metadata."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
        data = file.read()
    meta = header.pop("__metadata__")
    return {name: struct.unpack(f"<{(t['data_offsets'][1] - t['data_offsets'][0]) // 4}f",
                                data[slice(*t["data_offsets"])]) for name, t in header.items()}, meta


def of_process(process, name):
    with open(f"/proc/{process.pid}/{name}") as file:
        return file.read()


def catches(process, number):
    """Whether a process has begun to handle that signal."""
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", of_process(process, "status"))
    return bool(int(caught[1], 16) >> (number - 1) & 1)


class Between:
    """Stands between a client and the server at a socket of its own, and keeps what the client says. `on_frame(count)`
    is called before the client's frame of that number, from 1, is passed on; False stops it."""

    def __init__(self, path, server, on_frame=lambda count: True):
        self.said, self.on_frame = [], on_frame
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.server = server
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.server)
        threading.Thread(target=self.back, args=(server, client), daemon=True).start()
        rest = b""
        while data := client.recv(1 << 20):
            whole, rest = frames(rest + data)
            for frame in whole:
                self.said.append(frame)
                if not self.on_frame(len(self.said)):
                    server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(frame)

    @staticmethod
    def back(server, client):
        try:
            while data := server.recv(1 << 20):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Round(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        made = os.path.join(cls.shared.name, "run")
        done = run("train", *TINY, "--test-images", "20", "--epochs", "1", "--out", made, "--quiet")
        assert done.returncode == 0, done.stderr
        cls.model = os.path.join(made, "model.safetensors")
        cls.updates = [os.path.join(cls.shared.name, f"{i}.safetensors") for i in range(3)]
        for i, path in enumerate(cls.updates):
            done = run("capture", cls.model, "--data", "patterns", "--images", i, "--out", path)
            assert done.returncode == 0, done.stderr
        cls.together = os.path.join(cls.shared.name, "together.safetensors")
        done = run("capture", cls.model, "--data", "patterns", "--images", "0,1,2", "--clients", 3, "--out",
                   cls.together)
        assert done.returncode == 0, done.stderr

    def setUp(self):
        super().setUp()
        self.socket = self.path("socket")
        self.address = "unix:" + self.socket
        lines = []
        for name in NAMES + ["server"]:
            public = self.ok("aggregate", "key", "--out", self.path(name)).strip()
            self.assertRegex(public, "^[0-9a-f]{64}$")
            lines.append(f"{name} {public}\n")
        self.roster = self.write("roster", "".join(lines))
        self.processes = []
        self.addCleanup(self.end)

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def start(self, *arguments):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        self.processes.append(process)
        return process

    def serve(self, *arguments):
        process = self.start("aggregate", "serve", "--roster", self.roster, "--listen", self.address, "--out",
                             self.path("sum.safetensors"), "--json", "--quiet", *arguments)
        wait_for(lambda: os.path.exists(self.socket) or process.poll() is not None)
        return process

    def join(self, i, *arguments, server=None, key=None, update=None):
        return self.start("aggregate", "join", update or self.updates[i], "--server", server or self.address, "--key",
                          key or self.path(NAMES[i]), "--roster", self.roster, *arguments)

    def ended(self, process, code=0):
        """What a process printed, once it has ended with that code: of a failure its one line on stderr."""
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, code, out + err)
        if code != 0:
            self.assertEqual(err.strip().count("\n"), 0, err)
        return json.loads(out) if code == 0 and out.startswith("{") else out if code == 0 else err

    def expect_mean(self, of):
        mean, meta = tensors(self.path("sum.safetensors"))
        each = [tensors(self.updates[i])[0] for i in of]
        self.assertEqual(mean.keys(), each[0].keys())
        for name, values in mean.items():
            expected = [sum(update[name][k] for update in each) / len(of) for k in range(len(values))]
            self.assertLess(max(abs(a - b) for a, b in zip(values, expected)), 2e-8, name)
        given = json.loads(meta["observation"])
        self.assertEqual((given["clients"], given["batch_size"], given["mechanisms"]), (len(of), len(of), "limit 8"))
        self.assertIsNone(given["labels"])


class Works(Round):
    def test_masked_over_a_unix_socket(self):
        server = self.serve("--timeout", "60")
        clients = [self.join(i, "--json") for i in range(3)]
        result = self.ended(server)
        self.assertEqual(result["clients"], NAMES)
        self.assertEqual(result["values"], 312202)
        self.assertEqual((result["dropped"], result["refused"], result["threshold"]), ([], [], 3))
        for name, client in zip(NAMES, clients):
            printed = self.ended(client)
            self.assertEqual((printed["client"], printed["scheme"], printed["clipped"]), (name, "masked", 0))
            self.assertLess(printed["sent_bytes"], 1.3e6)
        self.expect_mean([0, 1, 2])
        self.assertFalse(os.path.exists(self.socket))

        # The mean is an update like that of capture --clients, but for rounding.
        mean, _ = tensors(self.path("sum.safetensors"))
        together, _ = tensors(self.together)
        for name, values in together.items():
            self.assertLess(max(abs(a - b) for a, b in zip(values, mean[name])), 3e-8, name)
        text = self.ok("inspect", self.path("sum.safetensors"), "--model", self.model)
        self.assertIn("3 images of 3 clients, on average", " ".join(text.split()))

    def test_encrypted_over_tls(self):
        server = self.start("aggregate", "serve", "--roster", self.roster, "--listen", "127.0.0.1:0", "--key",
                            self.path("server"), "--scheme", "encrypted", "--out", self.path("sum.safetensors"))
        where = re.fullmatch(r"waiting for 3 clients at (127\.0\.0\.1:\d+)\n", server.stderr.readline())[1]
        clients = [self.join(i, "--json", server=where) for i in range(3)]
        self.assertIn("the mean of 3 of 3 clients, 312202 values, encrypted", self.ended(server))
        for client in clients:
            self.assertEqual(self.ended(client)["scheme"], "encrypted")
        self.expect_mean([0, 1, 2])

    def test_a_masked_sum_goes_on_when_a_client_is_killed(self):
        # Before its shares, its masked update, its agreement, its part of the unmasking.
        for at, of in (2, [0, 2]), (3, [0, 2]), (4, [0, 1, 2]), (5, [0, 1, 2]):
            server = self.serve("--threshold", "2", "--timeout", "60")
            killed = []

            def kill(count, at=at, killed=killed):
                if count == at:
                    killed[0].kill()
                return count < at
            Between(self.path(f"between{at}"), self.socket, kill)
            others = [self.join(i) for i in (0, 2)]
            killed.append(self.join(1, server="unix:" + self.path(f"between{at}")))
            result = self.ended(server)
            self.assertEqual(killed[0].wait(), -signal.SIGKILL)
            self.assertEqual(result["clients"], [NAMES[i] for i in of])
            self.assertEqual([row["client"] for row in result["dropped"]], ["bob"])
            self.assertIn("the connection ended", result["dropped"][0]["why"])
            for other in others:
                self.ended(other)
            self.expect_mean(of)

    def test_an_encrypted_sum_ends_when_a_client_is_killed(self):
        server = self.serve("--scheme", "encrypted")
        killed = []

        def kill(count):
            if count == 4:
                killed[0].kill()
            return count < 4
        Between(self.path("between"), self.socket, kill)
        others = [self.join(i) for i in (0, 2)]
        killed.append(self.join(1, server="unix:" + self.path("between")))
        why = ("encrypted updates: got 2 of 3 clients, expected all, as an encrypted sum needs: missing bob (the "
               "connection ended); nothing was decrypted, start a new round")
        self.assertIn(why, self.ended(server, 3))
        for other in others:
            self.assertIn("the server ended the round: " + why, self.ended(other, 3))
        self.assertFalse(os.path.exists(self.path("sum.safetensors")))

    def test_who_stays_away_is_left_out_or_ends_the_round(self):
        server = self.serve("--threshold", "2", "--timeout", "2")
        clients = [self.join(i) for i in (0, 1)]
        self.assertEqual(self.ended(server)["dropped"], [{"client": "carol", "why": "sent nothing for 2 s"}])
        for client in clients:
            self.ended(client)
        self.expect_mean([0, 1])
        server = self.serve("--timeout", "2")
        self.assertIn("joining: got 0 of 3 clients, expected at least 3: missing anna (sent nothing for 2 s), bob",
                      self.ended(server, 3))


class Strangers(Round):
    """Each is refused by its connection; the round goes on."""

    def expect_refused(self, bytes_of, message):
        server = self.serve()
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(self.socket)
            opening = b""
            while not frames(opening)[0]:
                opening += raw.recv(1 << 16)
            raw.sendall(bytes_of())
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(60)
            while raw.recv(1 << 16):
                pass
        clients = [self.join(i) for i in range(3)]
        result = self.ended(server)
        self.assertEqual(len(result["refused"]), 1, result["refused"])
        self.assertIn(message, result["refused"][0])
        for client in clients:
            self.ended(client)
        self.expect_mean([0, 1, 2])

    def joining_of(self, i):
        """The first message of a client in an earlier round."""
        server = self.serve()
        between = Between(self.path("between"), self.socket, lambda count: False)
        self.ended(self.join(i, "--timeout", "30", server="unix:" + self.path("between")), 3)
        server.kill()
        server.wait()
        os.remove(self.socket)
        return between.said[0]

    def test_a_replayed_message(self):
        old = self.joining_of(1)
        self.expect_refused(lambda: old, "a message of bob: got a signature that is not its on this message in this "
                                         "round")

    def test_a_forged_message(self):
        old = self.joining_of(1)
        forged = old[:-64] + os.urandom(64)
        self.expect_refused(lambda: forged, "it is forged, changed or sent again")

    def test_a_truncated_message(self):
        old = self.joining_of(1)
        short = old[:4] + struct.pack("<Q", len(old) - HEADER - 7) + old[HEADER:-7]
        self.expect_refused(lambda: short, "it is truncated")

    def test_a_step_that_was_not_asked_for(self):
        old = self.joining_of(1)
        late = old[:HEADER] + struct.pack("<I", 3) + old[HEADER + 4:]
        self.expect_refused(lambda: late, "a message of bob: got step 4, expected step 1")

    def test_somebody_else_altogether(self):
        self.expect_refused(lambda: b"GET / HTTP/1.1\r\n\r\n", "got bytes that are no frame")

    def test_a_message_of_this_round_again(self):
        server = self.serve()
        between = Between(self.path("between"), self.socket)
        clients = [self.join(1, server="unix:" + self.path("between"))]
        wait_for(lambda: between.said)
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(self.socket)
            raw.sendall(between.said[0])
            answer = b""
            while data := raw.recv(1 << 16):
                answer += data
        self.assertIn(b"bob has answered in this step already", answer)
        clients += [self.join(0), self.join(2)]
        self.assertEqual(len(self.ended(server)["refused"]), 1)
        for client in clients:
            self.ended(client)
        self.expect_mean([0, 1, 2])

    def test_a_message_that_was_changed_on_the_way(self):
        server = self.serve("--threshold", "2", "--timeout", "30")

        class Changing(Between):
            def serve(self):
                client, _ = self.listener.accept()
                upstream = socket.socket(socket.AF_UNIX)
                upstream.connect(self.server)
                threading.Thread(target=self.back, args=(upstream, client), daemon=True).start()
                rest, count = b"", 0
                while data := client.recv(1 << 20):
                    whole, rest = frames(rest + data)
                    for frame in whole:
                        count += 1
                        changed = bytearray(frame)
                        if count == 3:  # the masked update
                            changed[len(frame) // 2] ^= 1
                        upstream.sendall(changed)
        Changing(self.path("between"), self.socket)
        clients = [self.join(0), self.join(2)]
        changed = self.join(1, server="unix:" + self.path("between"))
        result = self.ended(server)
        self.assertEqual(result["clients"], ["anna", "carol"])
        self.assertIn("a message of bob: got a signature that is not its", result["dropped"][0]["why"])
        self.assertIn("the server ended the round: a message of bob", self.ended(changed, 3))
        for client in clients:
            self.ended(client)
        self.expect_mean([0, 2])


class Refuses(Round):
    def test_a_key_that_is_not_in_the_roster(self):
        self.ok("aggregate", "key", "--out", self.path("eve"))
        self.assertIn("is not in the roster: expected a line", self.ended(self.join(0, key=self.path("eve")), 2))

    def test_a_roster_of_its_own(self):
        server = self.serve("--timeout", "20")
        eve = self.ok("aggregate", "key", "--out", self.path("eve")).strip()
        with open(self.roster) as file:
            lines = file.readlines()
        other = self.write("other", "".join([f"anna {eve}\n", *lines[1:]]))
        done = self.start("aggregate", "join", self.updates[0], "--server", self.address, "--key", self.path("eve"),
                          "--roster", other)
        self.assertIn("the server has another roster", self.ended(done, 2))
        server.kill()

    def test_a_server_with_another_key(self):
        self.ok("aggregate", "key", "--out", self.path("eve"))
        with open(self.path("eve")) as file:
            self.assertTrue(file.readline().startswith("pellucid-secret-key "))
        public = self.ok("aggregate", "key", "--out", self.path("eve2")).strip()
        with open(self.roster) as file:
            lines = file.readlines()
        theirs = self.write("theirs", "".join([*lines[:3], f"server {public}\n"]))
        server = self.start("aggregate", "serve", "--roster", theirs, "--listen", "127.0.0.1:0", "--key",
                            self.path("eve2"), "--out", self.path("sum.safetensors"))
        where = server.stderr.readline().split()[-1]
        self.assertIn("TLS: the server has another key than the roster's", self.ended(self.join(0, server=where), 3))
        server.kill()

    def test_an_update_of_another_network(self):
        made = self.path("run")
        self.ok("train", *TINY, "--test-images", "20", "--epochs", "1", "--seed", "5", "--out", made, "--quiet")
        other = self.path("other.safetensors")
        self.ok("capture", os.path.join(made, "model.safetensors"), "--data", "patterns", "--out", other)
        server = self.serve("--threshold", "2", "--timeout", "6")
        between = Between(self.path("between"), self.socket)
        first = self.join(0, server="unix:" + self.path("between"))
        wait_for(lambda: between.said)
        why = "carol: its update is of another network or protocol than that of anna: expected the same"
        self.assertIn("the server ended the round: " + why, self.ended(self.join(2, update=other), 3))
        second = self.join(1)
        self.assertEqual(self.ended(server)["clients"], ["anna", "bob"])
        self.ended(first)
        self.ended(second)
        self.expect_mean([0, 1])

    def test_a_stop(self):
        server = self.serve()
        between = Between(self.path("between"), self.socket)
        client = self.join(0, server="unix:" + self.path("between"))
        alone = self.join(1, server="unix:" + self.path("nobody"))
        wait_for(lambda: between.said)
        server.send_signal(signal.SIGINT)
        self.assertIn("the server was stopped: the round is over", self.ended(server, 75))
        self.assertIn("the server ended the round: the server was stopped", self.ended(client, 3))
        self.assertFalse(os.path.exists(self.socket))
        wait_for(lambda: catches(alone, signal.SIGINT))
        alone.send_signal(signal.SIGINT)
        self.assertIn("this client was stopped", self.ended(alone, 75))

    def test_a_server_that_is_killed(self):
        server = self.serve()
        client = self.join(0)
        wait_for(lambda: of_process(client, "net/unix").count(self.socket) >= 2)
        server.kill()
        self.assertIn("the connection ended", self.ended(client, 3))
        self.serve()  # takes the socket that was left behind

    def test_what_does_not_fit(self):
        serve = ["aggregate", "serve", "--roster", self.roster, "--listen", self.address]
        self.refused(2, ["--listen: got none"], *serve[:4])
        self.refused(2, ["--roster: got none"], "aggregate", "serve", "--listen", self.address)
        self.refused(2, ['got the address "here", expected unix:PATH or HOST:PORT'], *serve[:4], "--listen", "here")
        self.refused(2, ["got no key of the server"], *serve[:4], "--listen", "127.0.0.1:0")
        self.refused(2, ["threshold: got 1, expected 2 to 3"], *serve, "--threshold", "1")
        self.refused(2, ["threshold: got 2, expected 3: an encrypted sum needs all"], *serve, "--scheme", "encrypted",
                     "--threshold", "2")
        self.refused(2, ["range: got 0"], *serve, "--range", "0")
        self.refused(2, ['--scheme: got "magic"', "masked or encrypted"], *serve, "--scheme", "magic")
        self.refused(2, ["--key: got a key that is not the server's"], *serve, "--key", self.path("anna"))
        self.refused(3, ["got no key"], *serve, "--key", self.roster)
        self.refused(3, ["/r:1: got"], *serve[:2], "--roster", self.write("r", "what\n"), *serve[4:])
        self.refused(3, ["no/such"], *serve[:2], "--roster", "no/such", *serve[4:])
        join = ["aggregate", "join", self.updates[0], "--roster", self.roster, "--key", self.path("anna")]
        self.refused(2, ["--server: got none"], *join)
        self.refused(2, ["--key: got none"], *join[:5], "--server", self.address)
        self.refused(3, ["got no server within 0.2 s"], *join, "--server", self.address, "--timeout", "0.2")
        self.refused(3, ["schema: got", "expected pellucid.update/2"], "aggregate", "join", self.model, *join[3:],
                     "--server", self.address)
        self.refused(2, ["a key is not written over"], "aggregate", "key", "--out", self.path("anna"))
        self.refused(2, ["--out: got none"], "aggregate", "key")
        self.refused(2, ["aggregate --help"], "aggregate")
        self.assertEqual(os.stat(self.path("anna")).st_mode & 0o777, 0o600)


class Bench(Case):
    def test_says_what_the_schemes_cost(self):
        result = json.loads(self.ok("bench", "aggregation", "--values", "1000", "--clients", "3", "--repeats", "1",
                                    "--json"))
        masked, encrypted = result["rows"]
        self.assertEqual((masked["scheme"], encrypted["scheme"]), ("masked", "encrypted"))
        self.assertGreater(masked["update_bytes"], 4000)
        self.assertGreater(encrypted["update_bytes"], 2 * 7 * 3 * 8192)
        for row in result["rows"]:
            self.assertLess(row["largest_error"], row["step"] / 2 + 1e-14)
            self.assertLess(0, row["protect_s"])
        self.assertIn("encrypted", self.ok("bench", "aggregation", "--values", "9", "--clients", "2", "--repeats", "1"))
        self.refused(2, ['--clients: got "31"'], "bench", "aggregation", "--clients", "31")


if __name__ == "__main__":
    unittest.main()
