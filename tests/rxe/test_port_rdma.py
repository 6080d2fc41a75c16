#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Queries over RDMA's reliable connections, end to end: the same answers as over sockets, bit for bit."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ternd  # noqa: E402

ADDRESS = os.environ.get("RXE_ADDRESS", "10.77.0.1")
DEVICE = os.environ.get("RXE_DEVICE", "rxe0")
VECTORS, QUERIES = 1500, 40  # an emulated processor builds slowly
EXTRA = "auth: none\n"


def first_rows(name, count, folder):
    """The first vectors of a file, in a file of their own."""
    with open(os.path.join(ternd.DATA, name), "rb") as file:
        _, dim = struct.unpack("<II", file.read(8))
        rows = file.read(count * dim * 4)
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(struct.pack("<II", count, dim) + rows)
    return path


class PortRdma(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        base = first_rows("words100_base.fbin", VECTORS, folder.name)
        cls.query = first_rows("words100_query.fbin", QUERIES, folder.name)
        cls.data = ternd.build_collection(folder.name, base=base)

    def ask(self, server, *more):
        result = ternd.run_tern("query", "--server", server, "--collection", "words", "--query", self.query, "--json",
                                "--timeout-ms", 20000, *more)
        self.assertEqual(result.returncode, 0, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def answers(self, server, *more):
        lines = self.ask(server, *more)
        self.assertEqual(len(lines), QUERIES)
        for line in lines:
            self.assertEqual((line["status"], line["asked"], line["missing"]), ("ok", 4, []))
        return [line["hits"] for line in lines]

    def test_answers_are_those_of_the_socket(self):
        with ternd.Ternd(self.data) as node:
            socket = self.answers(node.server)
        with ternd.Ternd(self.data, cores=2, rdma=ADDRESS, extra=EXTRA) as node:
            self.assertEqual(self.answers(node.server, "--port", "rdma"), socket)
            self.assertEqual(self.answers(node.server, "--port", "rdma", "--device", DEVICE), socket)
            # Larger than a window of frames, both ways: answers of thousands of hits.
            many = ["--k", 1000, "--ef", 1000]
            first = self.answers(node.server, "--port", "rdma", *many)
            self.assertEqual(len(first[0]), 1000)
            self.assertEqual(node.stop(), 0)
        with ternd.Ternd(self.data) as node:
            self.assertEqual(self.answers(node.server, *many), first)

    def test_members_alone_are_served_where_there_is_a_secret(self):
        with tempfile.TemporaryDirectory() as folder:
            secrets = [os.path.join(folder, name) for name in ("right", "wrong")]
            for i, path in enumerate(secrets):
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"{i + 1:02x}" * 32)
                os.chmod(path, 0o600)
            extra = f"secret_file: {secrets[0]}\n"
            with ternd.Ternd(self.data, rdma=ADDRESS, extra=extra) as node:
                def ask(*more):
                    return ternd.run_tern("query", "--server", node.server, "--collection", "words", "--query",
                                          self.query, "--row", 0, "--port", "rdma", "--timeout-ms", 3000, *more)
                self.assertEqual(ask("--secret", secrets[0]).returncode, 0)
                self.assertEqual(ask("--secret", secrets[1]).returncode, 1)
                self.assertEqual(ask().returncode, 1)
                self.assertEqual(ask("--secret", secrets[0]).returncode, 0)

    def test_a_node_that_comes_back_is_dialled_again(self):
        port = 7500
        command = [ternd.TERN, "bench", "net", "--collection", "words", "--query", self.query, "--port", "rdma",
                   "--server", f"{ADDRESS}:{port}", "--rate", 20, "--passes", 6, "--warmup", 1, "--timeout-ms", 1000, "--json"]
        with ternd.Ternd(self.data, rdma=ADDRESS, extra=EXTRA, port=port) as node:
            with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as client:
                time.sleep(3)
                node.process.kill()
                node.process.wait()
                node.start()
                self.assertEqual(node.process.poll(), None)
                out, _ = client.communicate(timeout=60)
        print(out)
        self.assertEqual(client.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
