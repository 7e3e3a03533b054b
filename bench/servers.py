"""Starting, measuring and stopping the servers of the bench. Everything listens on 127.0.0.1 and is ended by process id."""
import glob
import os
import signal
import socket
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
DOMAIN = "bench.example"


def free_port():
    """A port that is free for UDP and TCP now."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port = udp.getsockname()[1]
            try:
                tcp.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("bench: no free port")


def family(pid):
    """A process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        for task in glob.glob(f"/proc/{pid}/task/*/children"):
            try:
                with open(task) as file:
                    todo += [int(child) for child in file.read().split()]
            except OSError:
                pass
    return found


class Process:
    """One server process (with its children), pinned to its cores, its output kept in a file."""

    def __init__(self, part, arguments, core, folder, environment=None):
        self.part = part
        self.log_path = os.path.join(folder, f"{part}.log")
        cores = ",".join(str(one) for one in (core if isinstance(core, set) else {core}))
        with open(self.log_path, "w") as log:
            # Nothing of Python's runs in the child: the bench may have threads by now.
            self.child = subprocess.Popen(
                ["taskset", "-c", cores, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder,
                env={**os.environ, **(environment or {})})

    def cpu_ns(self):
        """Nanoseconds on a CPU so far, exactly as the scheduler counts them."""
        total = 0
        for pid in family(self.child.pid):
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                try:
                    with open(path) as file:
                        total += int(file.read().split()[0])
                except OSError:
                    pass
        return total

    def memory_bytes(self):
        """Proportional set size: shared pages are counted once over all children."""
        total = 0
        for pid in family(self.child.pid):
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
            except OSError:
                pass
        return total

    def log_tail(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()[-1500:]

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                for pid in family(self.child.pid):
                    os.kill(pid, signal.SIGKILL)
                self.child.wait(5)


class Server:
    """What is measured: one or several processes that answer SIP on one port."""

    def __init__(self, name, core, folder):
        self.name, self.core, self.folder = name, core, folder
        self.port, self.redis_port, self.processes = free_port(), 0, []

    def run(self, part, arguments, environment=None):
        self.processes.append(Process(part, arguments, self.core, self.folder, environment))
        return self.processes[-1]

    def wait_for(self, what, ready, limit=20):
        end = time.monotonic() + limit
        while not ready():
            ended = [p for p in self.processes if p.child.poll() is not None]
            if ended or time.monotonic() > end:
                told = "\n".join(f"--- {p.part}\n{p.log_tail()}" for p in ended or self.processes)
                raise SystemExit(f"bench: {self.name}: {what} did not start\n{told}")
            time.sleep(0.05)

    def start_redis(self):
        port = free_port()
        self.run("redis", ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        self.wait_for("redis", lambda: redis(port, "PING").startswith("+PONG"))
        self.redis_port = port
        return port

    def cpu_ns(self):
        return {process.part: process.cpu_ns() for process in self.processes}

    def memory_bytes(self):
        """Octets of each process: resident ones; of Redis those of its data, which its own pages (copies, fragments) would hide."""
        return {process.part: self.redis_bytes() if process.part == "redis" else process.memory_bytes() for process in self.processes}

    def redis_bytes(self):
        told = redis(self.redis_port, "INFO", "memory")
        return next(int(line.split(":")[1]) for line in told.splitlines() if line.startswith("used_memory:"))

    def stop(self):
        for process in reversed(self.processes):
            process.stop()


def redis(port, *words):
    """One command to Redis, and the beginning of its answer; empty when nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            command = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{command}".encode())
            return connection.recv(4096).decode(errors="replace")
    except OSError:
        return ""


def answers_sip(port):
    """Whether somebody answers OPTIONS, whatever he says."""
    request = (f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKready\r\n"
               f"Max-Forwards: 1\r\nFrom: <sip:bench@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1:{port}>\r\nCall-ID: ready\r\n"
               "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.2)
        try:
            udp.connect(("127.0.0.1", port))
            udp.send(request.encode())
            return udp.recv(2000).startswith(b"SIP/2.0")
        except OSError:
            return False


def kamailio(mode, core, folder, name="Kamailio", more=()):
    """Kamailio with its fastest allocator; digest and Redis as the mode says."""
    server = Server(name, core, folder)
    modules = glob.glob("/usr/lib/*/kamailio/modules/")
    if not modules:
        raise SystemExit("bench: Kamailio's modules are not installed: scripts/install-test-deps --bench")
    redis_port = 0
    defines = ["CHILDREN=4", *more]
    if mode == "redis":
        redis_port = server.start_redis()
        redis(redis_port, "HSET", "version:entry::location", "table_version", "9")
        redis(redis_port, "HSET", "version:entry::location_attrs", "table_version", "1")
        redis(redis_port, "HSET", "version:entry::dialog", "table_version", "7")
        redis(redis_port, "HSET", "version:entry::dialog_vars", "table_version", "1")
        defines.append("WITH_REDIS")
    if mode == "digest":
        defines.append("WITH_DIGEST")
    with open(f"{HERE}/kamailio/kamailio.cfg") as file:
        text = file.read()
    for name, value in (("PORT", server.port), ("RUN", folder), ("MODULES", modules[0]), ("REDIS", redis_port)):
        text = text.replace(f"@{name}@", str(value))
    with open(os.path.join(folder, "kamailio.cfg"), "w") as file:
        file.write(text)
    server.run("kamailio", ["kamailio", "-f", os.path.join(folder, "kamailio.cfg"), "-DD", "-E", "-m", "2048", "-M", "64",
                            "-b", "4194304", "-Y", folder, "-x", "tlsf", "-X", "tlsf",
                            *[word for define in defines for word in ("-A", define)]])
    server.wait_for("kamailio", lambda: answers_sip(server.port))
    return server


def kamailio_dialog(mode, core, folder):
    """Kamailio that keeps a record of each call."""
    return kamailio(mode, core, folder, "Kamailio, dialogs", ["WITH_DIALOG"])


APART = (("registrar", "registrar"), ("others", "presence,call-control"), ("edge", "edge"))


def carillon(mode, core, folder, apart=APART):
    """All-in-one with the embedded store; in mode redis the services apart, with Redis and gRPC between them: parts and their roles."""
    server = Server("Carillon", core, folder)
    executable = os.path.abspath(os.environ["CARILLON"])
    auth = "digest" if mode == "digest" else "none"
    admins = []

    def serve(part, roles, api, *more):
        admin = free_port()
        admins.append(admin)
        server.run(part, [executable, "serve", "--id", f"bench-{part}", "--roles", roles, "--domain", DOMAIN, "--auth", auth,
                          "--sip", f"udp://127.0.0.1:{server.port if 'edge' in roles else free_port()}",
                          "--api", f"127.0.0.1:{api}", "--admin", f"127.0.0.1:{admin}", *more],
                   # Several full loads within the 32 s that transactions are remembered are more than the usual bound.
                   {"RUST_LOG": "warn", "CARILLON_LIMITS_TRANSACTIONS": "4000000"})

    if mode == "redis":
        store = ["--redis", f"redis://127.0.0.1:{server.start_redis()}"]
        # Each needs the others' addresses before they are started: the gRPC ports are chosen first.
        api = {part: free_port() for part, _ in apart}
        peers = []
        for part, roles in apart:
            for role in roles.split(","):
                peers += ["--peers", f"{role}=http://127.0.0.1:{api[part]}"]
        for part, roles in apart:
            serve(part, roles, api[part], *peers, *(store if part != "edge" else []))
        server.api = api["registrar"]
        server.calls_api = next(api[part] for part, roles in apart if "call-control" in roles)
    else:
        server.api = server.calls_api = free_port()
        serve("carillon", "edge,registrar,presence,call-control", server.api)

    def is_ready(admin):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    server.wait_for("carillon", lambda: all(is_ready(admin) for admin in admins))
    return server
