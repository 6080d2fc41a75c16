#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tern status against a telemetry socket that this test plays: text, JSON, metrics, and what goes wrong.

Usage: test_cmd_status.py TERN
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import openmetrics  # noqa: E402

TERN = None

INFO = {"version": "0.1.0", "node": 7, "epoch": 3, "pid": 4242, "uptime_seconds": 61, "port": "socket",
        "device": "", "listen": "127.0.0.1:7400", "auth": "hmac", "isa": "avx2", "cores": 2, "shards": 2,
        "vectors": 300}
LATENCY = {"search_bursts": 10, "search_mean_ns": 1500, "search_p50_ns": 1000, "search_p99_ns": 3000,
           "search_p999_ns": 4000, "search_max_ns": 5000}

EXPORT = {"enabled": 1, "verbs": 1, "shm": 1, "device": "rxe0", "netdev": "eth0", "gid": "::ffff:10.0.0.1",
          "gid_index": 1, "why_not": "", "regions": 3, "bytes_registered": 3 << 20, "regions_shared": 3,
          "bytes_shared": 3 << 20, "leases": 5, "links": 2, "asks": 9, "grants": 8, "refusals": 1,
          "leases_granted": 8, "leases_expired": 2, "leases_returned": 1, "leases_revoked": 0, "leases_failed": 0,
          "links_opened": 2, "links_ended": 0, "proofs_refused": 1, "wakeups": 40}


def core(index):
    return {"core": index, "cpu": index + 2, "numa_node": 0, "address": f"127.0.0.1:{7400 + index}",
            "state": "running", "loops": 5, "session_requests_received": 100 + index, "session_sessions": 2,
            "port_frames_received": 1000, "port_bytes_received": 64000, "port_frames_sent": 999, "waiting": 1,
            "busy": 0, "something_to_come": 17}


def shard(index):
    return {"collection": 'odd "name" \\ here', "vshard": 1023 - index, "core": index, "udp_port": 7400 + index,
            "metric": "cosine", "dim": 100, "vectors": 150, "bytes": 1 << 20, "generation": 1, "ef_default": 64}


def answer(command):
    name, _, parameter = command.partition(",")
    values = {"/tern/info": lambda: INFO, "/tern/cores": lambda: [0, 1], "/tern/shards": lambda: [0, 1],
              "/tern/latency": lambda: LATENCY, "/tern/core": lambda: core(int(parameter)),
              "/tern/shard": lambda: shard(int(parameter)), "/tern/export": lambda: EXPORT}
    return json.dumps({name: values[name]()})


class Node:
    """The other end: greets, then answers each command by 'reply'."""

    def __init__(self, reply=answer):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "socket")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.reply = reply
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        peer, _ = self.listener.accept()
        with peer:
            peer.send(b'{"version": "DPDK 22.11.11", "pid": 4242, "max_output_len": 16384}')
            while True:
                command = peer.recv(1024).decode()
                reply = self.reply(command) if command else None
                if reply is None:
                    return
                peer.send(reply.encode())

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        self.listener.close()
        self.folder.cleanup()


def run(*args):
    return subprocess.run([TERN, "status", *args], capture_output=True, text=True, timeout=30, check=False)


class Status(unittest.TestCase):
    def test_text_names_cores_and_shards(self):
        with Node() as path:
            result = run("--socket", path)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("node 7", "127.0.0.1:7401", "running", "1022", "cosine", "101",
                     "export verbs rxe0 and shm: 2 links, 5 leases (8 granted, 1 refused), 3.0 MiB registered"):
            self.assertIn(word, result.stdout)

    def test_json_is_one_object_with_everything_in_it(self):
        with Node() as path:
            result = run("--socket", path, "--json")
        self.assertEqual(result.returncode, 0)
        status = json.loads(result.stdout)
        self.assertEqual(status["event"], "status")
        self.assertEqual(status["info"], INFO)
        self.assertEqual(status["cores"], [core(0), core(1)])
        self.assertEqual(status["shards"], [shard(0), shard(1)])
        self.assertEqual(status["latency"], LATENCY)
        self.assertEqual(status["export"], EXPORT)

    def test_metrics_are_openmetrics_text(self):
        with Node() as path:
            result = run("--socket", path, "--metrics")
        self.assertEqual(result.returncode, 0)
        families = openmetrics.check(result.stdout)
        self.assertIn(("tern_port_received_bytes_total", 'core="1"', 64000.0), families["tern_port_received_bytes"])
        self.assertIn(("tern_core_something_to_come_total", 'core="0"', 17.0),
                      families["tern_core_something_to_come"])
        self.assertIn(("tern_shard_vectors", 'collection="odd \\"name\\" \\\\ here",vshard="1023"', 150.0),
                      families["tern_shard_vectors"])
        self.assertIn(("tern_stage_latency_seconds", 'stage="search",quantile="0.99"', 3e-6),
                      families["tern_stage_latency_seconds"])
        self.assertIn(("tern_export_registered_bytes", None, float(3 << 20)), families["tern_export_registered_bytes"])
        self.assertIn(("tern_export_granted_leases_total", None, 8.0), families["tern_export_granted_leases"])
        self.assertIn(("tern_stage_latency_seconds_count", 'stage="search"', 10.0),
                      families["tern_stage_latency_seconds"])

    def test_the_checker_finds_breaches(self):
        good = "# TYPE tern_a counter\n# HELP tern_a Text.\ntern_a_total 1\n# EOF\n"
        openmetrics.check(good)
        for bad in (good[:-6], good.replace("_total", ""), good.replace("# HELP tern_a Text.\n", ""),
                    good.replace("total 1", "total one"), good.replace("tern_a_total 1\n", "tern_a_total 1\n" * 2),
                    good.replace("tern_a_total 1\n", "tern_b_total 1\n"),
                    good.replace("# HELP", "# UNIT tern_a bytes\n# HELP"), good.replace("counter", "tally")):
            with self.assertRaises(ValueError, msg=bad):
                openmetrics.check(bad)

    def refused(self, result, *words):
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_no_node_says_what_to_do(self):
        # Who isn't root can't see what is in root's folder.
        self.refused(run("--prefix", "nobody-has-this-one"), "nobody-has-this-one", "ternd")
        self.refused(run("--socket", "/nowhere/at/all"), "/nowhere/at/all", "start ternd")

    def test_a_node_that_was_killed_is_told_from_none(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left_over:
                left_over.bind(path)
            self.refused(run("--socket", path), path, "killed")

    def test_a_path_that_is_too_long_is_refused(self):
        self.refused(run("--socket", "/" + "x" * 200), "xxx")

    def test_a_node_that_talks_nonsense_is_refused(self):
        for reply in (lambda _: "no json", lambda _: "{}", lambda _: '{"/tern/info": null}', lambda _: None):
            with Node(reply) as path:
                self.refused(run("--socket", path))

    def test_wrong_usage_is_told_from_failure(self):
        for args in (("--metrics", "--json"), ("--no-such-option",), ("word",)):
            self.assertEqual(run(*args).returncode, 2, args)


if __name__ == "__main__":
    TERN = sys.argv.pop(1)
    unittest.main()
