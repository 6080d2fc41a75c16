#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Partitions real vectors into 4 shards, serves them, and asks all queries over the wire from a second process.

Prints a table: all shards, and coarse-routed to the best 1, 2 and 3 of 4; and below it all shards once more, asked of
a node and read in its memory, with what that costs the node. Writes a recall/QPS plot to BUILD/demo/. The port is memif, DPDK between two processes of one host, when it comes up, else the socket port;
which one, and why, is said. Leaves nothing behind but BUILD/demo/, whatever ends it.

The last line on stdout is one JSON object with event "demo". Exit status 1 when recall@10 of the full scatter is
below 0.95, or something fails.
"""
import argparse
import ctypes
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.path.join(SOURCE, "tests", "data")
BASE = os.path.join(DATA, "words100_base.fbin")
QUERY = os.path.join(DATA, "words100_query.fbin")
TRUTH = os.path.join(DATA, "words100_truth.ivecs")

COLLECTION = "words"
SHARDS = 4
K = 10
RECALL_MIN = 0.95
READY_SECONDS = 60
PR_SET_PDEATHSIG = 1

# A client's run beside which the owner is watched, and for how long it is watched, in seconds.
RUN_SECONDS, WATCH_SECONDS = 3, 1
QUICK_RUN_SECONDS, QUICK_WATCH_SECONDS = 1.5, 0.5
WATCH_TRIES = 5

# Each point of the plot's curves; the table's is the node's own default.
EFS = (10, 16, 32, 64, 128)


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Failed(Exception):
    """What went wrong, in one line."""


def die_with_parent():
    """In the child: a demo that is killed takes its children with it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def spread(cpus):
    """(cores for the node, cores for the client): the client gets one, the shards' cores as many as fit."""
    poll = min(SHARDS, max(1, len(cpus) - 1))
    return cpus[:poll], cpus[poll:] or cpus


def remove_leftovers():
    """What demos left that were killed on the spot: their folders' names have their processes' numbers."""
    for path in glob.glob(os.path.join(tempfile.gettempdir(), "tern-demo-*-*")):
        number = path.rsplit("-", 2)[1]
        if number.isdigit() and not os.path.exists(f"/proc/{number}"):
            shutil.rmtree(path, ignore_errors=True)


class Demo:
    def __init__(self, args):
        self.args = args
        self.out = args.out or os.path.join(args.build, "demo")
        # Unix sockets have short paths, so what is run-time lies in /tmp.
        remove_leftovers()
        self.run_folder = tempfile.mkdtemp(prefix=f"tern-demo-{os.getpid()}-")
        self.node = None
        self.port = None
        self.server = None
        self.poll_cpus, self.client_cpus = spread(sorted(os.sched_getaffinity(0)))

    def begin_tern(self, *args, cpus=None):
        """Starts a tern command, for end_tern()."""
        def prepare():
            die_with_parent()
            if cpus:
                os.sched_setaffinity(0, cpus)
        # preexec_fn is safe here: this process has one thread.
        return subprocess.Popen([os.path.join(self.args.build, "tern"), *map(str, args), "--json"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=prepare,
                                env={**os.environ, "RUNTIME_DIRECTORY": self.run_folder})

    @staticmethod
    def end_tern(process):
        """Waits for a tern command; returns its JSON lines."""
        out, errors = process.communicate()
        if process.returncode:
            raise Failed(errors.strip().splitlines()[-1] if errors else f"{' '.join(process.args[:2])} failed")
        return [json.loads(line) for line in out.splitlines() if line.startswith("{")]

    def tern(self, *args, cpus=None):
        """Runs a tern command; returns its JSON lines."""
        with self.begin_tern(*args, cpus=cpus) as process:
            return self.end_tern(process)

    def build(self):
        say(f"building {SHARDS} shards of {os.path.relpath(BASE, SOURCE)}")
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        self.tern("build", "--base", BASE, "--out", os.path.join(self.out, COLLECTION), "--collection", COLLECTION,
                  "--metric", "cosine", "--shards", SHARDS, "--threads", len(os.sched_getaffinity(0)))

    # --- the node ---

    def write_config(self, port):
        path = os.path.join(self.run_folder, "tern.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"data: {json.dumps(os.path.abspath(os.path.join(self.out, COLLECTION)))}\n"
                       f"cores: [{', '.join(map(str, self.poll_cpus))}]\n{port}"
                       f"dpdk:\n  file_prefix: tern-demo-{os.getpid()}\n  memory: 128MiB\n  huge: false\n"
                       "auth: none\n")
        return path

    def start_node(self, port):
        """Starts ternd and waits until it says that it is ready."""
        log_path = os.path.join(self.out, "ternd.log")
        notify = os.path.join(self.run_folder, "notify")
        if os.path.exists(notify):
            os.unlink(notify)
        config = self.write_config(port)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(log_path, "wb") as log:
            ready.bind(notify)
            ready.settimeout(0.1)
            # A process group of its own: Ctrl-C reaches this program, which then stops the node in order.
            self.node = subprocess.Popen(
                [os.path.join(self.args.build, "ternd"), "--config", config], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=die_with_parent,
                env={**os.environ, "NOTIFY_SOCKET": notify, "RUNTIME_DIRECTORY": self.run_folder})
            end = time.monotonic() + READY_SECONDS
            while time.monotonic() < end:
                if self.node.poll() is not None:
                    break
                try:
                    if b"READY=1" in ready.recv(4096):
                        return
                except socket.timeout:
                    continue
        self.stop_node()
        with open(log_path, encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if "ternd:" in line] or ["ternd did not get ready"]
        raise Failed(lines[-1])

    def stop_node(self):
        if self.node is None:
            return
        if self.node.poll() is None:
            self.node.send_signal(signal.SIGTERM)
            try:
                self.node.wait(10)
            except subprocess.TimeoutExpired:
                self.node.kill()
                self.node.wait()
        self.node = None

    def memif(self):
        path = os.path.join(self.run_folder, "memif")
        device = f"net_memif0,socket={path},socket-abstract=no,role="
        self.server = "10.77.0.1:7400"
        self.start_node(f"port:\n  kind: dpdk\n  listen: {self.server}\n  prefix_length: 24\n"
                        f"  device: {json.dumps(device + 'server')}\n")
        self.port = ["--port", "dpdk", "--device", device + "client", "--address", "10.77.0.2/24"]
        # The first question shows that frames come through.
        self.bench("--warmup", 1, "--timeout-ms", 5000)

    def socket(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.server = f"127.0.0.1:{probe.getsockname()[1]}"
        self.start_node(f"port:\n  kind: socket\n  listen: {self.server}\n  frame_size: 8952\n")
        self.port = ["--port", "socket"]
        self.bench("--warmup", 1, "--timeout-ms", 5000)

    def start(self):
        """Returns the port's name and why it was taken."""
        if self.args.port != "socket":
            try:
                self.memif()
                return "memif", "DPDK shared memory between two processes"
            except Failed as failure:
                self.stop_node()
                if self.args.port == "memif":
                    raise
                why = f"memif did not come up: {failure}"
        else:
            why = "asked for"
        self.socket()
        return "socket", why

    # --- asking ---

    def bench_command(self, *args):
        return ("bench", "net", "--server", self.server, "--collection", COLLECTION, "--query", QUERY, "--truth", TRUTH,
                "--base", BASE, "--k", K, *self.port, *args)

    def bench(self, *args):
        return self.tern(*self.bench_command(*args), cpus=self.client_cpus)[0]

    def ask(self):
        """The table's rows: all shards first, then the best 1, 2 and 3."""
        rows = []
        for probe in (0, 1, 2, 3):
            say(f"asking {'all shards' if probe == 0 else f'the best {probe} of {SHARDS}'}")
            rows.append(self.bench("--probe", probe, "--in-flight", self.args.in_flight, "--passes",
                                   self.args.passes, "--hgrm", os.path.join(self.out, f"latency-{probe}.hgrm")))
        return rows

    # --- in the owner's memory ---

    def verbs_address(self):
        """(device, address) of the first usable verbs device that IP reaches, or None."""
        for device in self.tern("info")[-1]["rdma"]:
            if device["usable"] and device["type"].startswith("roce") and not device["address"].startswith("fe80"):
                return device["name"], device["address"]
        return None

    def start_owner(self):
        """A node on a socket, whose cores sleep when nobody asks; where there are verbs, at their address.

        Returns the client's option that says which device.
        """
        verbs = None if self.args.one_sided == "shm" else self.verbs_address()
        if verbs:
            try:
                self.start_owner_at(verbs[1])
                return ["--verbs", verbs[0]]
            except (Failed, OSError) as failure:
                say(f"one-sided: not on RDMA device {verbs[0]}: {failure}")
                self.stop_node()
        say("one-sided: by shared memory" + ("" if verbs else ": " + (
            "asked for" if self.args.one_sided == "shm" else "no RDMA device is usable")))
        self.start_owner_at("127.0.0.1")
        return ["--verbs", "none"]

    def start_owner_at(self, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            number = probe.getsockname()[1]
        self.server = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
        self.start_node(f"port:\n  kind: socket\n  listen: {json.dumps(self.server)}\n  frame_size: 8952\n")
        self.port = ["--port", "socket"]

    def owner_cpu(self):
        """Seconds of processor time that each thread of the node has taken."""
        tick = os.sysconf("SC_CLK_TCK")
        taken = {}
        for path in glob.glob(f"/proc/{self.node.pid}/task/*/stat"):
            with open(path, encoding="utf-8") as file:
                name, rest = file.read().rsplit(")", 1)
            fields = rest.split()
            taken[name.split("(", 1)[1] + " " + path.split("/")[4]] = (int(fields[11]) + int(fields[12])) / tick
        return taken

    def owner_counters(self):
        """What the node says that it has done."""
        path = os.path.join(self.run_folder, "dpdk", f"tern-demo-{os.getpid()}", "dpdk_telemetry.v2")
        status = self.tern("status", "--socket", path)[-1]
        counted = {name: sum(core[name] for core in status["cores"])
                   for name in ("requests", "vector_searches", "session_frames_received")}
        return {**counted, "export_wakeups": status["export"]["wakeups"]}

    def watch(self, *more):
        """All queries again and again, at full load; (the client's figures, what the owner did in a part of that)."""
        run, watch = (QUICK_RUN_SECONDS, QUICK_WATCH_SECONDS) if self.args.quick else (RUN_SECONDS, WATCH_SECONDS)
        rate = self.bench("--in-flight", self.args.in_flight, *more)
        passes = int(run * rate["qps"] / rate["queries"]) + 1
        for _ in range(WATCH_TRIES):
            seen = self.watch_passes(passes, (run - watch) / 2, watch, more)
            if seen:
                return seen
            passes *= 4  # the rate was taken when the machine had other things to do
        raise Failed("runs were over before they could be watched")

    def watch_passes(self, passes, lead, watch, more):
        """As watch(), of so many passes; None when they were over too soon."""
        with self.begin_tern(*self.bench_command("--in-flight", self.args.in_flight, "--passes", passes, *more),
                             cpus=self.client_cpus) as process:
            time.sleep(lead)
            before, began, cpu = self.owner_counters(), time.monotonic(), self.owner_cpu()
            time.sleep(watch)
            seconds, cpu_after = time.monotonic() - began, self.owner_cpu()
            if process.poll() is not None:
                return None
            after = self.owner_counters()
            lines = self.end_tern(process)
        busy = {name: cpu_after[name] - cpu.get(name, 0) for name in cpu_after}
        owner = {name: after[name] - before[name] for name in before}
        owner.update(seconds=round(seconds, 3), cpu_share=round(sum(busy.values()) / seconds, 4), export_cpu_share=round(
            sum(value for name, value in busy.items() if name.startswith("tern-export")) / seconds, 4))
        return lines, owner

    def one_sided(self):
        """All shards, asked of their owner and read in its memory."""
        say("one-sided: starting a node whose cores sleep when nobody asks")
        verbs = self.start_owner()
        say("one-sided: all shards, asked of the node")
        (asked, *_), asked_owner = self.watch()
        say("one-sided: all shards, read in the node's memory")
        # Opening the shards has its time; where other programs take it, some queries are asked of the node.
        for _ in range(WATCH_TRIES):
            cold, first = self.tern(*self.bench_command("--one-sided", *verbs, "--warmup", 1), cpus=self.client_cpus)
            if first["searches"] == SHARDS * (cold["queries"] + 1):
                break
        for _ in range(WATCH_TRIES):
            (read, last), read_owner = self.watch("--one-sided", *verbs)
            if read_owner["vector_searches"] == 0:
                break
        self.stop_node()
        device = verbs[1] if first["transport"] == "verbs" else None
        if first["ready"] < SHARDS or last["ready"] < SHARDS:
            raise Failed(f"one-sided search: {first['ready']} of {SHARDS} shards were read: {first['reason']}")
        queries = first["searches"] / SHARDS
        return {"transport": first["transport"], "device": device, "recall": cold["recall"], "qps": read["qps"], "p50_us": read["p50_us"],
                "p99_us": read["p99_us"], "p999_us": read["p999_us"], "reads": round(first["reads"] / queries, 2),
                "bytes": round(first["bytes"] / queries), "round_trips": round(first["round_trips"] / queries, 2),
                "reads_later": round((last["reads"]) / (last["searches"] / SHARDS), 2),
                "opening_bytes": first["opening_bytes"], "owner": read_owner,
                "asked": {"recall": asked["recall"], "qps": asked["qps"], "p50_us": asked["p50_us"],
                          "p99_us": asked["p99_us"], "p999_us": asked["p999_us"], "owner": asked_owner}}

    @staticmethod
    def print_one_sided(figures):
        ways = (("asked of its owner", figures["asked"]), (f"read, {figures['transport']}", figures))
        print(f"\n{'all shards':<20} {'recall@10':>9} {'QPS':>9} {'p50 us':>9} {'p99 us':>9} {'owner CPU':>10} "
              f"{'owner searches':>15}")
        for name, way in ways:
            owner = way["owner"]
            print(f"{name:<20} {way['recall']:>9.4f} {way['qps']:>9.0f} {way['p50_us']:>9.1f} {way['p99_us']:>9.1f} "
                  f"{owner['cpu_share']:>10.1%} {owner['vector_searches']:>15}")
        print(f"\nRead: {figures['reads']:.1f} READs, {figures['bytes'] / 1024:.1f} KiB and "
              f"{figures['round_trips']:.1f} round trips a query in the first pass, after {figures['opening_bytes'] / 1024:.0f} "
              f"KiB to open the shards.\nThese shards are so small that most of what was read once stays with the reader: in "
              f"the long run it is {figures['reads_later']:.1f} READs.\nOwner CPU: of one core, by all threads of the node, in "
              f"{figures['owner']['seconds']:.1f} s of the client's run; both rows of a node that sleeps when nobody asks.")
        if (figures["device"] or "").startswith("rxe"):
            print("SoftRoCE is a device made of software: the kernel serves READs on some core, which isn't counted.")

    def plot(self):
        """Writes each curve's points and the plot; returns its path, or None when there is no gnuplot."""
        files = []
        for probe in (0, 3, 2, 1):
            name = "all shards" if probe == 0 else f"best {probe} of {SHARDS}"
            files.append(os.path.join(self.out, name.replace(" ", "-") + ".jsonl"))
            with open(files[-1], "w", encoding="utf-8") as file:
                for ef in EFS:
                    say(f"plot: {name}, ef {ef}")
                    row = self.bench("--probe", probe, "--ef", ef, "--in-flight", self.args.in_flight, "--passes", 3)
                    file.write(json.dumps({**row, "event": "search"}) + "\n")
        if shutil.which("gnuplot") is None:
            say("no gnuplot: the points are in", self.out)
            return None
        plot = os.path.join(self.out, "recall_qps.svg")
        subprocess.run(["gnuplot", "-c", os.path.join(SOURCE, "perf", "plots", "recall_qps.gp"), plot, *files],
                       check=True, stdout=sys.stderr)
        return plot

    def run(self):
        self.build()
        say(f"starting ternd: {SHARDS} shards on core{'s' if len(self.poll_cpus) > 1 else ''} "
            f"{', '.join(map(str, self.poll_cpus))}")
        port, why = self.start()
        say(f"port: {port} ({why})")
        rows = self.ask()
        plot = None if self.args.quick else self.plot()
        self.stop_node()
        one_sided = self.one_sided()
        print(f"{rows[0]['vectors']} vectors of {rows[0]['dim']} dimensions in {SHARDS} shards on "
              f"{len(self.poll_cpus)} poll core(s), port {port}, {self.args.in_flight} queries under way\n")
        print(f"{'shards asked':<14} {'recall@10':>9} {'QPS':>9} {'p50 us':>9} {'p99 us':>9} {'p99.9 us':>9}")
        for row in rows:
            name = "all" if row["probe"] == 0 else f"best {row['probe']} of {SHARDS}"
            print(f"{name:<14} {row['recall']:>9.4f} {row['qps']:>9.0f} {row['p50_us']:>9.1f} {row['p99_us']:>9.1f} "
                  f"{row['p999_us']:>9.1f}")
        self.print_one_sided(one_sided)
        if plot:
            print(f"\nplot: {plot}")
        print(json.dumps({
            "event": "demo", "recall": rows[0]["recall"], "qps": rows[0]["qps"], "p50_us": rows[0]["p50_us"],
            "p99_us": rows[0]["p99_us"], "p999_us": rows[0]["p999_us"], "shards": rows[0]["shards"],
            "cores": len(self.poll_cpus), "port": port, "port_reason": why, "vectors": rows[0]["vectors"],
            "dim": rows[0]["dim"], "in_flight": self.args.in_flight, "plot": plot,
            "routed": [{"probe": row["probe"], "recall": row["recall"], "qps": row["qps"]} for row in rows[1:]],
            "one_sided": one_sided,
        }), flush=True)
        if rows[0]["recall"] < RECALL_MIN:
            raise Failed(f"recall@{K} of the full scatter is {rows[0]['recall']}, below {RECALL_MIN}")

    def close(self):
        self.stop_node()
        shutil.rmtree(self.run_folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(SOURCE, "build"), help="the build folder")
    parser.add_argument("--out", help="where results go; emptied first (default: demo in the build folder)")
    parser.add_argument("--port", choices=("auto", "memif", "socket"), default="auto")
    parser.add_argument("--one-sided", choices=("auto", "shm"), default="auto",
                        help="how shards are read: by RDMA where there is a device, or by shared memory")
    parser.add_argument("--in-flight", type=int, default=16, help="queries under way (default 16)")
    parser.add_argument("--passes", type=int, default=10, help="times through the queries (default 10)")
    parser.add_argument("--quick", action="store_true", help="one pass, no plot")
    args = parser.parse_args()
    if args.quick:
        args.passes = 1

    def stop(number, _):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    demo = Demo(args)
    try:
        demo.run()
    except KeyboardInterrupt:
        say("stopped")
        return 130
    except (Failed, subprocess.CalledProcessError, OSError) as failure:
        say(f"demo: {failure}")
        return 1
    finally:
        demo.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
