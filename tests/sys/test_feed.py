#!/usr/bin/env python3
"""`tern feed` as a user runs it: on a store that other processes change between its turns."""
import json
import os
import subprocess
import tempfile
import time
import unittest

BUILD = os.environ["TERN_BUILD"]
TERN = os.path.join(BUILD, "tern")
STORE = os.path.join(BUILD, "tests", "feed_store")
LOCKED = 3


def change(folder, *commands):
    """Waits for its turn, as the follower has the store for moments."""
    for _ in range(100):
        result = subprocess.run([STORE, folder, *commands], capture_output=True, text=True, timeout=60)
        if result.returncode != LOCKED:
            break
        time.sleep(0.02)
    assert result.returncode == 0, result.stderr


def feed(folder, *options, status=0):
    result = subprocess.run([TERN, "feed", folder, *options], capture_output=True, text=True, timeout=60)
    assert result.returncode == status, (result.returncode, result.stderr)
    if status:
        return result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def short(event):
    return (event["op"], event["key"], event.get("value", event.get("end")))


class Feed(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = os.path.join(self.temporary.name, "store")

    def tearDown(self):
        self.temporary.cleanup()

    def test_every_change_is_a_line(self):
        change(self.folder, "put", "a", "1", "put", "b", "2", "append", "b", "3", "weak", "a", "del", "b",
               "range", "a", "z")
        events = feed(self.folder)
        self.assertEqual([short(event) for event in events],
                         [("c", "a", "1"), ("c", "b", "2"), ("m", "b", "3"), ("d", "a", None), ("d", "b", None),
                          ("dr", "a", "z")])
        self.assertEqual(events[2]["operator"], 2)
        self.assertTrue(events[3]["weak"])
        numbers = [event["source"]["seqno"] for event in events]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(feed(self.folder), events, "reading changes nothing")

    def test_a_checkpoint_and_a_restart_lose_nothing(self):
        change(self.folder, "put", "a", "1", "put", "a", "2", "checkpoint", "put", "a", "3")
        change(self.folder, "put", "a", "4", "checkpoint")
        self.assertEqual([event["value"] for event in feed(self.folder)], ["1", "2", "3", "4"])

    def test_a_token_goes_on_behind_its_line(self):
        change(self.folder, *[word for i in range(20) for word in ("put", f"k{i}", "v")])
        events = feed(self.folder)
        for i in (0, 7, 19):
            self.assertEqual(feed(self.folder, "--token", events[i]["token"]), events[i + 1:])
        self.assertEqual(feed(self.folder, "--since", str(events[5]["source"]["seqno"])), events[5:])
        self.assertEqual(feed(self.folder, "--limit", "3"), events[:3])
        self.assertEqual(feed(self.folder, "--since", "1000000"), [])

    def test_a_reader_goes_on_where_it_was(self):
        change(self.folder, "put", "a", "1", "put", "b", "2")
        self.assertEqual(len(feed(self.folder, "--reader", "me", "--limit", "1")), 1)
        self.assertEqual([event["key"] for event in feed(self.folder, "--reader", "me")], ["b"])
        self.assertEqual(feed(self.folder, "--reader", "me"), [])
        change(self.folder, "put", "c", "3", "checkpoint")
        self.assertEqual([event["key"] for event in feed(self.folder, "--reader", "me")], ["c"])
        self.assertEqual(len(feed(self.folder, "--reader", "you")), 3)

    def test_a_follower_sees_what_others_write(self):
        change(self.folder, "put", "a", "1")
        with subprocess.Popen([TERN, "feed", self.folder, "--follow", "--limit", "4"], stdout=subprocess.PIPE,
                              text=True) as follower:
            lines = []
            for i in range(3):
                change(self.folder, "put", "b", str(i))
            for line in follower.stdout:
                lines.append(json.loads(line))
            self.assertEqual(follower.wait(timeout=60), 0)
        events = [line for line in lines if line["op"] != "heartbeat"]
        self.assertEqual([short(event) for event in events],
                         [("c", "a", "1"), ("c", "b", "0"), ("c", "b", "1"), ("c", "b", "2")])

    def test_an_idle_follower_says_up_to_where_it_knows_all(self):
        change(self.folder, "put", "a", "1")
        last = feed(self.folder)[-1]
        with subprocess.Popen([TERN, "feed", self.folder, "--follow"], stdout=subprocess.PIPE, text=True) as follower:
            for line in follower.stdout:
                event = json.loads(line)
                if event["op"] == "heartbeat":
                    break
            follower.kill()
        self.assertGreater(event["resolved"], last["source"]["seqno"])
        self.assertEqual(event["source"]["store"], last["source"]["store"])
        self.assertEqual(feed(self.folder, "--token", event["token"]), [])

    def test_the_dump_is_what_the_feed_gives_and_moves_no_reader(self):
        for value in "1", "2":
            change(self.folder, "put", "a", value)
        change(self.folder, "del", "a")
        json_lines = subprocess.run([TERN, "dump", "feed", self.folder, "--json"], capture_output=True, text=True,
                                    check=True).stdout.splitlines()
        self.assertEqual([json.loads(line) for line in json_lines], feed(self.folder))
        text = subprocess.run([TERN, "dump", "feed", self.folder], capture_output=True, text=True, check=True).stdout
        self.assertEqual([line.split()[1:] for line in text.splitlines()],
                         [["insert", "a", "1"], ["insert", "a", "2"], ["delete", "a"]])
        last = json.loads(json_lines[-1])["source"]["seqno"]
        text = subprocess.run([TERN, "dump", "feed", self.folder, "--since", str(last)], capture_output=True,
                              text=True, check=True).stdout
        self.assertEqual(len(text.splitlines()), 1)

    def test_errors_are_one_line_that_says_what_to_do(self):
        change(self.folder, "put", "a", "1")
        other = os.path.join(self.temporary.name, "other")
        change(other, "put", "a", "1")
        token = feed(other)[0]["token"]
        for options, status, words in [
                (["--token", token], 1, "another store"),
                (["--token", "abc"], 2, "--token"),
                (["--token", token, "--since", "1"], 2, "one of them"),
                (["--reader", "a b"], 2, "--reader"),
                (["--since", "0"], 2, "--since")]:
            text = feed(self.folder, *options, status=status)
            self.assertIn(words, text)
            self.assertEqual(len(text.splitlines()), 1, text)
        self.assertIn("no such folder", feed(os.path.join(self.temporary.name, "none"), status=1))


if __name__ == "__main__":
    unittest.main()
