#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The harness itself: how outcomes are counted, and that no machine outlives the one who started it.

Usage: test_harness.py COUNTS | MACHINES
"""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
SUMMARY = os.path.join(SOURCE, "scripts", "test-summary")
VM = os.path.join(HERE, "run-in-vm")
PASS, FAIL, SKIP = "exit 0", "echo no; exit 3", "echo no such thing; exit 77"


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tern-harness-")
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)


class Counts(Folder):
    def suite(self, *texts, seconds=60):
        """Runs scripts of these texts: the status, and what test-summary makes of it."""
        programs = []
        for number, text in enumerate(texts):
            programs.append(self.path(f"p{number}"))
            with open(programs[-1], "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\n{text}\n")
            os.chmod(programs[-1], 0o755)
        result = subprocess.run([os.path.join(HERE, "suite"), "-t", str(seconds), *programs], capture_output=True, text=True,
                                check=False)
        outcome = {0: "OK", 77: "SKIP"}.get(result.returncode, "FAIL")
        return result.returncode, self.summary(result.stdout, outcome)

    def summary(self, output, outcome, *options):
        with open(self.path("log"), "w", encoding="utf-8") as log:
            log.write(json.dumps({"name": "rxe", "stdout": output, "result": outcome}) + "\n")
        return subprocess.run([sys.executable, SUMMARY, self.path("log"), *options], capture_output=True, text=True,
                              check=True).stdout.strip()

    def test_each_program_counts_by_itself(self):
        self.assertEqual(self.suite(PASS, SKIP, PASS), (0, "2 passed, 0 failed, 1 skipped"))
        self.assertEqual(self.suite(PASS, FAIL, SKIP), (1, "1 passed, 1 failed, 1 skipped"))
        self.assertEqual(self.suite(SKIP, SKIP), (77, "0 passed, 0 failed, 2 skipped"))

    def test_what_is_missing_crashes_or_takes_too_long_has_failed(self):
        self.assertEqual(self.suite("sleep 60", "kill -SEGV $$", seconds=1), (1, "0 passed, 2 failed, 0 skipped"))
        self.assertEqual(self.suite("kill -SEGV $$", PASS), (1, "1 passed, 1 failed, 0 skipped"))

    def test_programs_that_a_dead_machine_did_not_come_to_have_failed(self):
        self.assertEqual(self.summary("1..4\nok 1 - a\n", "FAIL"), "1 passed, 3 failed, 0 skipped")

    def test_a_failure_after_the_last_program_is_one(self):
        self.assertEqual(self.summary("1..1\nok 1 - a\n", "FAIL"), "1 passed, 1 failed, 0 skipped")

    def test_no_machine_is_one_skip_with_its_reason(self):
        self.assertEqual(self.summary("run-in-vm: skipped: no qemu\n", "SKIP"), "0 passed, 0 failed, 1 skipped")
        self.assertEqual(self.summary("1..1\nok 1 - a # SKIP no card\n", "SKIP", "--skips"), "a: no card")

    def test_missing_tools_are_named_in_the_skip(self):
        result = subprocess.run([sys.executable, VM, "true"], env={"PATH": self.folder.name}, capture_output=True,
                                text=True, check=False)
        self.assertEqual(result.returncode, 77)
        self.assertIn("qemu-system-x86", result.stdout)


class Machines(Folder):
    def start(self, *arguments):
        """A run whose machines can be told from all others by the folder that their files are in."""
        return subprocess.Popen([VM, *arguments], env={**os.environ, "TMPDIR": self.folder.name},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def machines(self):
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if b"qemu-system-x86_64" in words[:1] and any(self.folder.name.encode() in word for word in words):
                found.append(path)
        return found

    def wait_for_machines(self, wanted, process):
        while bool(self.machines()) != wanted:
            if wanted and process.poll() is not None:
                output = process.communicate()[0]
                if process.returncode == 77:
                    print(output.strip())
                    os._exit(77)  # unittest knows no other way to end with this status
                self.fail("no machine was started")
            time.sleep(0.05)

    def interrupt(self, number):
        process = self.start("sleep", "1000")
        self.wait_for_machines(True, process)
        process.send_signal(number)
        process.communicate()
        self.wait_for_machines(False, process)
        return process.returncode

    def test_a_signal_ends_the_machine_and_leaves_no_files(self):
        self.assertEqual(self.interrupt(signal.SIGTERM), 128 + signal.SIGTERM)
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_not_even_a_kill_leaves_a_machine(self):
        self.assertEqual(self.interrupt(signal.SIGKILL), -signal.SIGKILL)

    def test_output_comes_out_apart_until_the_time_is_up(self):
        process = self.start("-t", "2", "sh", "-c", "echo said; echo complained >&2; sleep 1000")
        output, errors = process.communicate()
        if process.returncode == 77:
            self.skipTest(output)
        self.assertEqual((process.returncode, output), (124, "said\n"), errors)
        self.assertTrue(errors.startswith("complained\n"), errors)
        self.assertIn("ran longer than 2 s", errors)
        self.assertEqual(self.machines(), [])


if __name__ == "__main__":
    case = {"COUNTS": Counts, "MACHINES": Machines}[sys.argv[1]]
    unittest.main(argv=[sys.argv[0], case.__name__, "-v"])
