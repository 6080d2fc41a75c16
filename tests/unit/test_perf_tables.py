#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables that perf/one_sided/run prints of its lines."""
import io
import os
import sys
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "perf", "one_sided"))
import table  # noqa: E402


def cell(load, way, qps, p50=1.0):
    line = {"event": "crossing", "port": "socket", "transport": "shm", "load": load, "under_way": 1, "way": way,
            "saturation": 1000, "reads": 2.0, "background_qps": 0.0, "owner_core": 0.5, "owner_export": 0.0}
    for key, value in (("qps", qps), ("p50_us", p50), ("p99_us", 2 * p50)):
        line |= {key: value, key + "_p10": value, key + "_p90": value}
    return line


def lines_of(rates):
    """Of (load, RPC's rate, the reader's rate)."""
    return [cell(load, way, rate) for load, *pair in rates for way, rate in zip(table.WAYS, pair)]


def crossing(rates):
    return table.wins_from(table.cells(lines_of(rates))["socket", 1], "qps", True)


class Crossing(unittest.TestCase):
    def test_it_is_the_least_load_from_which_reading_always_wins(self):
        self.assertEqual(crossing([(0, 9, 5), (50, 6, 5), (90, 2, 5), (100, 1, 5)]), 90)
        self.assertEqual(crossing([(0, 4, 5), (50, 6, 5), (90, 2, 5)]), 90)
        self.assertEqual(crossing([(0, 4, 5), (50, 4, 5)]), 0)

    def test_equal_is_no_win_and_the_last_load_decides(self):
        self.assertIsNone(crossing([(0, 4, 5), (100, 5, 5)]))

    def test_less_latency_is_better(self):
        lines = [cell(0, "rpc", 1, p50=10), cell(0, "one-sided", 1, p50=20),
                 cell(80, "rpc", 1, p50=30), cell(80, "one-sided", 1, p50=20)]
        self.assertEqual(table.wins_from(table.cells(lines)["socket", 1], "p50_us", False), 80)

    def test_the_table_has_a_row_a_load_and_says_where_they_cross(self):
        file = io.StringIO()
        table.write(lines_of([(0, 9, 5), (50, 4, 5)]), file)
        text = file.getvalue()
        self.assertEqual(len([line for line in text.splitlines() if line.startswith("| ") and "%" in line]), 2)
        self.assertIn("- queries/s: one-sided wins from 50 % on", text)
        self.assertIn("- p50: one-sided wins nowhere", text)


if __name__ == "__main__":
    unittest.main()
