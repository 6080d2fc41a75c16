#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Queries over RDMA's reliable connections, end to end: the same answers as over sockets, bit for bit."""
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ternd  # noqa: E402

ADDRESS = os.environ.get("RXE_ADDRESS", "10.77.0.1")
DEVICE = os.environ.get("RXE_DEVICE", "rxe0")
VECTORS, QUERIES = 600, 20  # an emulated processor is slow
EXTRA = "telemetry: false\n"


class PortRdma(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        base, cls.query = (
            ternd.first_rows(os.path.join(ternd.DATA, name), count, os.path.join(folder.name, name))
            for name, count in (("words100_base.fbin", VECTORS), ("words100_query.fbin", QUERIES)))
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
        most = ["--k", VECTORS, "--ef", VECTORS]  # answers of many frames
        with ternd.Ternd(self.data, extra=EXTRA) as node:
            few, many = self.answers(node.server), self.answers(node.server, *most)
        self.assertEqual(len(many[0]), VECTORS)
        with ternd.Ternd(self.data, cores=2, rdma=ADDRESS, extra=EXTRA + "auth: none\n") as node:
            self.assertEqual(self.answers(node.server, "--port", "rdma"), few)
            self.assertEqual(self.answers(node.server, "--port", "rdma", "--device", DEVICE, *most), many)
            self.assertEqual(node.stop(), 0)

    def test_members_alone_are_served_where_there_is_a_secret(self):
        with tempfile.TemporaryDirectory() as folder:
            secrets = [os.path.join(folder, name) for name in ("right", "wrong")]
            for i, path in enumerate(secrets):
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"{i + 1:02x}" * 32)
                os.chmod(path, 0o600)
            with ternd.Ternd(self.data, rdma=ADDRESS, extra=EXTRA + f"secret_file: {secrets[0]}\n") as node:
                def ask(*more):
                    return ternd.run_tern("query", "--server", node.server, "--collection", "words", "--query",
                                          self.query, "--row", 0, "--port", "rdma", "--timeout-ms", 3000, *more)
                self.assertEqual(ask("--secret", secrets[0]).returncode, 0)
                for wrong in (ask("--secret", secrets[1]), ask()):
                    self.assertEqual(wrong.returncode, 1)
                    self.assertIn("over RDMA: ", wrong.stderr)
                self.assertEqual(ask("--secret", secrets[0]).returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
