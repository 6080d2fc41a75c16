#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's last line, its files, and that nothing is left behind, however it ends."""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ternd  # noqa: E402

DEMO = os.path.join(ternd.SOURCE, "scripts", "demo.py")


def command(*args):
    return [sys.executable, DEMO, "--build", ternd.BUILD, *args]


def leftovers(folder):
    """Run-time folders of demos in 'folder', and nodes that were started from one of them."""
    found = set(glob.glob(os.path.join(folder, "tern-demo-*")))
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                line = file.read()
        except OSError:
            continue
        if b"ternd\0" in line and os.fsencode(folder) in line:
            found.add(path)
    return found


class Demo(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = os.path.join(folder.name, "out")
        # Only what is below this folder is ours: demos of others may run beside.
        self.folder = os.path.join(folder.name, "t")
        os.mkdir(self.folder)
        self.environment = {**os.environ, "TMPDIR": self.folder}

    def check_line(self, text, port):
        line = json.loads(text.splitlines()[-1])
        self.assertEqual(line["event"], "demo")
        self.assertGreaterEqual(line["recall"], 0.95)
        for name in ("qps", "p50_us", "p99_us"):
            self.assertGreater(line[name], 0)
        self.assertEqual((line["shards"], line["vectors"], line["dim"]), (4, 8000, 100))
        self.assertGreaterEqual(line["cores"], 1)
        self.assertIn(line["port"], port)
        self.assertEqual([row["probe"] for row in line["routed"]], [1, 2, 3])
        recalls = [row["recall"] for row in line["routed"]] + [line["recall"]]
        self.assertEqual(recalls, sorted(recalls))
        self.assertTrue(all(row["qps"] > 0 for row in line["routed"]))
        read = line["one_sided"]
        self.assertIn(read["transport"], ("verbs", "shm"))
        self.assertEqual(read["recall"], read["asked"]["recall"])
        for name in ("qps", "p50_us", "reads", "bytes", "round_trips", "opening_bytes"):
            self.assertGreater(read[name], 0)
        # The owner has no part in it. What else it did: answers to status, and the client's session staying alive.
        self.assertEqual(read["owner"]["vector_searches"], 0)
        self.assertGreater(read["asked"]["owner"]["vector_searches"], 0)
        self.assertEqual(leftovers(self.folder), set())

    def test_the_socket_port_and_the_plot(self):
        result = subprocess.run(command("--out", self.out, "--port", "socket", "--passes", "1"), capture_output=True,
                                text=True, timeout=240, check=False, env=self.environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.check_line(result.stdout, ["socket"])
        self.assertTrue(os.path.getsize(os.path.join(self.out, "all-shards.jsonl")) > 0)
        plot = json.loads(result.stdout.splitlines()[-1])["plot"]
        if plot:
            with open(plot, encoding="utf-8") as file:
                self.assertIn("<svg", file.read())

    def test_whatever_port_comes_up_is_named(self):
        # What a demo left that was killed goes; what belongs to a living process stays.
        gone = subprocess.Popen(["true"])
        gone.wait()
        others = os.path.join(self.folder, f"tern-demo-{os.getpid()}-x")
        os.mkdir(others)
        os.mkdir(os.path.join(self.folder, f"tern-demo-{gone.pid}-x"))
        result = subprocess.run(command("--out", self.out, "--quick"), capture_output=True, text=True, timeout=240,
                                check=False, env=self.environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        os.rmdir(others)
        self.check_line(result.stdout, ["memif", "socket"])
        self.assertIn("port: ", result.stderr)

    def test_an_interrupt_stops_everything(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            demo = subprocess.Popen(command("--out", self.out, "--port", "socket"), stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, start_new_session=True, env=self.environment)
            for line in demo.stderr:
                if line.startswith("asking"):
                    break
            self.assertNotEqual(leftovers(self.folder), set())
            os.killpg(demo.pid, number)
            out, _ = demo.communicate(timeout=60)
            self.assertIn(demo.returncode, (130, 143))
            self.assertNotIn('"event"', out)
            self.assertEqual(leftovers(self.folder), set())

    def test_a_failure_is_one_line_and_exit_status_1(self):
        result = subprocess.run(
            [sys.executable, DEMO, "--build", os.path.join(self.out, "nothing"), "--out", self.out],
            capture_output=True, text=True, timeout=60, check=False, env=self.environment)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout, "")
        self.assertIn("demo: ", result.stderr.splitlines()[-1])
        self.assertEqual(leftovers(self.folder), set())


if __name__ == "__main__":
    if not os.path.exists(ternd.TERND):
        print("no ternd in", ternd.BUILD)
        sys.exit(77)
    unittest.main()
