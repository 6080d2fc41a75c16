#!/usr/bin/env python3
"""System tests of ternd: real processes, real ports.

Usage: sys_ternd.py CASE     ($TERN_BUILD and $TERN_SOURCE say where things are)

Each case is a function case_NAME, and a test of its own. A case that can't run here says why and
exits with 77. Traffic goes to loopback, or stays inside network namespaces that the case makes.
"""
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from crc32c import crc32c  # noqa: E402

BUILD = os.environ.get("TERN_BUILD", "build")
SOURCE = os.environ.get("TERN_SOURCE", ".")
TERND = f"{BUILD}/ternd"
TERN = f"{BUILD}/tern"
CLIENT = f"{BUILD}/tests/sys/sys_client"
SEED = 1  # of whatever is random here

# Long enough for the slowest shared machine: it ends tests that hang, it measures nothing.
PATIENCE_S = 60


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Bench:
    """A folder, and the processes that a case has started in it."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def start(self, *command, prefix=(), env=None):
        process = subprocess.Popen(
            [*prefix, *command], stdout=subprocess.PIPE, stderr=open(self.path("stderr"), "ab"), text=True,
            env={**os.environ, "RUNTIME_DIRECTORY": self.folder, **(env or {})})
        self.processes.append(process)
        return process

    def stderr(self):
        with open(self.path("stderr"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()


def free_ports(count):
    """The first of 'count' UDP ports in a row that nobody has, below those that the kernel gives to whoever asks."""
    source = random.SystemRandom()
    for _ in range(100):
        first = source.randrange(10000, 32000)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free UDP ports")


SETS = {"words100": ("fbin", "cosine"), "mnist784": ("u8bin", "l2")}


def build_set(bench, name, shards=4, stored=()):
    """A collection of one of the real sets; returns its folder and its queries' file.

    Kept in the build folder for all cases, as long as `tern` stays the same.
    """
    ending, metric = SETS[name]
    base = f"{SOURCE}/tests/data/{name}_base.{ending}"
    if not os.path.exists(base):
        skip(f"{base} is not there")
    kept = f"{BUILD}/tests/sys/" + "-".join([name, str(shards), *(word.strip("-") for word in stored)])
    stamp = str(os.stat(TERN).st_mtime_ns)
    with open(kept + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError), open(kept + "/stamp", encoding="utf-8") as file:
            if file.read() == stamp:
                return copy_set(bench, kept, name), f"{SOURCE}/tests/data/{name}_query.{ending}"
        subprocess.run([TERN, "build", "--base", base, "--out", kept, "--collection", name, "--shards", str(shards),
                        "--metric", metric, "--ef-construction", "60", "--force", *stored], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with open(kept + "/stamp", "w", encoding="utf-8") as file:
            file.write(stamp)
        return copy_set(bench, kept, name), f"{SOURCE}/tests/data/{name}_query.{ending}"


def copy_set(bench, kept, name):
    """A case may do with its copy what it likes."""
    folder = bench.path(name)
    shutil.copytree(kept, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("stamp"))
    return folder


def yaml(values, indent=0):
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines.append(" " * indent + f"{key}:")
            lines.append(yaml(value, indent + 2))
        else:
            lines.append(" " * indent + f"{key}: {value}")
    return "\n".join(lines)


def merged(base, extra):
    result = dict(base)
    for key, value in extra.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def node_config(bench, name, data, port, extra=None):
    values = {
        "node": 1,
        "data": json.dumps(data if isinstance(data, list) else [data]),
        "cores": 1,
        "port": {"kind": "socket", "listen": f"127.0.0.1:{port}"},
        "dpdk": {"file_prefix": name, "memory": "64MiB"},
    }
    return bench.write(name + ".yaml", yaml(merged(values, extra or {})) + "\n")


def start_ternd(bench, config, prefix=()):
    """Starts ternd and waits until it serves."""
    process = bench.start(TERND, "--config", config, prefix=prefix)
    line = process.stdout.readline()
    check(line.startswith("ready "), f"no ready line but '{line}'; stderr:\n{bench.stderr()}")
    process.addresses = line.split()[1:]
    return process


def start_client(bench, data, queries, to, *options, extra=None, prefix=()):
    values = merged({"telemetry": "false"}, extra or {})
    config = node_config(bench, f"client{len(bench.processes)}", data, free_ports(1), values)
    process = bench.start(CLIENT, "--config", config, "--data", data, "--queries", queries, "--to", to,
                          "--timeout", str(PATIENCE_S), *options, prefix=prefix)
    check(process.stdout.readline() == "asking\n", f"the client does not ask; stderr:\n{bench.stderr()}")
    return process


def finish_client(bench, process):
    """The client's totals."""
    out, _ = process.communicate(timeout=2 * PATIENCE_S)
    check(out.strip(), f"the client ended with {process.returncode}; stderr:\n{bench.stderr()}")
    totals = json.loads(out.strip().split("\n")[-1])
    print("client:", totals)
    return totals


def query_count(path):
    with open(path, "rb") as file:
        return struct.unpack("<I", file.read(4))[0]


def ask_all(bench, data, queries, to, *options, shards=4, **more):
    """Every query to every shard; every answer is the one of a search in process."""
    totals = finish_client(bench, start_client(bench, data, queries, to, *options, **more))
    check(totals["wrong"] == 0 and totals["failed"] == 0, f"not all answers are right: {totals}")
    check(totals["right"] == query_count(queries) * shards, f"not all answers are there: {totals}")
    return totals


def stop(process, which=signal.SIGTERM):
    process.send_signal(which)
    return process.wait(timeout=PATIENCE_S)


def telemetry(bench, name, command):
    """Asks the node's telemetry socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(f"{bench.folder}/dpdk/{name}/dpdk_telemetry.v2")
        connection.recv(1024)
        connection.send(command.encode())
        return json.loads(connection.recv(65536))[command.split(",")[0]]


# --- the whole query set ---

def case_socket_words(bench):
    data, queries = build_set(bench, "words100")
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    ask_all(bench, data, queries, node.addresses[0])
    check(stop(node) == 0, "ternd does not end with 0")


def case_socket_mnist(bench):
    """Queries of 3 KiB: three frames each."""
    data, queries = build_set(bench, "mnist784", shards=2)
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    ask_all(bench, data, queries, node.addresses[0], shards=2)
    check(stop(node) == 0, "ternd does not end with 0")


def case_socket_types(bench):
    """Whatever vectors are stored as, queries are f32 on the wire, and the answers those of a search in process."""
    for name, *stored in (("mnist784", "--type", "u8"), ("mnist784", "--type", "f16"), ("mnist784", "--type", "bf16"),
                          ("words100", "--rows", "compact"), ("words100", "--rows", "full")):
        data, queries = build_set(bench, name, shards=2, stored=stored)
        node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
        ask_all(bench, data, queries, node.addresses[0], shards=2)
        check(stop(node) == 0, "ternd does not end with 0")
        shutil.rmtree(data)


def case_socket_recall(bench):
    """Who leaves ef open gets what the node's recall takes, by each segment's own measure."""
    data, queries = build_set(bench, "words100", shards=2)
    distances = []
    for recall in ("0.90", "0.99"):
        extra = {"search": {"recall_target": recall}}
        node = start_ternd(bench, node_config(bench, "node", data, free_ports(1), extra))
        ask_all(bench, data, queries, node.addresses[0], "--ef", "0", shards=2, extra=extra)
        distances.append(telemetry(bench, "node", "/tern/core,0")["vector_search_distances"])
        check(stop(node) == 0, "ternd does not end with 0")
    check(distances[1] > 1.5 * distances[0], f"0.99 costs no more than 0.90: {distances}")


def case_socket_large_answers(bench):
    """1,500 hits an answer: tens of frames each."""
    data, queries = build_set(bench, "words100", shards=2)
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    ask_all(bench, data, queries, node.addresses[0], "--k", "1500", shards=2)
    check(stop(node) == 0, "ternd does not end with 0")


def case_two_cores(bench):
    """A shard on another core is pointed to, and asked there."""
    if len(os.sched_getaffinity(0)) < 2:
        skip("two cores are needed")
    data, queries = build_set(bench, "words100")
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(2), {"cores": 2}))
    check(len(node.addresses) == 2, "not two addresses")
    totals = ask_all(bench, data, queries, node.addresses[0])
    check(totals["retried"] > 0, "no shard was elsewhere")
    check(stop(node) == 0, "ternd does not end with 0")


def case_two_collections(bench):
    words, word_queries = build_set(bench, "words100", shards=3)
    digits, digit_queries = build_set(bench, "mnist784", shards=2)
    node = start_ternd(bench, node_config(bench, "node", [words, digits], free_ports(1)))
    ask_all(bench, words, word_queries, node.addresses[0], shards=3)
    ask_all(bench, digits, digit_queries, node.addresses[0], shards=2)
    check(stop(node) == 0, "ternd does not end with 0")


# --- regions ---

def region_client(bench, node, vshard, region, *options, lease_ms=60000, collection="words100"):
    """A process that asks for a region, and what it says about the answer."""
    process = bench.start(f"{BUILD}/tests/sys/region_client", node.addresses[0], collection, str(vshard), region,
                          str(lease_ms), *options)
    line = process.stdout.readline()
    check(line, f"the client says nothing; stderr:\n{bench.stderr()}")
    return process, json.loads(line)


def wait_export(bench, what, **wanted):
    """Until the node's counters are these."""
    end = time.monotonic() + PATIENCE_S
    while True:
        export = telemetry(bench, "node", "/tern/export")
        if all(export[key] == value for key, value in wanted.items()):
            return export
        check(time.monotonic() < end, f"{what}: {export}")
        time.sleep(0.05)


def case_region(bench):
    """Grants over shared memory, and all the ways in which leases end."""
    data, _ = build_set(bench, "words100", shards=2)
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    shards = [telemetry(bench, "node", f"/tern/shard,{i}") for i in range(2)]
    for shard in shards:
        process, answer = region_client(bench, node, shard["vshard"], "segment/1", "--leave")
        check(answer["available"] and answer["status"] == 0 and answer["length"] == shard["bytes"]
              and answer["magic"] == "TERNSEG" and answer["crc_right"] and answer["lease_ms"] == 60000, answer)
        check(process.wait(PATIENCE_S) == 0, "the client failed")
        _, answer = region_client(bench, node, shard["vshard"], "directory", "--leave")
        check(answer["available"] and answer["magic"] == "TERNDIR", answer)
    wait_export(bench, "leases of who left remain", leases=0, links=0, leases_revoked=4)

    _, answer = region_client(bench, node, shards[0]["vshard"], "segment/1", lease_ms=300)
    check(answer["lease_ms"] == 300, answer)
    wait_export(bench, "a lease does not end", leases=0, links=1, leases_expired=1)

    killed, _ = region_client(bench, node, shards[0]["vshard"], "segment/1/upper")
    wait_export(bench, "no lease", leases=1, links=2)
    killed.kill()
    wait_export(bench, "a killed reader's lease does not end", leases=0, links=1, leases_revoked=5)

    for region, options, reason in (("segment/1", ["--bad-proof"], "not a member"), ("segment/2", [], "unknown region"),
                                    ("heap", [], "unknown region")):
        _, answer = region_client(bench, node, shards[0]["vshard"], region, *options)
        check(not answer["available"] and answer["reason"] == reason and answer["status"] == 0, answer)
    _, answer = region_client(bench, node, 5, "segment/1")
    check(not answer["available"] and answer["reason"] == "shard moved" and answer["status"] == 300, answer)
    core = telemetry(bench, "node", "/tern/core,0")
    check(core["heap_breaches"] == 0, "a poll core allocated")
    check(core["region_requests"] == 10 and core["region_granted"] == 6, f"wrong: {core}")

    stays, _ = region_client(bench, node, shards[1]["vshard"], "segment/1")
    check(stop(node) == 0, "ternd does not end with 0")
    check(json.loads(stays.stdout.readline())["event"] == "withdrawn", "the end does not withdraw what was lent")


def case_region_off(bench):
    """With export off nobody listens, and telemetry says so."""
    data, _ = build_set(bench, "words100", shards=2)
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1), {"export": {"enabled": "false"}}))
    check(telemetry(bench, "node", "/tern/export") == {"enabled": 0}, "export is not off")
    process = bench.start(f"{BUILD}/tests/sys/region_client", node.addresses[0], "words100", "0", "segment/1", "1000")
    check(process.wait(PATIENCE_S) == 1, "somebody lends memory")
    check(stop(node) == 0, "ternd does not end with 0")


def case_region_two_cores(bench):
    """The core that doesn't own the shard says which does; the link is the same."""
    if len(os.sched_getaffinity(0)) < 2:
        skip("two cores are needed")
    data, _ = build_set(bench, "words100", shards=2)
    first = free_ports(2)
    node = start_ternd(bench, node_config(bench, "node", data, first, {"cores": 2}))
    shards = [telemetry(bench, "node", f"/tern/shard,{i}") for i in range(2)]
    own, other = sorted(shards, key=lambda shard: shard["core"])
    _, answer = region_client(bench, node, own["vshard"], "segment/1", "--leave")
    check(answer["available"], answer)
    _, answer = region_client(bench, node, other["vshard"], "segment/1", "--leave")
    check(not answer["available"] and answer["status"] == 301 and answer["reason"] == "shard moved", answer)
    check(stop(node) == 0, "ternd does not end with 0")


# --- DPDK ports ---

def dpdk_port(device, number, **more):
    """The node is 10.78.0.1, the client 10.78.0.2."""
    return {"auth": "none",
            "port": {"kind": "dpdk", "device": device, "listen": f"10.78.0.{number}:7400", "ipv6": f"fd78::{number}",
                     **more}}


def over_memif(bench, cores):
    data, queries = build_set(bench, "words100")
    path = bench.path("memif")
    server = dpdk_port(f"net_memif0,role=server,socket={path},socket-abstract=no", 1)
    client = dpdk_port(f"net_memif0,role=client,socket={path},socket-abstract=no", 2)
    node = start_ternd(bench, node_config(bench, "node", data, 0, merged(server, {"cores": cores})))
    check(node.addresses == [f"10.78.0.1:{7400 + i}" for i in range(cores)], f"addresses: {node.addresses}")
    ask_all(bench, data, queries, node.addresses[0], extra=client)
    ask_all(bench, data, queries, "[fd78::1]:7400", extra=client)
    check(telemetry(bench, "node", "/tern/core,0")["heap_breaches"] == 0, "a poll core allocated")
    check(telemetry(bench, "node", "/tern/info")["port"] == "dpdk", "not a DPDK port")
    check(stop(node) == 0, "ternd does not end with 0")


def case_memif(bench):
    over_memif(bench, 1)


def case_memif_two_cores(bench):
    """memif has one queue: the second core is fed by the first."""
    if len(os.sched_getaffinity(0)) < 2:
        skip("two cores are needed")
    over_memif(bench, 2)


class Net:
    """Two namespaces joined by a veth pair: 'a' with ta for the node, 'b' with tb for the kernel's sockets."""

    def __init__(self):
        if os.geteuid() != 0:
            skip("network namespaces need root")
        if not shutil.which("ip") or not shutil.which("ethtool"):
            skip("no `ip` or `ethtool` (packages iproute2, ethtool)")
        self.a, self.b = (f"tern-sys-{end}-{os.getpid()}" for end in "ab")

    def __enter__(self):
        try:
            for words in (f"netns add {self.a}", f"netns add {self.b}",
                          f"-n {self.a} link add ta type veth peer name tb netns {self.b}",
                          f"-n {self.b} address add 10.78.0.2/24 dev tb",
                          f"-n {self.b} address add fd78::2/64 dev tb nodad",
                          f"-n {self.a} link set ta up", f"-n {self.b} link set tb up"):
                subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            self.__exit__()
            skip(f"no namespaces or veth here: {error.stderr}")
        # A veth hands on datagrams that a card would cut into frames (GSO), larger than any frame may be.
        if subprocess.run([*self.within(self.b), "ethtool", "-K", "tb", "tx-udp-segmentation", "off"],
                          capture_output=True, check=False).returncode:
            self.__exit__()
            skip("`ethtool` (package ethtool) can't turn segmentation off")
        # The kernel must not answer in the port's place.
        subprocess.run([*self.within(self.a), "sysctl", "-qw", "net.ipv6.conf.ta.disable_ipv6=1"], check=False)
        return self

    def __exit__(self, *_):
        for name in (self.a, self.b):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    @staticmethod
    def within(namespace):
        return ("ip", "netns", "exec", namespace)


def ask_over_both_ips(bench, net, device, within, prepare=None):
    """A node on a device in one namespace, an ordinary socket client in another or the same one."""
    data, queries = build_set(bench, "words100")
    config = node_config(bench, "node", data, 0, dpdk_port(device, 1))
    node = start_ternd(bench, config, prefix=net.within(net.a))
    if prepare:
        prepare()
    client = {"auth": "none", "port": {"listen": "10.78.0.2:7500"}}
    ask_all(bench, data, queries, node.addresses[0], extra=client, prefix=net.within(within))
    client["port"]["listen"] = '"[fd78::2]:7500"'
    ask_all(bench, data, queries, "[fd78::1]:7400", extra=client, prefix=net.within(within))
    check(telemetry(bench, "node", "/tern/core,0")["heap_breaches"] == 0, "a poll core allocated")
    node.send_signal(signal.SIGTERM)
    check(node.wait(timeout=PATIENCE_S) == 0, "ternd does not end with 0")


def over_veth(bench, device):
    with Net() as net:
        ask_over_both_ips(bench, net, device, net.b)


def case_af_packet(bench):
    over_veth(bench, "net_af_packet0,iface=ta")


def case_af_xdp(bench):
    over_veth(bench, "net_af_xdp0,iface=ta,force_copy=1")


def case_tap(bench):
    """The kernel of the node's own namespace is at the other side of the TAP."""
    if not os.path.exists("/dev/net/tun"):
        skip("no /dev/net/tun")
    if "thread" in os.environ.get("TERN_SANITIZE", ""):
        skip("ThreadSanitizer holds back the signals by which DPDK's TAP driver counts what came")
    with Net() as net:
        def prepare():
            for words in ("link set tt address 02:78:00:00:00:02", "address add 10.78.0.2/24 dev tt",
                          "address add fd78::2/64 dev tt nodad", "link set tt up"):
                subprocess.run(["ip", "-n", net.a, *words.split()], check=True)
        ask_over_both_ips(bench, net, "net_tap0,iface=tt,mac=02:78:00:00:00:01", net.a, prepare)


def throw_raw(source, count):
    """In the client's namespace: Ethernet frames from random bytes to almost right."""
    def frame():
        udp = source.randbytes(source.randrange(0, 1400))
        ip_size, udp_size = 28 + len(udp), 8 + len(udp)
        if source.randrange(4) == 0:
            ip_size = source.randrange(65536)
        if source.randrange(4) == 0:
            udp_size = source.randrange(65536)
        header = struct.pack(">BBHHHBBH4s4s", source.choice([0x45, 0x45, 0x4f, 0x65, 0x41]), 0, ip_size, 0,
                             source.choice([0, 0, 0x2000, 0x4000]), 64, source.choice([17, 17, 1, 6]),
                             source.randrange(65536), bytes([10, 78, 0, 2]), bytes([10, 78, 0, 1]))
        kind = source.choice([0x0800, 0x0800, 0x0806, 0x86dd, 0x8100, source.randrange(65536)])
        whole = b"\xff" * 6 + source.randbytes(6) + struct.pack(">H", kind) + header + struct.pack(
            ">HHHH", 7500, 7400, udp_size, source.randrange(65536)) + udp
        return whole[:source.randrange(14, len(whole) + 1)] if source.randrange(3) == 0 else whole
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as thrower:
        thrower.bind(("tb", 0))
        for i in range(count):
            with contextlib.suppress(OSError):
                thrower.send(frame()[:1514])
            if i % 50 == 0:
                time.sleep(0.001)


def case_raw_frames(bench):
    """Runts, wrong lengths, wrong checksums, fragments and nonsense on the wire: no answer suffers."""
    print("seed", SEED)
    data, queries = build_set(bench, "words100")
    with Net() as net:
        node = start_ternd(bench, node_config(bench, "node", data, 0, dpdk_port("net_af_packet0,iface=ta", 1)),
                           prefix=net.within(net.a))
        thrower = bench.start(sys.executable, os.path.abspath(__file__), "--throw-raw", prefix=net.within(net.b))
        client = {"auth": "none", "port": {"listen": "10.78.0.2:7500"}}
        ask_all(bench, data, queries, node.addresses[0], "--retry", extra=client, prefix=net.within(net.b))
        check(thrower.wait(timeout=PATIENCE_S) == 0, "nothing was thrown")
        dropped = telemetry(bench, "node", "/tern/port")["frames_dropped_receive"]
        check(dropped > 1000, f"only {dropped} frames were counted as dropped")
        ask_all(bench, data, queries, node.addresses[0], extra=client, prefix=net.within(net.b))
        check(stop(node) == 0, "ternd does not end with 0")


# --- a node that asks all shards ---

def case_coordinate(bench):
    """One question a query: the node asks its own shards, on both its cores."""
    data, queries = build_set(bench, "words100")
    cores = min(2, len(os.sched_getaffinity(0)))
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(cores), {"cores": cores}))
    for address in node.addresses:
        ask_all(bench, data, queries, address, "--all", shards=1)
    core = telemetry(bench, "node", "/tern/core,0")
    check(core["questions"] == query_count(queries) and core["questions_partial"] == 0, f"wrong: {core}")
    check(core["heap_breaches"] == 0, "a poll core allocated")
    check(stop(node) == 0, "ternd does not end with 0")


def case_coordinate_memif(bench):
    """A device doesn't hear itself: the cores' own frames go around it."""
    data, queries = build_set(bench, "words100")
    path = bench.path("memif")
    cores = min(2, len(os.sched_getaffinity(0)))
    server = dpdk_port(f"net_memif0,role=server,socket={path},socket-abstract=no", 1)
    client = dpdk_port(f"net_memif0,role=client,socket={path},socket-abstract=no", 2)
    node = start_ternd(bench, node_config(bench, "node", data, 0, merged(server, {"cores": cores})))
    ask_all(bench, data, queries, node.addresses[0], "--all", shards=1, extra=client)
    check(stop(node) == 0, "ternd does not end with 0")


def case_coordinate_nodes(bench):
    """Two nodes with half the shards each; then one of them dies, and comes back."""
    data, queries = build_set(bench, "words100")
    ports = [free_ports(1), free_ports(1)]
    peers = json.dumps([{"node": i + 1, "address": f"127.0.0.1:{port}"} for i, port in enumerate(ports)])
    configs = [node_config(bench, f"node{i}", data, port,
                           {"node": i + 1, "shards": f"[{2 * i}, {2 * i + 1}]", "peers": peers})
               for i, port in enumerate(ports)]
    nodes = [start_ternd(bench, config) for config in configs]
    for node in nodes:
        ask_all(bench, data, queries, node.addresses[0], "--all", shards=1)
    nodes[1].kill()
    nodes[1].wait()
    totals = finish_client(bench, start_client(bench, data, queries, nodes[0].addresses[0], "--all", "--retry",
                                               "--first", "24", "--window", "12"))
    # Every answer names the missing shards, so none of them passes for the whole.
    check(totals["right"] == 0 and totals["failed"] == 0 and totals["wrong"] == 24, f"{totals}")
    partial = telemetry(bench, "node0", "/tern/core,0")["questions_partial"]
    check(partial == 24, f"{partial} partial answers")
    nodes[1] = start_ternd(bench, configs[1])
    ask_all(bench, data, queries, nodes[0].addresses[0], "--all", shards=1)
    for node in nodes:
        check(stop(node) == 0, "ternd does not end with 0")


# --- membership ---

def case_secret(bench):
    """Who has the secret is served, who has another or none is not."""
    data, queries = build_set(bench, "words100", shards=1)
    secrets = {name: bench.write(name, digit * 64 + "\n", 0o600) for name, digit in (("right", "a"), ("wrong", "b"))}
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1), {"secret_file": secrets["right"]}))
    ask_all(bench, data, queries, node.addresses[0], extra={"secret_file": secrets["right"]}, shards=1)
    for extra in ({"secret_file": secrets["wrong"]}, {}):
        totals = finish_client(bench, start_client(bench, data, queries, node.addresses[0], extra=extra))
        check(totals["right"] == 0 and totals["failed"] == query_count(queries), f"served a stranger: {totals}")
    check(stop(node) == 0, "ternd does not end with 0")


# --- deaths ---

QUICK = {"session": {"keepalive": "50ms", "lost": "1s"}}


def case_node_killed(bench):
    """kill -9 of the node in the middle: after its return every question is answered, and right."""
    data, queries = build_set(bench, "words100")
    config = node_config(bench, "node", data, free_ports(1), QUICK)
    node = start_ternd(bench, config)
    client = start_client(bench, data, queries, node.addresses[0], "--retry", "--rounds", "8", extra=QUICK)
    for _ in range(3):
        before = telemetry(bench, "node", "/tern/core,0")["vector_searches"]
        while telemetry(bench, "node", "/tern/core,0")["vector_searches"] == before and client.poll() is None:
            time.sleep(0.005)
        check(client.poll() is None, "the client was done before the node was killed")
        node.kill()
        node.wait()
        node = start_ternd(bench, config)
    totals = finish_client(bench, client)
    check(totals["right"] == query_count(queries) * 4 * 8, f"answers are missing: {totals}")
    check(totals["wrong"] == 0 and totals["failed"] == 0, f"not all answers are right: {totals}")
    check(totals["retried"] > 0, "nothing was lost: the test did not test")
    check(stop(node) == 0, "ternd does not end with 0")


def case_client_killed(bench):
    """kill -9 of clients: their sessions go away, and the next client is served as before."""
    data, queries = build_set(bench, "words100")
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1),
                                          merged(QUICK, {"session": {"sessions": 4}})))
    for _ in range(8):  # more than there are sessions
        client = start_client(bench, data, queries, node.addresses[0], "--retry", "--rounds", "50")
        while telemetry(bench, "node", "/tern/sessions")["sessions"] == 0:
            time.sleep(0.005)
        client.kill()
        client.wait()
        end = time.monotonic() + PATIENCE_S
        while telemetry(bench, "node", "/tern/sessions")["sessions"]:
            check(time.monotonic() < end, "a dead client's session stays")
            time.sleep(0.02)
    check(telemetry(bench, "node", "/tern/sessions")["sessions_lost"] >= 8, "lost sessions are not counted")
    ask_all(bench, data, queries, node.addresses[0])
    check(stop(node) == 0, "ternd does not end with 0")


# --- hostile frames ---

def garbage(source, frames):
    """Random bytes, and real frames cut short, with bits turned over, or repeated."""
    kind = source.randrange(5)
    frame = bytearray(source.choice(frames)) if frames else bytearray()
    if kind == 0 or not frame:
        return source.randbytes(source.randrange(0, 1500))
    if kind == 1:
        return bytes(frame[:source.randrange(len(frame))])
    if kind == 2:
        for _ in range(source.randrange(1, 4)):
            frame[source.randrange(len(frame))] ^= 1 << source.randrange(8)
        return bytes(frame)
    if kind == 3:
        return bytes(frame + source.randbytes(source.randrange(1, 200)))
    return bytes(frame)


def case_garbage(bench):
    """While a client asks, others throw garbage: it is counted, and no answer suffers."""
    print("seed", SEED)
    source = random.Random(SEED)
    data, queries = build_set(bench, "words100")
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    host, port = node.addresses[0].rsplit(":", 1)
    client = start_client(bench, data, queries, node.addresses[0], "--retry", "--rounds", "2")
    frames = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        thrower.setblocking(False)
        thrown = 0
        while thrown < 10000 or client.poll() is None:
            with contextlib.suppress(OSError):
                thrower.sendto(garbage(source, frames), (host, int(port)))
            thrown += 1
            with contextlib.suppress(OSError):
                frames = (frames + [thrower.recv(9000)])[-64:]
            if thrown % 100 == 0:
                time.sleep(0.001)
            check(thrown < 10000000, "the client does not come to an end")
    totals = finish_client(bench, client)
    check(totals["wrong"] == 0 and totals["failed"] == 0, f"not all answers are right: {totals}")
    check(telemetry(bench, "node", "/tern/sessions")["frames_bad"] > 500, "garbage is not counted")
    check(telemetry(bench, "node", "/tern/core,0")["heap_breaches"] == 0, "a poll core allocated")
    check(stop(node) == 0, "ternd does not end with 0")


# --- ends ---

def case_drain(bench):
    """SIGTERM under load: ternd ends with 0; nothing that it answered was wrong."""
    data, queries = build_set(bench, "words100")
    config = node_config(bench, "node", data, free_ports(1), QUICK)
    node = start_ternd(bench, config)
    client = start_client(bench, data, queries, node.addresses[0], "--retry", "--rounds", "5", extra=QUICK)
    while telemetry(bench, "node", "/tern/core,0")["vector_searches"] == 0:
        time.sleep(0.005)
    check(stop(node) == 0, f"ternd does not end with 0; stderr:\n{bench.stderr()}")
    check(client.poll() is None, "the client was done before the drain")
    node = start_ternd(bench, config)
    totals = finish_client(bench, client)
    check(totals["right"] == query_count(queries) * 4 * 5 and totals["wrong"] == 0, f"not all right: {totals}")
    check(stop(node) == 0, "ternd does not end with 0")


def case_sigint_twice(bench):
    data, _ = build_set(bench, "words100", shards=1)
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    check(stop(node, signal.SIGINT) == 0, "one SIGINT is no drain")
    # A drain takes 300 ms at least (CORE_LINGER_NS). Signals that wait are one, so a row of them is at
    # least two unless this process stands still for all of a drain, which it doesn't ten times.
    for _ in range(10):
        node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
        while node.poll() is None:
            node.send_signal(signal.SIGINT)
            time.sleep(0.001)
        if node.returncode == 1:
            check("stopped at once" in bench.stderr(), "it does not say so")
            return
        check(node.returncode == 0, f"it ended with {node.returncode}")
    check(False, "two SIGINTs do not end it at once")


# --- overload ---

def case_overload(bench):
    """A queue of one: what is too much is answered so, and asked again comes right."""
    data, queries = build_set(bench, "words100")
    extra = {"search": {"in_flight": 1, "queue_max": 1}}
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1), extra))
    totals = ask_all(bench, data, queries, node.addresses[0], "--retry", "--window", "32")
    shed = telemetry(bench, "node", "/tern/core,0")["vector_refused_overloaded"]
    check(shed > 0 and totals["retried"] >= shed, f"{shed} shed, {totals['retried']} asked again")
    check(stop(node) == 0, "ternd does not end with 0")


# --- looking ---

def case_telemetry(bench):
    """Every command answers, and docs/telemetry.md names every key."""
    with open(f"{SOURCE}/docs/telemetry.md", encoding="utf-8") as file:
        words = set(re.findall(r"`([^`]+)`", file.read()))
    data, queries = build_set(bench, "words100", shards=2)
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    ask_all(bench, data, queries, node.addresses[0], shards=2)
    for command, help_text in telemetry(bench, "node", "/tern/help").items():
        check(command in words and help_text, f"{command} is not in docs/telemetry.md")
        parameter = ",0" if "Parameter: " in help_text else ""
        answer = telemetry(bench, "node", command + parameter)
        check(answer, f"{command} answers nothing")
        for key in answer if isinstance(answer, dict) and command != "/tern/help" else ():
            known = (key in words or key.split("_")[0] + "_*" in words or command in ("/tern/sessions", "/tern/port")
                     or (command == "/tern/latency" and "STAGE_" + key.split("_", 1)[1] in words))
            check(known, f"{command}: {key} is not in docs/telemetry.md")
    info = telemetry(bench, "node", "/tern/info")
    check(info["shards"] == 2 and info["vectors"] == 8000 and info["port"] == "socket", f"wrong: {info}")
    core = telemetry(bench, "node", "/tern/core,0")
    check(core["vector_searches"] == query_count(queries) * 2, f"wrong: {core}")
    check(core["heap_breaches"] == 0, "a poll core allocated")
    check(telemetry(bench, "node", "/tern/latency")["search_p50_ns"] > 0, "no latency")
    for wrong in ("/tern/core", "/tern/core,1", "/tern/core,x", "/tern/shard,2", "/tern/port,-1", "/tern/core, 0",
                  "/tern/core,+0", f"/tern/shard,-{2**64 - 1}"):
        check(telemetry(bench, "node", wrong) is None, f"{wrong} is answered")
    check(stop(node) == 0, "ternd does not end with 0")
    check(not os.path.exists(f"{bench.folder}/dpdk/node"), "DPDK's run-time folder is left behind")

    # DPDK's library mishandles what isn't ASCII; the longest name, cut between its characters.
    named = bench.path("named")
    for name, expected in (("größe 50%", "gr%C3%B6%C3%9Fe 50%25"), ("日" * 85, "%E6%97%A5" * 14)):
        subprocess.run([TERN, "build", "--base", f"{SOURCE}/tests/data/words100_base.fbin", "--out", named, "--force",
                        "--collection", name, "--shards", "1", "--ef-construction", "20"], check=True,
                       stdout=subprocess.DEVNULL)
        node = start_ternd(bench, node_config(bench, "node", named, free_ports(1)))
        answer = telemetry(bench, "node", "/tern/shard,0")["collection"]
        check(answer == expected, f"{name}: {answer}")
        check(stop(node) == 0, "ternd does not end with 0")


def case_idle(bench):
    """An idle node sleeps: a second of it has at most some hundred turns."""
    data, _ = build_set(bench, "words100", shards=1)
    node = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    time.sleep(0.5)
    before = telemetry(bench, "node", "/tern/core,0")
    time.sleep(0.5)
    after = telemetry(bench, "node", "/tern/core,0")
    check(after["idle_sleeps"] > before["idle_sleeps"], "it never sleeps")
    # The command itself wakes it: idle.busy and idle.pause of polling, 2.2 ms.
    print("turns:", after["turns"] - before["turns"])
    check(after["idle_slept_ns"] - before["idle_slept_ns"] > (after["turns"] - before["turns"]),
          "it turns more than it sleeps")
    check(stop(node) == 0, "ternd does not end with 0")


# --- mistakes ---

def run_ternd(*options):
    return subprocess.run([TERND, *options], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def expect_refused(bench, name, text, *words):
    """--check says what is wrong with it."""
    path = bench.write(name + ".yaml", text)
    result = run_ternd("--config", path, "--check")
    print(f"{name}: {result.stderr.strip()}")
    check(result.returncode == 1, f"{name}: exit status {result.returncode}")
    lines = result.stderr.strip().split("\n")
    check(len(lines) == 1, f"{name}: more than a line")
    for word in (path, *words):
        check(word in lines[0], f"{name}: '{word}' is not in '{lines[0]}'")


def case_check(bench):
    data, _ = build_set(bench, "words100", shards=2)
    path = node_config(bench, "right", data, 7400)
    result = run_ternd("--config", path, "--check")
    check(result.returncode == 0 and "2 shards, 8000 vectors" in result.stdout, f"{result}")
    expect_refused(bench, "key", f"node: 1\nporst: 3\ndata: {data}\n", ":2:", "porst")
    expect_refused(bench, "range", f"data: {data}\nsearch:\n  in_flight: 0\n", ":3:", "in_flight")
    expect_refused(bench, "public", f"data: {data}\nport:\n  listen: 0.0.0.0:7400\n", ":3:", "secret_file")
    expect_refused(bench, "shard", f"data: {data}\nshards: [5]\n", "shards", "5")
    expect_refused(bench, "core", f"data: {data}\ncores: [4000]\n", "cores", "4000")
    expect_refused(bench, "nothing", f"data: {data}.not\n", data + ".not", "tern build")
    expect_refused(bench, "twice", f"data: [{data}, {data}]\n", "words100", "once")
    result = run_ternd("--config", bench.path("not.there"), "--check")
    check(result.returncode == 1 and "not.there" in result.stderr, f"{result}")
    for options in ((), ("--nonsense",), ("--config", path, "more")):
        check(run_ternd(*options).returncode == 2, f"{options}: not a wrong usage")
    result = run_ternd("--print-defaults")
    check(result.returncode == 0 and "queue_max:" in result.stdout, f"{result}")


def outline(whole):
    """Everything but header, rows and vectors."""
    rows, labels, factors, vectors = (int.from_bytes(whole[at:at + 8], "little") for at in (64, 88, 160, 168))
    return whole[256:rows] + (whole[factors:vectors or labels] if factors else b"") + whole[labels:]


def other_segment(whole):
    """One that is good by itself, and not the manifest's: its last label is one more (docs/format/segment.md)."""
    other = bytearray(whole)
    count, labels = int.from_bytes(whole[40:44], "little"), int.from_bytes(whole[88:96], "little")
    last = labels + 4 * (count - 1)
    other[last:last + 4] = (int.from_bytes(whole[last:last + 4], "little") + 1).to_bytes(4, "little")
    other[228:232] = crc32c(outline(other)).to_bytes(4, "little")
    other[248:252] = crc32c(other[256:]).to_bytes(4, "little")
    other[252:256] = crc32c(other[:252]).to_bytes(4, "little")
    return other


def case_check_damaged_files(bench):
    """One byte turned over, or cut off, anywhere in a shard's files is found, and so is another segment."""
    print("seed", SEED)
    source = random.Random(SEED)
    data, _ = build_set(bench, "words100", shards=1)
    path = node_config(bench, "node", data, 7400)
    for name in sorted(os.listdir(data)):
        if name == "manifest.json":
            continue
        with open(f"{data}/{name}", "rb") as file:
            whole = file.read()
        for _ in range(8):
            damaged = bytearray(whole)
            if source.randrange(4):
                damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
            else:
                del damaged[source.randrange(len(damaged)):]
            with open(f"{data}/{name}", "wb") as file:
                file.write(damaged)
            result = run_ternd("--config", path, "--check")
            check(result.returncode == 1 and name in result.stderr, f"{name}: {result}")
        if whole.startswith(b"TERNSEG"):
            with open(f"{data}/{name}", "wb") as file:
                file.write(other_segment(whole))
            result = run_ternd("--config", path, "--check")
            check(result.returncode == 1 and "manifest's" in result.stderr, f"another segment: {result}")
        with open(f"{data}/{name}", "wb") as file:
            file.write(whole)
    check(run_ternd("--config", path, "--check").returncode == 0, "the files are not as they were")


def case_port_busy(bench):
    data, _ = build_set(bench, "words100", shards=1)
    port = free_ports(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        node = bench.start(TERND, "--config", node_config(bench, "node", data, port))
        check(node.wait(timeout=PATIENCE_S) == 1, "it starts on a busy port")
    print(bench.stderr())
    check(str(port) in bench.stderr() and "another program has it" in bench.stderr(), "it does not say why")
    check("node.yaml:" in bench.stderr() and "port.listen: " in bench.stderr(), "it does not say where")


def case_prefix_busy(bench):
    """A second node with the prefix of a first one ends, and leaves that one's files alone."""
    data, queries = build_set(bench, "words100", shards=1)
    first = start_ternd(bench, node_config(bench, "node", data, free_ports(1)))
    second = bench.start(TERND, "--config", node_config(bench, "second", data, free_ports(1),
                                                        {"dpdk": {"file_prefix": "node"}}))
    check(second.wait(timeout=PATIENCE_S) == 1, "it starts with a prefix that is taken")
    check("dpdk.file_prefix: " in bench.stderr() and "using the prefix" in bench.stderr(), "it does not say why")
    third = start_ternd(bench, node_config(bench, "third", data, free_ports(1),
                                           {"dpdk": {"file_prefix": "node"}, "telemetry": "false"}))
    check(stop(third) == 0, "without telemetry it has no files, so that the prefix doesn't matter")
    check(telemetry(bench, "node", "/tern/info")["shards"] == 1, "the first one's telemetry is gone")
    check(stop(first) == 0, "ternd does not end with 0")


def main():
    if sys.argv[1] == "--throw-raw":
        throw_raw(random.Random(SEED), 20000)
        return 0
    case = globals()["case_" + sys.argv[1]]
    folder = tempfile.mkdtemp(prefix="tern-sys-")
    bench = Bench(folder)
    try:
        case(bench)
    except AssertionError as error:
        print("FAILED:", error)
        print(bench.stderr()[-4000:])
        return 1
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
