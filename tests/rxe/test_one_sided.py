#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shards searched by RDMA in the memory of their owner, from the command to the node: answers, and an owner that dies."""
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ternd  # noqa: E402

ADDRESS = os.environ.get("RXE_ADDRESS", "10.77.0.1")
DEVICE = os.environ.get("RXE_DEVICE", "rxe0")
PEER_DEVICE = os.environ.get("RXE_PEER_DEVICE", "rxe1")
VECTORS, QUERIES, SHARDS = 800, 20, 4  # an emulated processor is slow
EXTRA = "auth: none\n"
TIMEOUT_MS = 30000


class OneSided(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        base, cls.query = (
            ternd.first_rows(os.path.join(ternd.DATA, name), count, os.path.join(folder.name, name))
            for name, count in (("words100_base.fbin", VECTORS), ("words100_query.fbin", QUERIES)))
        cls.data = ternd.build_collection(folder.name, base=base, shards=SHARDS)

    def command(self, server, *more):
        return ("query", "--server", server, "--collection", "words", "--query", self.query, "--timeout-ms", TIMEOUT_MS,
                "--json", *more)

    def ask(self, server, *more):
        """(lines of the queries, the line of the reading or None)."""
        run = ternd.run_tern(*self.command(server, *more))
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        return lines[:QUERIES], lines[QUERIES] if len(lines) > QUERIES else None

    def status_of(self, node):
        path = os.path.join(node.folder, "dpdk", node.prefix, "dpdk_telemetry.v2")
        run = ternd.run_tern("status", "--socket", path, "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)

    def assert_read(self, lines, event, owners):
        self.assertEqual([line["hits"] for line in lines], [line["hits"] for line in owners])
        self.assertEqual({(line["status"], line["one_sided"]) for line in lines}, {("ok", SHARDS)})
        self.assertEqual((event["ready"], event["transport"], event["failures"], event["reason"]),
                         (SHARDS, "verbs", 0, ""))

    def test_answers_are_the_owners_own_and_the_owner_does_nothing_for_them(self):
        with ternd.Ternd(self.data, extra=EXTRA, address=ADDRESS) as node:
            owners, _ = self.ask(node.server)
            before = self.status_of(node)
            lines, event = self.ask(node.server, "--one-sided")
            after = self.status_of(node)
            self.assert_read(lines, event, owners)
            self.assertEqual([core["vector_searches"] for core in after["cores"]],
                             [core["vector_searches"] for core in before["cores"]])
            self.assertEqual(after["export"]["leases_granted"], 2 * SHARDS)
            self.assertEqual((after["export"]["verbs"], after["export"]["proofs_refused"]), (1, 0))
            # From the device at the other end of the wire.
            lines, event = self.ask(node.server, "--one-sided", "--verbs", PEER_DEVICE)
            self.assert_read(lines, event, owners)
            # The owner is on this host, so that there is another way when verbs aren't wanted.
            lines, event = self.ask(node.server, "--one-sided", "--verbs", "none")
            self.assertEqual(event["transport"], "shm")

    def test_info_shows_the_devices(self):
        run = ternd.run_tern("info", "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        info = json.loads(run.stdout)
        devices = {device["name"]: device for device in info["rdma"]}
        device = devices[DEVICE]
        self.assertEqual((device["state"], device["usable"], device["why_not"], device["type"], device["address"]),
                         ("ACTIVE", True, "", "roce v2", ADDRESS))
        self.assertIn(device["gid_index"], {gid["index"] for gid in device["gids"] if gid["address"] == ADDRESS})
        self.assertTrue(device["netdev"] and device["reads_out_max"] > 0 and device["queue_depth_max"] > 0)
        self.assertTrue(devices[PEER_DEVICE]["usable"])
        self.assertNotIn("RDMA", {finding["what"] for finding in info["missing"]})

    def test_a_node_without_sockets_can_be_read_too(self):
        with ternd.Ternd(self.data, extra=EXTRA, rdma=ADDRESS) as node:
            owners, _ = self.ask(node.server, "--port", "rdma")
            lines, event = self.ask(node.server, "--port", "rdma", "--one-sided")
            self.assert_read(lines, event, owners)

    def test_an_owner_that_is_killed_is_asked_instead_when_it_is_back(self):
        with ternd.Ternd(self.data, extra=EXTRA, address=ADDRESS) as node:
            owners, _ = self.ask(node.server, "--k", 100)
            with ternd.slow_tern(self.folder, *self.command(node.server, "--one-sided", "--k", 100)) as (tern, errors):
                lines = [tern.stdout.readline() for _ in range(3)]
                node.process.kill()
                node.process.wait()
                node.start()
                lines = [json.loads(line) for line in lines + tern.stdout.readlines()]
                self.assertEqual((tern.wait(), errors()), (0, ""))
        lines, event = lines[:-1], lines[-1]
        self.assertEqual([line["hits"] for line in lines], [line["hits"] for line in owners])
        self.assertEqual(lines[2]["one_sided"], SHARDS)
        self.assertIn(0, {line["one_sided"] for line in lines[3:]})
        # It was read again before the end, or not; what was asked of it meanwhile isn't counted as read.
        self.assertEqual(event["searches"], sum(line["one_sided"] for line in lines))

    def test_an_owner_that_stays_dead_leaves_its_shards_missing(self):
        with ternd.Ternd(self.data, extra=EXTRA + "shards: [0, 1]\n", address=ADDRESS) as first, \
                ternd.Ternd(self.data, extra=EXTRA + "shards: [2, 3]\n", address=ADDRESS) as second:
            command = ("query", "--server", f"{first.server},{second.server}", "--collection", "words", "--query",
                       ternd.first_rows(self.query, 5, os.path.join(self.folder, "few.fbin")), "--timeout-ms", 4000, "--k",
                       200, "--one-sided")
            with ternd.slow_tern(self.folder, *command, "--json") as (tern, _):
                lines = [tern.stdout.readline() for _ in range(2)]
                second.process.kill()
                second.process.wait()
                lines = [json.loads(line) for line in lines + tern.stdout.readlines()]
                self.assertEqual(tern.wait(), 0)
        lines, event = lines[:-1], lines[-1]
        self.assertEqual((lines[1]["one_sided"], lines[1]["missing"]), (SHARDS, []))
        self.assertEqual((lines[-1]["status"], lines[-1]["one_sided"], len(lines[-1]["missing"])), ("ok", 2, 2))
        self.assertEqual(event["ready"], 2)
        self.assertNotEqual(event["reason"], "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
