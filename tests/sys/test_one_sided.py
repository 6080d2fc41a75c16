#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Searching shards in the memory of their owner, on this host: the answers, and every way in which it can't be."""
import json
import os
import signal
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ternd  # noqa: E402

QUERY = os.path.join(ternd.DATA, "words100_query.fbin")
SHARDS = 4
READ_TRIES = 4
TIMEOUT_MS = 20000  # nothing here takes long, but other programs may have the processor
EXTRA = "auth: none\n"

def count_of(path):
    with open(path, "rb") as file:
        return struct.unpack("<I", file.read(4))[0]


class OneSided(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.data = ternd.build_collection(folder.name)
        cls.some = ternd.first_rows(QUERY, 60, os.path.join(folder.name, "some.fbin"))

    @staticmethod
    def command(servers, *more, collection="words", query=QUERY, timeout_ms=TIMEOUT_MS):
        return ("query", "--server", servers, "--collection", collection, "--query", query, "--timeout-ms", timeout_ms,
                *more)

    def ask(self, servers, *more, status=0, **which):
        """(lines of the queries, the line of the reading or None)."""
        run = ternd.run_tern(*self.command(servers, "--json", *more, **which))
        self.assertEqual(run.returncode, status, run.stderr)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        events = [line for line in lines if line["event"] == "one_sided"]
        return [line for line in lines if line["event"] == "result"], events[0] if events else None

    def read(self, servers, *more, shards=SHARDS, **which):
        """As ask(), one-sided; again when this machine was too busy to open all shards in time."""
        for _ in range(READ_TRIES):
            lines, event = self.ask(servers, "--one-sided", *more, **which)
            if {line["one_sided"] for line in lines} == {shards}:
                break
        return lines, event

    def compare(self, node, *more, shards=SHARDS, **which):
        """Asks all queries both ways. Returns the line of the reading."""
        owners, _ = self.ask(node.server, *more, **which)
        here, event = self.read(node.server, *more, shards=shards, **which)
        self.assertEqual(len(here), count_of(which.get("query", QUERY)))
        self.assertEqual([line["hits"] for line in here], [line["hits"] for line in owners])
        self.assertEqual({line["one_sided"] for line in owners}, {0})
        self.assertEqual({(line["status"], line["asked"], line["one_sided"], tuple(line["missing"])) for line in here},
                         {("ok", shards, shards, ())})
        self.assertEqual((event["shards"], event["ready"], event["transport"], event["failures"], event["reason"]),
                         (shards, shards, "shm", 0, ""))
        self.assertEqual(event["searches"], shards * len(here))
        # What was fetched is kept: later queries find most of it here.
        self.assertTrue(0 < event["reads"] < event["searches"] * 100)
        self.assertLess(0, event["opening_bytes"])
        return event

    def export_of(self, node):
        """What the owner says of what it lends."""
        path = os.path.join(node.folder, "dpdk", node.prefix, "dpdk_telemetry.v2")
        run = ternd.run_tern("status", "--socket", path, "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        status = json.loads(run.stdout)
        return status["export"], sum(core["vector_searches"] for core in status["cores"])

    # --- answers ---

    def test_every_answer_is_the_owners_own_bit_for_bit(self):
        with ternd.Ternd(self.data, extra=EXTRA) as node:
            self.compare(node)
            self.compare(node, "--k", 100, "--ef", 200, query=self.some)
            lines, event = self.read(node.server, "--probe", 2, "--row", 0, shards=2)
            self.assertEqual((lines[0]["one_sided"], event["shards"]), (2, 2))

    def test_so_are_those_of_other_layouts_and_of_bytes(self):
        for name, base, query, metric, *more in (
                ("edges", "words100_base.fbin", "words100_query.fbin", "cosine", "--layout", "edges"),
                ("digits", "mnist784_base.u8bin", "mnist784_query.u8bin", "l2")):
            out = os.path.join(self.folder, name)
            run = ternd.run_tern("build", "--base", os.path.join(ternd.DATA, base), "--out", out, "--collection", name,
                                 "--metric", metric, "--shards", 2, *more)
            self.assertEqual(run.returncode, 0, run.stderr)
            with self.subTest(name), ternd.Ternd(out, extra=EXTRA) as node:
                self.compare(node, shards=2, collection=name, query=os.path.join(ternd.DATA, query))

    def test_the_owner_searches_nothing_meanwhile(self):
        with ternd.Ternd(self.data, extra=EXTRA) as node:
            for _ in range(READ_TRIES):
                first, before = self.export_of(node)
                lines, _ = self.ask(node.server, "--one-sided", query=self.some)
                export, after = self.export_of(node)
                if {line["one_sided"] for line in lines} == {SHARDS}:
                    break
            self.assertEqual(after, before)
            # Two leases of each shard: of its directory and of its segment.
            self.assertEqual([export[name] - first[name] for name in ("leases_granted", "links_opened")],
                             [2 * SHARDS, SHARDS])

    def test_a_query_with_a_filter_is_its_owners(self):
        path = os.path.join(self.folder, "filter")
        with open(path, "wb") as file:
            ids = range(0, 4000, 3)
            file.write(struct.pack("<IIHHI", 12346, 1, 0, len(ids) - 1, 16) + struct.pack(f"<{len(ids)}H", *ids))
        with ternd.Ternd(self.data, extra=EXTRA) as node:
            here, _ = self.ask(node.server, "--one-sided", "--row", 1, "--filter", path)
            owners, _ = self.ask(node.server, "--row", 1, "--filter", path)
            self.assertEqual(here[0]["one_sided"], 0)
            self.assertEqual(here[0]["hits"], owners[0]["hits"])

    # --- leases ---

    def test_short_leases_are_renewed_while_queries_go_on(self):
        with ternd.Ternd(self.data, extra=EXTRA + "export:\n  lease_time: 1s\n") as node:
            run = ternd.run_tern("bench", "net", *self.command(node.server)[1:], "--one-sided", "--rate", 250, "--passes",
                                 2, "--json")
            self.assertEqual(run.returncode, 0, run.stderr)
            bench, event = map(json.loads, run.stdout.splitlines())
            export, _ = self.export_of(node)
        self.assertEqual((bench["failed"], bench["partial"]), (0, 0))
        # Opening takes a lease of the directory and one of the segment. In four seconds there are seven more of each
        # shard; what is waited for is a few of them, as this machine may be busy.
        self.assertGreaterEqual(export["leases_granted"] - 2 * event["opened"], 3 * SHARDS)
        self.assertGreater(event["searches"], 0)

    def test_a_reader_that_slept_past_its_lease_reads_nothing_by_it(self):
        owners = None
        with ternd.Ternd(self.data, extra=EXTRA + "export:\n  lease_time: 300ms\n") as node:
            owners, _ = self.ask(node.server)
            with ternd.slow_tern(self.folder, *self.command(node.server, "--json", "--one-sided")) as (tern, errors):
                lines = [tern.stdout.readline() for _ in range(100)]
                time.sleep(1)  # it stands at its full pipe meanwhile
                lines = [json.loads(line) for line in lines + tern.stdout.readlines()]
                self.assertEqual(tern.wait(), 0, errors())
        self.assertEqual([line["hits"] for line in lines[:-1]], [line["hits"] for line in owners])
        self.assertEqual({tuple(line["missing"]) for line in lines[:-1]}, {()})
        self.assertGreater(lines[-1]["searches"], SHARDS * 100)

    # --- when it can't be ---

    def falls_back(self, node, *more, why):
        """All is answered by the owner, and stderr says why."""
        owners, _ = self.ask(node.server, "--row", 0)
        lines, event = self.ask(node.server, "--row", 0, "--one-sided", *more)
        self.assertEqual((lines[0]["hits"], lines[0]["one_sided"]), (owners[0]["hits"], 0))
        self.assertEqual((event["ready"], event["transport"], event["searches"]), (0, "none", 0))
        self.assertIn(why, event["reason"])
        run = ternd.run_tern(*self.command(node.server, "--row", 0, "--one-sided", *more))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("one-sided: 0 of 4 shards", run.stderr)
        self.assertRegex(run.stderr, f"tern: owners were asked instead: .*{why}")

    def test_a_node_that_exports_nothing_is_asked(self):
        with ternd.Ternd(self.data, extra=EXTRA + "export:\n  enabled: false\n") as node:
            self.falls_back(node, why="no node of this address on this host lends memory")

    def test_too_little_memory_is_told_with_what_it_takes(self):
        with ternd.Ternd(self.data, extra=EXTRA) as node:
            self.falls_back(node, "--one-sided-memory", 4, why="it takes 4224320 at least")

    def test_no_verbs_leave_shared_memory_and_a_device_that_is_not_there_is_an_error(self):
        with ternd.Ternd(self.data, extra=EXTRA) as node:
            lines, event = self.read(node.server, "--verbs", "none", "--row", 0)
            self.assertEqual((lines[0]["one_sided"], event["transport"]), (SHARDS, "shm"))
            run = ternd.run_tern(*self.command(node.server, "--one-sided", "--verbs", "nodevice7"))
            self.assertEqual((run.returncode, run.stdout), (1, ""))
            self.assertIn("--verbs nodevice7: there is no such device", run.stderr)

    def test_only_members_read(self):
        secrets = [os.path.join(self.folder, name) for name in ("right", "wrong")]
        for i, path in enumerate(secrets):
            with open(path, "w", encoding="ascii") as file:
                file.write(f"{i + 1:02x}" * 32)
            os.chmod(path, 0o600)
        with ternd.Ternd(self.data, extra=f"secret_file: {secrets[0]}\n") as node:
            lines, event = self.read(node.server, "--row", 0, "--secret", secrets[0])
            self.assertEqual((lines[0]["one_sided"], event["transport"]), (SHARDS, "shm"))
            granted = self.export_of(node)[0]["leases_granted"]
            for more in (("--secret", secrets[1]), ()):
                run = ternd.run_tern(*self.command(node.server, "--one-sided", "--row", 0, *more, timeout_ms=2000))
                self.assertEqual((run.returncode, run.stdout), (1, ""))
                self.assertRegex(run.stderr, "tern: query 0: .*secret")
            self.assertEqual(self.export_of(node)[0]["leases_granted"], granted)

    # --- an owner that dies ---

    def kill_in_the_middle(self, servers, node):
        """Asks some queries, kills the node while they are under way; (lines, exit status, errors)."""
        query = ternd.first_rows(QUERY, 6, os.path.join(self.folder, "few.fbin"))
        command = self.command(servers, "--json", "--one-sided", "--k", 200, query=query, timeout_ms=4000)
        with ternd.slow_tern(self.folder, *command) as (tern, errors):
            lines = [tern.stdout.readline() for _ in range(3)]
            node.process.send_signal(signal.SIGKILL)
            node.process.wait()
            lines = [json.loads(line) for line in lines + tern.stdout.readlines()]
            status = tern.wait()
        self.assertEqual([line["query"] for line in lines[:-1]], list(range(6)))
        self.assertEqual({line["status"] for line in lines[:3]}, {"ok"})
        self.assertIn(SHARDS, {line["one_sided"] for line in lines[:3]})
        # Each line is longer than what is written ahead, so most queries came after.
        self.assertTrue(all(len(json.dumps(line)) > ternd.AHEAD_BYTES for line in lines[:3]))
        return lines, status, errors()

    def test_queries_end_with_an_error_when_the_only_owner_is_killed(self):
        with ternd.Ternd(self.data, extra=EXTRA) as node:
            lines, status, errors = self.kill_in_the_middle(node.server, node)
        self.assertEqual((status, errors), (1, ""))
        last = lines[-2]
        self.assertRegex(last["status"], "deadline passed|unreachable|session lost")
        self.assertEqual((last["one_sided"], last["hits"]), (0, []))
        self.assertEqual(lines[-1]["ready"], 0)
        self.assertNotEqual(lines[-1]["reason"], "")

    def test_answers_are_partial_when_one_of_two_owners_is_killed(self):
        with ternd.Ternd(self.data, extra=EXTRA + "shards: [0, 1]\n") as first, \
                ternd.Ternd(self.data, extra=EXTRA + "shards: [2, 3]\n") as second:
            lines, status, errors = self.kill_in_the_middle(f"{first.server},{second.server}", second)
        self.assertEqual((status, errors), (0, ""))
        last = lines[-2]
        self.assertEqual((last["status"], last["one_sided"], len(last["missing"])), ("ok", 2, 2))
        missing = {shard["shard"] for shard in last["missing"]}
        self.assertEqual(len(missing), 2)
        self.assertFalse(missing & {hit["shard"] for hit in last["hits"]})
        self.assertEqual(lines[-1]["ready"], 2)


if __name__ == "__main__":
    if not os.path.exists(ternd.TERND):
        print("no ternd in", ternd.BUILD)
        sys.exit(77)
    unittest.main()
