#!/usr/bin/env python3
"""What subscriptions cost: their memory, the time and the work until a change has reached all who watch, and a storm of refreshes.

    bench/subscriptions.py [EXECUTABLE] [--watchers 100000] [--of-one 10000] [--redis] [--bound]

Watchers are dialogs on a few sockets, each with a Call-ID of its own; every NOTIFY is answered 200. `--of-one` of them watch one user,
the others a thousand each; all in package presence, and let in by the policies of those users. `--bound` makes an error of what is worse
than it has to be: a request without an answer, or watchers of one user who are not all told. `--redis` keeps everything in a Redis of
its own and restarts Carillon before the storm."""

import argparse
import glob
import os
import re
import selectors
import socket
import subprocess
import sys
import time

SOCKETS = 8
WINDOW = 400  # requests without an answer at a time
STORM = 4_000  # the same in the storm: what phones do after a restart
T1 = 0.5
GIVE_UP = 64 * T1
EACH = 1_000  # watchers of each further user


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("executable", nargs="?", default="target/release/carillon")
    parser.add_argument("--watchers", type=int, default=100_000)
    parser.add_argument("--of-one", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--settle", type=float, default=40, help="seconds until transactions are forgotten")
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--bound", action="store_true")
    return parser.parse_args()


class Server:
    """Carillon as one process."""

    def __init__(self, executable, watchers, store):
        self.executable, self.watchers, self.store = executable, watchers, store
        self.sip = "127.0.0.1:0"
        self.start()

    def start(self):
        environment = dict(
            os.environ,
            CARILLON_LIMITS_WATCHERS=str(self.watchers),
            CARILLON_LIMITS_SOURCE_REQUESTS="1000000",
            CARILLON_LIMITS_LADDER_MESSAGES="0",
        )
        serve = ["serve", "--auth=none", "--api=127.0.0.1:0", "--admin=127.0.0.1:0", f"--sip=udp://{self.sip}", *self.store]
        self.process = subprocess.Popen([self.executable, *serve], stdout=subprocess.PIPE, text=True, env=environment)
        ready = self.process.stdout.readline()
        self.sip = re.search(r"udp://(\S+?)[, ]", ready)[1]
        self.api = re.search(r"api=(\S+)", ready)[1]
        host, port = self.sip.rsplit(":", 1)
        self.address = (host, int(port))

    def command(self, *words):
        subprocess.run([self.executable, *words, "--api", self.api], check=True, stdout=subprocess.DEVNULL)

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) * 1024

    def cpu_ns(self):
        total = 0
        for path in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            try:
                with open(path) as counted:
                    total += int(counted.read().split()[0])
            except FileNotFoundError:
                pass  # a thread that has ended meanwhile
        return total

    def stop(self):
        self.process.kill()
        self.process.wait()


class Watcher:
    __slots__ = ("number", "user", "socket", "cseq", "to", "target", "notified", "told")

    def __init__(self, number, user, at):
        self.number, self.user, self.socket = number, user, at
        self.cseq, self.to, self.target, self.notified, self.told = 0, "", "", 0, 0.0

    def subscribe(self):
        self.cseq += 1
        port = self.socket.getsockname()[1]
        name = f"<sip:{self.user}@localhost>"
        return (
            f"SUBSCRIBE {self.target or name[1:-1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKw{self.number}c{self.cseq}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:w{self.number}@localhost>;tag=w\r\nTo: {self.to or name}\r\n"
            f"Call-ID: w{self.number}\r\nCSeq: {self.cseq} SUBSCRIBE\r\nContact: <sip:w{self.number}@127.0.0.1:{port}>\r\n"
            "Event: presence\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
        ).encode()


FIELDS = re.compile(rb"\r\n(Via|From|To|CSeq|Call-ID|Contact): ([^\r]*)")


class Load:
    """All watchers and their sockets."""

    def __init__(self, server, count, of_one):
        self.server = server
        self.selector = selectors.DefaultSelector()
        self.sockets = []
        for _ in range(SOCKETS):
            at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            at.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
            at.bind(("127.0.0.1", 0))
            at.setblocking(False)
            self.selector.register(at, selectors.EVENT_READ)
            self.sockets.append(at)
        users = ["hot"] * of_one + [f"u{number // EACH}" for number in range(count - of_one)]
        self.users = sorted(set(users))
        self.watchers = [Watcher(n, user, self.sockets[n % SOCKETS]) for n, user in enumerate(users)]
        self.open = {}
        self.took, self.lost, self.refused = [], 0, 0

    def poll(self, patience):
        for key, _ in self.selector.select(patience):
            for _ in range(256):
                try:
                    data = key.fileobj.recv(65535)
                except BlockingIOError:
                    break
                self.take(key.fileobj, data)

    def take(self, at, data):
        head = data.split(b"\r\n\r\n", 1)[0]
        fields = dict(reversed(FIELDS.findall(head)))
        watcher = fields.get(b"Call-ID", b"").split(b"@")[0]
        if not watcher.startswith(b"w"):
            return
        watcher = self.watchers[int(watcher[1:])]
        if data.startswith(b"NOTIFY "):
            lines = [b"SIP/2.0 200 OK"]
            lines += [b": ".join(field) for field in FIELDS.findall(head) if field[0] != b"Contact"]
            at.sendto(b"\r\n".join(lines) + b"\r\nContent-Length: 0\r\n\r\n", self.server.address)
            cseq = int(fields[b"CSeq"].split()[0])
            if cseq > watcher.notified:
                watcher.notified, watcher.told = cseq, time.monotonic()
            return
        status = int(data[8:11])
        asked = self.open.pop(watcher.number, None) if status >= 200 else None
        if asked is None:
            return
        self.took.append(time.monotonic() - asked[0])
        if status != 200:
            self.refused += 1
            return
        watcher.to = fields[b"To"].decode()
        watcher.target = fields[b"Contact"].decode().split("<")[1].split(">")[0]

    def subscribe_all(self, window):
        """Each watcher subscribes, or refreshes: how long it took, and what became of it."""
        self.took, self.lost, self.refused = [], 0, 0
        begun, waiting = time.monotonic(), iter(self.watchers)
        is_over, look = False, 0.0
        while self.open or not is_over:
            while len(self.open) < window and not is_over:
                watcher = next(waiting, None)
                if watcher is None:
                    is_over = True
                    break
                text, now = watcher.subscribe(), time.monotonic()
                self.open[watcher.number] = [now, now + T1, T1, text, watcher]
                watcher.socket.sendto(text, self.server.address)
                if len(self.open) % 64 == 0:
                    self.poll(0)
            self.poll(0.01)
            now = time.monotonic()
            if now - look > 0.1:
                look = now
                self.repeat(now)
        return time.monotonic() - begun

    def repeat(self, now):
        for number, asked in list(self.open.items()):
            since, again, pause, text, watcher = asked
            if now - since > GIVE_UP:
                del self.open[number]
                self.lost += 1
            elif now >= again:
                asked[2] = min(2 * pause, 4.0)
                asked[1] = now + asked[2]
                watcher.socket.sendto(text, self.server.address)

    def until(self, is_it, most):
        end = time.monotonic() + most
        while not is_it() and time.monotonic() < end:
            self.poll(0.01)
        return is_it()

    def quiet(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.poll(0.1)


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def register(load, user):
    at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    at.bind(("127.0.0.1", 0))
    at.settimeout(5)
    port = at.getsockname()[1]
    text = (
        f"REGISTER sip:localhost SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKr{user}\r\nMax-Forwards: 70\r\n"
        f"From: <sip:{user}@localhost>;tag=r\r\nTo: <sip:{user}@localhost>\r\nCall-ID: r-{user}\r\nCSeq: 1 REGISTER\r\n"
        f"Contact: <sip:{user}@127.0.0.1:{port}>;expires=7200\r\nContent-Length: 0\r\n\r\n"
    )
    at.sendto(text.encode(), load.server.address)
    assert b" 200 " in at.recv(65535)[:12], f"{user} is not registered"
    at.close()


def measure(options, server):
    load = Load(server, options.watchers, options.of_one)
    for user in load.users:
        register(load, user)
        server.command("presence", "policy", "set", f"sip:{user}@localhost", "--default", "allow")
    faults = []

    def story(what, took):
        times = f"p50 {percentile(load.took, 0.5) * 1e3:.0f} ms, p99 {percentile(load.took, 0.99) * 1e3:.0f} ms"
        count = len(load.watchers)
        print(f"{what}: {count} in {took:.1f} s ({count / took:.0f}/s), {times}, refused {load.refused}, without answer {load.lost}")
        if load.refused or load.lost:
            faults.append(f"{what}: {load.refused} were refused, {load.lost} had no answer")

    before = server.resident_bytes()
    story("subscribe", load.subscribe_all(WINDOW))
    all_told = load.until(lambda: all(watcher.notified for watcher in load.watchers), 60)
    if not all_told:
        faults.append("not every watcher had its first NOTIFY")
    at_once = (server.resident_bytes() - before) / len(load.watchers)
    load.quiet(options.settle)
    later = (server.resident_bytes() - before) / len(load.watchers)
    print(f"memory of a subscription: {at_once:.0f} octets at once, {later:.0f} when its transactions are forgotten")

    hot = [watcher for watcher in load.watchers if watcher.user == "hot"]
    for turn in range(options.changes):
        known = {watcher.number: watcher.notified for watcher in hot}
        cpu, begun = server.cpu_ns(), time.monotonic()
        server.command("presence", "publish", "sip:hot@localhost", "--state", "open", "--note", f"turn {turn}")
        is_told = load.until(lambda: all(watcher.notified > known[watcher.number] for watcher in hot), 30)
        told = [watcher for watcher in hot if watcher.notified > known[watcher.number]]
        last = max((watcher.told for watcher in told), default=begun)
        load.quiet(1)
        each = (server.cpu_ns() - cpu) / max(len(told), 1) / 1e3
        print(f"a change reaches {len(told)} of {len(hot)} in {last - begun:.2f} s, {each:.0f} µs of CPU for a NOTIFY")
        if not is_told:
            faults.append(f"a change reached {len(told)} of {len(hot)}")
        load.quiet(5)

    if options.redis:
        server.stop()
        server.start()
    story("storm of refreshes" + (" after a restart" if options.redis else ""), load.subscribe_all(STORM))
    load.quiet(1)
    return faults


def main():
    options = arguments()
    redis, store = None, []
    if options.redis:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        redis = subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        time.sleep(1)
        store = ["--redis", f"redis://127.0.0.1:{port}"]
    server = Server(options.executable, max(options.of_one, EACH), store)
    try:
        faults = measure(options, server)
    finally:
        server.stop()
        if redis:
            redis.kill()
            redis.wait()
    if options.bound and faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
