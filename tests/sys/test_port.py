#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ports for real: port_echo at one end, the kernel or another port_echo at the other.

Usage: test_port.py CASE

Network cases run in two namespaces of their own, joined by a veth pair, which are gone afterwards. The port's
end has no kernel address. A case that can't run here says why and exits with 77.
"""
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

ECHO = os.path.join(os.environ.get("TERN_BUILD", "build"), "tests", "port_echo")
HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = tempfile.mkdtemp(prefix="tern-port-")
os.environ["RUNTIME_DIRECTORY"] = FOLDER  # for DPDK's folders
IPV4, IPV6 = "10.77.0.1", "fd77::1"
PORT = 7400


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def check(truth, what):
    if not truth:
        raise AssertionError(what)


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


class Net:
    """Two namespaces: 'a' with interface ta for the port, 'b' with tb for the kernel."""

    def __init__(self, mtu=1500, queues=1):
        if os.geteuid() != 0:
            skip("network namespaces need root")
        if not shutil.which("ip"):
            skip("no `ip` (package iproute2)")
        self.names = [f"tern-{end}-{os.getpid()}" for end in "ab"]
        self.a, self.b = self.names  # case_tap makes both ends one
        self.mtu, self.queues = mtu, queues

    def __enter__(self):
        try:
            run("ip", "netns", "add", self.a)
            run("ip", "netns", "add", self.b)
            # XDP on a veth end wants no fewer receive queues there than the peer has to send.
            end = ["mtu", str(self.mtu), "numrxqueues", str(self.queues), "numtxqueues", str(self.queues)]
            run("ip", "-n", self.a, "link", "add", "ta", *end, "type", "veth", "peer", "name", "tb", *end, "netns",
                self.b)
            # The kernel must not answer in the port's place.
            run("ip", "netns", "exec", self.a, "sysctl", "-qw", "net.ipv6.conf.ta.disable_ipv6=1")
            run("ip", "-n", self.b, "address", "add", "10.77.0.2/24", "dev", "tb")
            run("ip", "-n", self.b, "address", "add", "fd77::2/64", "dev", "tb", "nodad")
            run("ip", "-n", self.a, "link", "set", "ta", "up")
            run("ip", "-n", self.b, "link", "set", "tb", "up")
            run("ip", "-n", self.b, "link", "set", "lo", "up")
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            self.remove()
            skip(f"no namespaces or veth here: {getattr(error, 'stderr', error)}")
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def within(namespace, command):
    return ["ip", "netns", "exec", namespace, *command] if namespace else command


def device(text, number=1, udp_port=PORT):
    """Arguments of a DPDK port: the server's addresses end in 1, the asker's in 2."""
    return ["--device", text, "--ip", f"10.77.0.{number}/24", "--ip", f"fd77::{number}/64", "--udp-port",
            str(udp_port), "--prefix", f"tern{os.getpid()}.{number}"]


class Server:
    def __init__(self, *arguments, namespace=None):
        self.process = subprocess.Popen(within(namespace, [ECHO, "serve", *arguments]), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        if line[:1] != ["ready"]:
            self.process.wait()
            raise AssertionError(f"no server: {' '.join(arguments)}")
        self.address, self.frame_size = line[1], int(line[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Ends it in good order and returns its counters."""
        out, _ = self.process.communicate(timeout=30)
        check(self.process.returncode == 0, f"the server ended with {self.process.returncode}")
        return json.loads(out)


def ask(*arguments, namespace=None, count=300):
    result = subprocess.run(within(namespace, [ECHO, "ask", *arguments, "--count", str(count)]), text=True,
                            capture_output=True, timeout=60, check=False)
    check(result.returncode == 0, f"not all answered: {result.stdout} {result.stderr}")
    stats = json.loads(result.stdout.splitlines()[-1])
    check(stats["frames_received"] >= count, "fewer frames than answers")
    return stats


def targets(count=1, ipv6=True):
    to = []
    for i in range(count):
        to += ["--to", f"{IPV4}:{PORT + i}"]
        if ipv6:
            to += ["--to", f"[{IPV6}]:{PORT + i}"]
    return to


def ping(net, size=56):
    if not shutil.which("ping"):
        print("not pinged: no `ping` (package iputils-ping)")
        return
    for address in (IPV4, IPV6):
        out = run("ip", "netns", "exec", net.b, "ping", "-c", "3", "-i", "0.2", "-W", "5", "-s", str(size),
                  address).stdout
        check(" 0% packet loss" in out, f"ping {address}: {out}")


def from_kernel(net, server, count=300):
    """An ordinary socket client in the other namespace, both families, all sizes; then ping."""
    ask("--socket", "0.0.0.0:0", *targets(ipv6=False), namespace=net.b, count=count)
    ask("--socket", "[::]:0", *targets(), namespace=net.b, count=count)
    ask("--socket", "[::]:0", *targets(), "--size", str(server.frame_size), "--frame-size",
        str(server.frame_size), namespace=net.b, count=20)
    ping(net)
    ping(net, size=1200)


# --- sockets ---

def case_socket():
    for address in ("127.0.0.1:0", "[::1]:0"):
        for way in ([], ["--plain"]):
            with Server("--socket", address, *way) as server:
                ask("--socket", address, *way, "--to", server.address, count=2000)
                check(server.stop()["frames_sent"] >= 2000, "the server sent less")


# --- memif ---

def memif(role):
    return f"net_memif0,role={role},socket={FOLDER}/memif,socket-abstract=no"


def case_memif():
    with Server(*device(memif("server"))) as server:
        check(server.frame_size == 8952, "memif carries jumbo frames")
        ask(*device(memif("client"), 2), *targets(), count=2000)
        ask(*device(memif("client"), 2), *targets(), "--size", "8952", count=100)
        stats = server.stop()
    check(stats["frames_dropped_receive"] == 0, f"memif lost or garbled frames: {stats}")
    check(stats["resolutions"] >= 4, "ARP and neighbour discovery were not asked")


def case_memif_queues():
    """Cores without a device queue are fed, and send, through the cores that have one."""
    with Server(*device(memif("server")), "--queues", "4") as server:
        ask(*device(memif("client"), 2), *targets(4), count=800)
        stats = server.stop()
    check(all(count >= 200 for count in stats["queues"]), f"a core was left out: {stats}")
    check(stats["frames_handed_over"] >= 600, f"nothing was handed over: {stats}")


def case_memif_restart():
    """Either side is killed without a word; the other goes on with whoever comes next."""
    with Server(*device(memif("server"))) as server:
        for _ in range(3):
            asker = subprocess.Popen([ECHO, "ask", *device(memif("client"), 2), *targets(), "--count", "1000000"],
                                     stdout=subprocess.PIPE, text=True)
            check(asker.stdout.readline() == "asking\n" and asker.poll() is None, "the asker ended by itself")
            asker.send_signal(signal.SIGKILL)
            asker.communicate()
            ask(*device(memif("client"), 2), *targets())
        server.stop()
    with Server(*device(memif("server"))) as server:
        asker = subprocess.Popen([ECHO, "ask", *device(memif("client"), 2), *targets(), "--count", "20000"],
                                 stdout=subprocess.PIPE, text=True)
        check(asker.stdout.readline() == "asking\n" and asker.poll() is None, "the asker ended by itself")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with Server(*device(memif("server"))) as server:
        out, _ = asker.communicate(timeout=60)
        check(asker.returncode == 0, f"the asker didn't find the next server: {out}")
        check(server.stop()["frames_sent"] > 0, "the next server was not asked")


# --- the kernel at the other end ---

def case_af_packet():
    with Net() as net, Server(*device("net_af_packet0,iface=ta"), namespace=net.a) as server:
        from_kernel(net, server)
        stats = server.stop()
    check(stats["echoes"] >= 12 and stats["resolutions"] >= 2 and stats["bad_checksum"] == 0, stats)


def case_af_packet_queues():
    with Net(queues=2) as net, Server(*device("net_af_packet0,iface=ta,qpairs=2"), "--queues", "3",
                                      namespace=net.a) as server:
        ask("--socket", "[::]:0", *targets(3), namespace=net.b, count=600)
        stats = server.stop()
    check(all(count >= 200 for count in stats["queues"]), f"a core was left out: {stats}")


def case_af_packet_jumbo():
    with Net(mtu=9000) as net, Server(*device("net_af_packet0,iface=ta,framesz=9216,blocksz=73728"),
                                      "--frame-size", "8952", namespace=net.a) as server:
        from_kernel(net, server)


def case_af_xdp():
    with Net() as net:
        try:
            server = Server(*device("net_af_xdp0,iface=ta,force_copy=1"), namespace=net.a)
        except AssertionError:
            skip("this kernel or DPDK has no AF_XDP for veth")
        with server:
            from_kernel(net, server)
            stats = server.stop()
    check(stats["echoes"] >= 12 and stats["bad_checksum"] == 0, stats)


def case_tap():
    """The kernel of the same namespace is the peer, behind the TAP's other side."""
    if not os.path.exists("/dev/net/tun"):
        skip("no /dev/net/tun")
    if "thread" in os.environ.get("TERN_SANITIZE", ""):
        skip("ThreadSanitizer holds back the signals by which DPDK's TAP driver counts what came")
    with Net() as net, Server(*device("net_tap0,iface=tt,mac=02:77:00:00:00:01"), namespace=net.a) as server:
        run("ip", "-n", net.a, "link", "set", "tt", "address", "02:77:00:00:00:02")
        run("ip", "-n", net.a, "address", "add", "10.77.0.2/24", "dev", "tt")
        run("ip", "-n", net.a, "address", "add", "fd77::2/64", "dev", "tt", "nodad")
        run("ip", "-n", net.a, "link", "set", "tt", "up")
        net.b = net.a
        from_kernel(net, server)
        server.stop()


# --- hostile frames ---

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ipv4(payload, protocol=17, fragment=0, options=b"", length=None, wrong=0):
    length = 20 + len(options) + len(payload) if length is None else length
    header = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, length, 0, fragment, 64, protocol, 0,
                         socket.inet_aton("10.77.0.2"), socket.inet_aton(IPV4)) + options
    total = checksum(header) ^ wrong
    return header[:10] + struct.pack("!H", total) + header[12:] + payload


def udp(payload, port=PORT, length=None, wrong=0):
    length = 8 + len(payload) if length is None else length
    datagram = struct.pack("!HHHH", 999, port, length, 0) + payload
    pseudo = socket.inet_aton("10.77.0.2") + socket.inet_aton(IPV4) + struct.pack("!BBH", 0, 17, length)
    total = (checksum(pseudo + datagram) or 0xffff) ^ wrong
    return datagram[:6] + struct.pack("!H", total) + datagram[8:]


def ipv6(payload, following, hops=255):
    return struct.pack("!IHBB", 6 << 28, len(payload), following, hops) + \
        socket.inet_pton(socket.AF_INET6, "fd77::2") + socket.inet_pton(socket.AF_INET6, IPV6) + payload


def hostile_frames(to):
    """Pairs of the counter that has to rise and the frame."""
    mac = bytes.fromhex(to.replace(":", "")) + bytes.fromhex("027700000099")
    v4, v6, arp = mac + b"\x08\x00", mac + b"\x86\xdd", mac + b"\x08\x06"
    yield "bad_checksum", v4 + ipv4(udp(b"wrong UDP checksum", wrong=0x55))
    yield "bad_checksum", v4 + ipv4(udp(b"wrong IP checksum"), wrong=0x55)
    yield "bad_checksum", v6 + ipv6(bytes([128, 0, 1, 2, 0, 0, 0, 0]), 58)
    # DPDK's AF_PACKET driver has the kernel put IPv4's fragments together, so those never come here.
    yield "fragments", v6 + ipv6(b"\x11\0\0\0\0\0\0\0", 44)
    yield "options", v4 + ipv4(udp(b"options"), options=b"\x01\x01\x01\x00")
    yield "options", v6 + ipv6(b"\x11\0\0\0\0\0\0\0", 0)
    yield "options", mac + b"\x81\x00\x00\x05\x08\x00" + ipv4(udp(b"VLAN"))
    yield "cut_short", v4 + ipv4(udp(b"IP length beyond the end"), length=1400)
    yield "cut_short", v4 + ipv4(udp(b"UDP length beyond the end", length=900))
    yield "cut_short", v4 + b"\x45\0\0\x14"
    yield "cut_short", v6 + b"\x60"
    yield "cut_short", v4 + ipv4(b"\0\1")
    yield "malformed", v4 + ipv4(udp(b"UDP length below a header", length=3))
    yield "malformed", v4 + ipv4(b"", length=7)
    yield "malformed", arp + b"\0\1\x08\0\6"
    yield "not_for_us", v4 + ipv4(udp(b"no such port", port=9))
    yield "not_for_us", v4 + ipv4(b"no such protocol", protocol=6)
    yield "not_for_us", mac + b"\x88\xcc" + b"no such type"
    yield "not_for_us", mac + b"\0\0"


def garbage(to, count):
    mac = bytes.fromhex(to.replace(":", "")) + bytes.fromhex("027700000099")
    chance = random.Random(1)
    for _ in range(count):
        kind = chance.choice((b"\x08\x00", b"\x86\xdd", b"\x08\x06", chance.randbytes(2)))
        begin = chance.choice((b"", b"\x45\0", b"\x60\0"))
        yield mac + kind + begin + chance.randbytes(chance.randrange(0, 1400))


def send_raw(folder):
    """What runs in namespace b: sends the frames that lie in a file."""
    with open(folder, "rb") as file, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("tb", 0))
        frames = json.load(file)
        for number, frame in enumerate(frames):
            raw.send(bytes.fromhex(frame))
            if number % 32 == 31:
                # The port's ring is finite; a pause lets the server keep up.
                import time
                time.sleep(0.002)


def raw(net, frames):
    path = f"{FOLDER}/frames"
    with open(path, "w", encoding="ascii") as file:
        json.dump([frame.hex() for frame in frames], file)
    run("ip", "netns", "exec", net.b, sys.executable, os.path.join(HERE, "test_port.py"), "--send", path)


def case_hostile():
    with Net(mtu=9000) as net, Server(*device("net_af_packet0,iface=ta"), namespace=net.a) as server:
        mac = json.loads(run("ip", "-n", net.a, "-j", "link", "show", "ta").stdout)[0]["address"]
        expected = list(hostile_frames(mac))
        oversize = [bytes.fromhex(mac.replace(":", "")) + b"\2\0\0\0\0\1\x08\x00" + ipv4(udp(bytes(4000)))] * 5
        ask("--socket", "[::]:0", *targets(), namespace=net.b)
        raw(net, [frame for _, frame in expected] * 10)
        raw(net, oversize)
        raw(net, garbage(mac, 5000))
        ask("--socket", "[::]:0", *targets(), namespace=net.b)
        stats = server.stop()
    for counter in {name for name, _ in expected}:
        sent = 10 * sum(name == counter for name, _ in expected)
        check(stats[counter] >= sent, f"{counter}: {stats[counter]} of at least {sent}: {stats}")
    check(stats["frames_dropped_receive"] >= 10 * len(expected) + len(oversize) + 4000, stats)


def main():
    if sys.argv[1] == "--send":
        send_raw(sys.argv[2])
        return
    try:
        globals()["case_" + sys.argv[1]]()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


main()
