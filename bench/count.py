"""Instructions of whole transactions in one process, counted by valgrind: the same on a busy machine.

Drives the executable that CARILLON names with target/bench/sipload, a few transactions at a time, and prints what one takes,
all that a process does meanwhile included. valgrind knows no SHA instructions: each block that is hashed counts as 3,370.
"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

import servers
from compare import LOAD

KINDS = ("register", "digest", "message", "call")
USERS, WINDOW, SECONDS, SLOW = 100, 8, 5, 120


class Counted(servers.Server):
    """A server of which one process runs under callgrind, which counts when it is told to."""

    def __init__(self, name, core, folder):
        super().__init__(name, core, folder)
        self.out = os.path.join(folder, "callgrind.out")

    def run(self, part, arguments, environment=None):
        if part == options.part:
            arguments = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.out}", *arguments]
        return super().run(part, arguments, environment)

    def wait_for(self, what, ready, limit=SLOW):
        super().wait_for(what, ready, limit)

    def control(self, *words):
        pid = next(process.child.pid for process in self.processes if process.part == options.part)
        subprocess.run(["callgrind_control", *words, str(pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def counted(self):
        """Instructions since the last dump, which this one is."""
        self.control("-d")
        newest = max(glob.glob(self.out + ".*"), key=lambda path: int(path.rsplit(".", 1)[1]))
        if options.keep:
            shutil.copy(newest, options.keep)
        with open(newest) as file:
            return int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M).group(1))


def load(server, callee, kind, seconds):
    words = [LOAD, kind, server.port, 0, seconds, WINDOW, USERS, callee]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    if not told["done"] or told["failed"] or told["lost"]:
        raise SystemExit(f"count: {kind}: {told}")
    return told["done"]


def count(kind, folder):
    """Instructions of one transaction of this kind."""
    servers.Server = Counted
    server = servers.carillon("digest" if kind == "digest" else options.mode, 1, folder)
    callee_port, callee = servers.free_port(), None
    try:
        if kind == "digest":
            import accounts
            accounts.create(server.api, USERS, servers.DOMAIN, "secret")
        load(server, callee_port, "digest" if kind == "digest" else "register", SECONDS)
        if kind in ("call", "message"):
            callee = servers.Process("callee", [LOAD, "answer", str(callee_port), "600"], 0, folder)
        load(server, callee_port, kind, 1)
        server.control("-i", "on")
        server.control("-z")
        done = load(server, callee_port, kind, SECONDS)
        return server.counted() // done
    finally:
        if callee:
            callee.stop()
        server.stop()


def main():
    folder = tempfile.mkdtemp(prefix="carillon-count-")
    try:
        for kind in options.kinds:
            print(f"{kind}: {count(kind, folder)} instructions", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=KINDS, default=["register", "call"])
    parser.add_argument("--mode", choices=["memory", "redis"], default="memory")
    parser.add_argument("--part", default="carillon", help="the process that is counted: with redis edge, registrar or others")
    parser.add_argument("--keep", help="where to copy callgrind's file, for callgrind_annotate")
    options = parser.parse_args()
    main()
