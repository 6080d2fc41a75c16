#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libtern as a user has it: what it exports, what it needs, and the example built against an installed copy."""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import ternd  # noqa: E402

LIBRARY = os.path.join(ternd.BUILD, "libtern.so")
MAP = os.path.join(ternd.SOURCE, "client", "tern.map")
HEADER = os.path.join(ternd.SOURCE, "client", "include", "tern.h")
READER = os.path.join(ternd.SOURCE, "tests", "sys", "one_sided.c")
EXAMPLE = os.path.join(ternd.SOURCE, "client", "example", "search.c")


def output(*args, **more):
    return subprocess.run(args, capture_output=True, text=True, check=True, **more).stdout


class Library(unittest.TestCase):
    def test_exports_are_exactly_those_of_the_map_and_of_the_header(self):
        with open(MAP, encoding="utf-8") as file:
            text = file.read()
        listed = set(re.findall(r"^\t\t(tern_\w+);$", text, re.M))
        exported = set()
        for line in output("nm", "-D", "--defined-only", LIBRARY).splitlines():
            symbol = line.split()[-1]
            if symbol != "TERN_1":
                self.assertTrue(symbol.endswith("@@TERN_1"), symbol)
                exported.add(symbol.split("@")[0])
        with open(HEADER, encoding="utf-8") as file:
            declared = set(re.findall(r"^[a-z][\w *]*\b(tern_\w+)\(", file.read(), re.M))
        self.assertEqual(exported, listed)
        self.assertEqual(exported, declared)

    def test_it_has_a_soname_and_needs_no_dpdk(self):
        dynamic = output("readelf", "-d", LIBRARY)
        self.assertIn("Library soname: [libtern.so.0]", dynamic)
        needed = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
        self.assertFalse([name for name in needed if name.startswith(("librte_", "libhdf5", "libyaml"))], needed)


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        subprocess.run(["meson", "install", "-C", ternd.BUILD, "--no-rebuild", "--destdir", cls.folder.name],
                       check=True, capture_output=True)
        found = [os.path.join(where, name) for where, _, names in os.walk(cls.folder.name) for name in names]
        cls.pc = next(path for path in found if path.endswith("/tern.pc"))
        cls.libdir = os.path.dirname(next(path for path in found if path.endswith("/libtern.so")))
        with open(cls.pc, encoding="utf-8") as file:
            cls.prefix = re.search(r"^prefix=(.*)$", file.read(), re.M).group(1)
        flags = output("pkg-config", f"--define-variable=prefix={cls.folder.name}{cls.prefix}", "--cflags", "--libs",
                       "tern", env={**os.environ, "PKG_CONFIG_PATH": os.path.dirname(cls.pc)}).split()
        cls.program = os.path.join(cls.folder.name, "search")
        # What the installed library itself was built with (a sanitizer, say) the program needs too.
        more = ["-fsanitize=address,undefined"] if "libasan" in output("ldd", LIBRARY) else []
        cls.reader = os.path.join(cls.folder.name, "one_sided")
        for program, source in ((cls.program, EXAMPLE), (cls.reader, READER)):
            subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-o", program, source, *flags, *more], check=True)

    def test_what_an_operator_needs_is_installed_too(self):
        root = self.folder.name + self.prefix
        for path in ("bin/tern", "include/tern.h", "lib/sysusers.d/tern.conf", "share/doc/tern/examples/tern.yaml",
                     "share/doc/tern/examples/tern-4nodes.yaml", "share/doc/tern/examples/90-tern-hugepages.conf"):
            self.assertTrue(os.path.isfile(os.path.join(root, path)), path)
        if shutil.which("scdoc"):
            for page in ("man1/tern.1", "man3/tern_search.3", "man5/tern.yaml.5", "man8/ternd.8"):
                with open(os.path.join(root, "share/man", page), encoding="utf-8") as file:
                    self.assertIn(".TH", file.read())
        with open(os.path.join(root, "lib/systemd/system/ternd.service"), encoding="utf-8") as file:
            program, = re.findall(r"^ExecStart=(\S+)", file.read(), re.M)
        self.assertTrue(os.access(self.folder.name + program, os.X_OK), program)

    def run_example(self, *args, vector="", program=None):
        return subprocess.run([program or self.program, *args], input=vector, capture_output=True, text=True, timeout=60,
                              check=False, env={**os.environ, "LD_LIBRARY_PATH": self.libdir})

    def test_the_example_is_short(self):
        with open(EXAMPLE, encoding="utf-8") as file:
            self.assertLess(len(file.readlines()), 60)

    def test_pkg_config_knows_the_version(self):
        version = output("pkg-config", "--modversion", "tern",
                         env={**os.environ, "PKG_CONFIG_PATH": os.path.dirname(self.pc)}).strip()
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")

    def test_wrong_usage_and_a_bad_server_are_told(self):
        self.assertEqual(self.run_example().returncode, 2)
        result = self.run_example("127.0.0.1:notaport", "words", vector="1 2 3")
        self.assertEqual(result.returncode, 1)
        self.assertIn("notaport", result.stderr)

    @unittest.skipUnless(os.path.exists(ternd.TERND), "no ternd was built")
    def test_it_finds_the_true_neighbours_of_a_real_vector(self):
        with open(os.path.join(ternd.DATA, "words100_query.fbin"), "rb") as file:
            count, dim = struct.unpack("<II", file.read(8))
            vector = struct.unpack(f"<{dim}f", file.read(4 * dim))
        with open(os.path.join(ternd.DATA, "words100_truth.ivecs"), "rb") as file:
            width, = struct.unpack("<i", file.read(4))
            truth = struct.unpack(f"<{width}i", file.read(4 * width))
        self.assertGreater(count, 0)
        data = ternd.build_collection(self.folder.name)
        with ternd.Ternd(data) as node:
            result = self.run_example(node.server, "words", vector=" ".join(map(repr, vector)))
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            found = [int(line.split()[0]) for line in result.stdout.splitlines()]
            self.assertEqual(len(found), 10)
            self.assertGreaterEqual(len(set(found) & set(truth[:10])), 9)
            missing = self.run_example(node.server, "other", vector="1 2 3")
            self.assertEqual(missing.returncode, 1)
            self.assertIn("shard not on this node", missing.stderr)

    @unittest.skipUnless(os.path.exists(ternd.TERND), "no ternd was built")
    def test_it_searches_shards_in_their_owners_memory(self):
        query = ternd.first_rows(os.path.join(ternd.DATA, "words100_query.fbin"), 20,
                                 os.path.join(self.folder.name, "some.fbin"))
        data = ternd.build_collection(self.folder.name, "again")
        with open(query, "rb") as file:
            count, dim = struct.unpack("<II", file.read(8))
            vectors = struct.unpack(f"<{count * dim}f", file.read())
        with ternd.Ternd(data) as node:
            asked, read = ([line.split() for line in self.run_example(
                node.server, "again", str(dim), way, vector=" ".join(map(repr, vectors)),
                program=self.reader).stdout.splitlines()] for way in ("asked", "read"))
        # Lines of hits; and one of counters at the end.
        self.assertEqual(len(asked), count + 1)
        self.assertEqual(asked[:-1], read[:-1])
        self.assertEqual(asked[-1], ["0", "0", "0", "0", "0", "0", "0", "-"])
        results, shards, searches, trips, reads, size, failures = map(int, read[-1][:-1])
        self.assertEqual((results, shards, searches, failures, read[-1][-1]), (4 * count, 4, 4 * count, 0, "shm"))
        self.assertTrue(0 < trips <= reads < size)


if __name__ == "__main__":
    unittest.main()
