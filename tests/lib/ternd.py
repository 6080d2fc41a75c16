# SPDX-License-Identifier: Apache-2.0
"""Starts and stops a ternd for tests, and waits until it says that it is ready.

Everything that it makes lies in one temporary folder: configuration, DPDK's run-time files, log.
"""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

SOURCE = os.environ.get("TERN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TERN_BUILD") or os.path.join(SOURCE, "build")
TERN = os.path.join(BUILD, "tern")
TERND = os.path.join(BUILD, "ternd")
DATA = os.path.join(SOURCE, "tests", "data")

READY_SECONDS = 60


def free_port(count=1):
    """A UDP port of the loopback with 'count' free ports from it on."""
    while True:
        sockets = []
        try:
            first = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sockets.append(first)
            first.bind(("127.0.0.1", 0))
            base = first.getsockname()[1]
            for i in range(1, count):
                sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sockets[-1].bind(("127.0.0.1", base + i))
            return base
        except (OSError, OverflowError):
            continue
        finally:
            for one in sockets:
                one.close()


def run_tern(*args, timeout=120):
    return subprocess.run([TERN, *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False)


def build_collection(folder, name="words", base="words100_base.fbin", metric="cosine", shards=4):
    """tern build of a data set that ships; returns the folder."""
    out = os.path.join(folder, name)
    result = run_tern("build", "--base", os.path.join(DATA, base), "--out", out, "--collection", name, "--metric",
                      metric, "--shards", shards, "--json")
    if result.returncode:
        raise RuntimeError(result.stderr)
    return out


def first_rows(path, count, to):
    """The first vectors of an .fbin file, in a file of their own; returns its path."""
    with open(path, "rb") as file:
        _, dim = struct.unpack("<II", file.read(8))
        rows = file.read(count * dim * 4)
    with open(to, "wb") as file:
        file.write(struct.pack("<II", count, dim) + rows)
    return to


# What a slow_tern() is ahead of who reads its lines, at most: its pipe and its own buffer.
AHEAD_BYTES = 2 * 4096


@contextlib.contextmanager
def slow_tern(folder, *args):
    """A tern whose output goes into a pipe of a page, so that it waits for who reads its lines.

    Gives the process, and a function that reads what it complained of so far.
    """
    log = os.path.join(folder, "errors")

    def errors():
        with open(log, encoding="utf-8") as file:
            return file.read()
    with open(log, "w", encoding="utf-8") as file, \
            subprocess.Popen([TERN, *map(str, args)], stdout=subprocess.PIPE, stderr=file, text=True) as tern:
        fcntl.fcntl(tern.stdout, fcntl.F_SETPIPE_SZ, 4096)
        try:
            yield tern, errors
        finally:
            tern.kill()


class Ternd:
    """with Ternd(data=FOLDER) as node: node.server is its address."""

    def __init__(self, data, cores=1, extra="", port=None, memif=False, rdma=None, address=None):
        self.folder = tempfile.mkdtemp(prefix="tern-test-")
        self.port = port or free_port(cores)
        self.server = f"{rdma or address or ('10.77.0.1' if memif else '127.0.0.1')}:{self.port}"
        self.device = f"net_memif0,socket={self.folder}/memif,socket-abstract=no,role="  # + server or client
        kind = "kind: socket"
        if memif:
            kind = f"kind: dpdk\n  prefix_length: 24\n  device: {json.dumps(self.device + 'server')}"
            extra += "auth: none\n"
        elif rdma:  # the address of a verbs device
            kind = "kind: rdma"
        self.prefix = f"tern-test-{os.getpid()}-{self.port}"
        self.config = os.path.join(self.folder, "tern.yaml")
        self.log = os.path.join(self.folder, "log")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f"data: {json.dumps(data)}\ncores: {cores}\nport:\n  {kind}\n  listen: {self.server}\n"
                       f"dpdk:\n  file_prefix: {self.prefix}\n  memory: 64MiB\n{extra}\n")
        self.process = None

    def start(self):
        notify = os.path.join(self.folder, "notify")
        if os.path.exists(notify):
            os.unlink(notify)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(self.log, "ab") as log:
            ready.bind(notify)
            ready.settimeout(0.2)
            self.process = subprocess.Popen(
                [TERND, "--config", self.config], stdout=log, stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": notify, "RUNTIME_DIRECTORY": self.folder})
            end = time.monotonic() + READY_SECONDS
            while time.monotonic() < end:
                if self.process.poll() is not None:
                    raise RuntimeError(f"ternd ended with {self.process.returncode}: {self.read_log()}")
                try:
                    if b"READY=1" in ready.recv(4096):
                        return self
                except socket.timeout:
                    continue
            self.stop()
            raise RuntimeError(f"ternd wasn't ready after {READY_SECONDS} s: {self.read_log()}")

    def read_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self):
        """SIGTERM, then SIGKILL; returns the exit status."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
