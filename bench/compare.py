"""Kamailio and Carillon on the same core, one after the other, several rounds; prints them side by side.

Each point is driven by target/bench/sipload from another core. A server's cost is the time that its processes spent on
a CPU (from the scheduler's own counters) divided by the requests that were answered well. Medians over the rounds.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import servers

ROOT = os.path.dirname(servers.HERE)
LOAD = os.path.join(ROOT, "target/bench/sipload")

# mode, what is sent, requests a second (0: as many as it can), how many under way at most
POINTS = [
    ("memory", "register", 0, 64), ("memory", "register", 1000, 1000), ("memory", "call", 0, 32), ("memory", "call", 500, 1000),
    ("memory", "message", 0, 64), ("memory", "message", 1000, 1000),
    ("digest", "digest", 0, 64), ("digest", "digest", 1000, 1000),
    ("redis", "register", 0, 64), ("redis", "register", 1000, 1000), ("redis", "call", 0, 32), ("redis", "call", 500, 1000),
    ("redis", "message", 0, 64), ("redis", "message", 1000, 1000),
]
MODES = {"memory": "in memory", "digest": "in memory, with digest", "redis": "bindings in Redis"}
WORK = {"register": "REGISTER", "digest": "REGISTER, 401, REGISTER", "call": "call: INVITE to BYE", "message": "MESSAGE, relayed"}


def load(options, server, callee, kind, rate, window, seconds, users):
    """One run of the load generator; its figures."""
    words = [LOAD, kind, server.port, rate, seconds, window, users, callee]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=seconds + 30,
                          preexec_fn=lambda: os.sched_setaffinity(0, {options.load_core}))
    if done.returncode:
        raise SystemExit(f"bench: sipload {kind}: {done.stderr}")
    return json.loads(done.stdout)


def register_everybody(options, server, callee, kind, users):
    """Registers each user at least once. The load generator begins with user 0 in every run, so one run must reach them all."""
    seconds = 2
    while seconds < 200:
        told = load(options, server, callee, kind, 0, 32, seconds, users)
        if told["failed"] or not told["done"]:
            raise SystemExit(f"bench: {server.name}: users cannot be registered: {told}\n{server.processes[-1].log_tail()}")
        if told["done"] >= users:
            return
        seconds = 1 + 1.2 * seconds * users / told["done"]
    raise SystemExit(f"bench: {server.name} takes longer than {seconds:.0f} s to register {users} users")


# What a server does later for what it was asked (telling of calls, writing behind) is part of its cost, and none of the next point's.
QUIET_SECONDS, QUIET_SHARE, PATIENCE_SECONDS = 0.3, 0.1, 30


def wait_until_quiet(server):
    """Returns when all processes of the server together took less than a tenth of a core for a moment."""
    end = time.monotonic() + PATIENCE_SECONDS
    before = sum(server.cpu_ns().values())
    while time.monotonic() < end:
        time.sleep(QUIET_SECONDS)
        now = sum(server.cpu_ns().values())
        if now - before < QUIET_SHARE * QUIET_SECONDS * 1e9:
            return
        before = now
    raise SystemExit(f"bench: {server.name} is still busy {PATIENCE_SECONDS} s after the load")


def measure(options, server, callee, point, users):
    mode, kind, rate, window = point
    wait_until_quiet(server)
    before = server.cpu_ns()
    told = load(options, server, callee, kind, rate, window, options.seconds, users)
    wait_until_quiet(server)
    after = server.cpu_ns()
    answered = max(told["done"], 1)
    cost = {part: (after[part] - before[part]) / 1000 / answered for part in after}
    return {"server": server.name, "mode": mode, "kind": kind, "target": rate, "cost_us": cost, "total_us": sum(cost.values()), **told}


# A REGISTER is remembered for 64*T1, to recognise its repetitions; what a binding takes shows after that.
TRANSACTION_SECONDS = 33
# Registrations a second while memory is measured: far below what either server can do, so that each user registers once.
CALM_RATE = 4000


def memory_per_binding(options, start, mode, folder, users):
    """Growth of each process over one registration of each user: at once, and when its transactions have ended. Of Redis it is the
    memory that its data takes, as Redis counts it."""
    server = start(mode, options.server_core, folder)
    try:
        phones = servers.free_port()
        # Fills what is bounded (the ring of recent messages), without a burst whose memory would be used again later.
        load(options, server, phones, "register", CALM_RATE, 400, 5, 500)
        time.sleep(TRANSACTION_SECONDS)
        before = server.memory_bytes()
        told = load(options, server, phones, "register", CALM_RATE, 400, users / CALM_RATE, users)
        at_once = server.memory_bytes()
        time.sleep(TRANSACTION_SECONDS)
        after = server.memory_bytes()
        each = lambda now: {part: (now[part] - before[part]) / max(told["done"], 1) for part in now}
        return each(at_once), each(after)
    finally:
        server.stop()


def is_measured(options, start, point):
    """Whether this server is measured at this point: the one that keeps records of calls is there for calls alone."""
    mode, kind = point[:2]
    if start is servers.kamailio_dialog and (kind != "call" or mode == "digest"):
        return False
    return not options.only or kind in options.only


def one_server(options, start, mode, folder, results):
    points = [point for point in POINTS if point[0] == mode and is_measured(options, start, point)]
    if not points:
        return
    users = options.digest_users if mode == "digest" else options.users
    server = start(mode, options.server_core, folder)
    callee_port, callee = servers.free_port(), None
    try:
        if mode == "digest" and server.name == "Carillon":
            import accounts
            accounts.create(server.api, users, servers.DOMAIN, "secret")
        register_everybody(options, server, callee_port, "digest" if mode == "digest" else "register", users)
        for point in points:
            # Registrations come from the callee's port: it answers only when all of them are done.
            if point[1] in ("call", "message") and not callee:
                callee = servers.Process("callee", [LOAD, "answer", str(callee_port), "600"], options.load_core, folder)
            results.append(measure(options, server, callee_port, point, users))
            told = results[-1]
            print(f'  {told["server"]:<17} {WORK[told["kind"]]:<24} {told["rate"]:>8.0f}/s  {told["total_us"]:>7.1f} µs', flush=True)
    finally:
        if callee:
            callee.stop()
        server.stop()


def parts(rows):
    """Median cost of each process: "edge 12.0 + registrar 8.1"."""
    names = rows[0]["cost_us"]
    return " + ".join(f'{name} {statistics.median(row["cost_us"][name] for row in rows):.1f}' for name in names)


def table(results, memory):
    median = lambda rows, key: statistics.median(row[key] for row in rows)
    print("\nµs of CPU per transaction (per call); rate is what one core did, or what was asked for; median of the rounds\n")
    print(f'{"":<25}{"load":>9} | {"Kamailio":>9} {"Carillon":>9} {"ratio":>6} | {"rate K":>8} {"rate C":>8} | {"p50 K":>7} {"p50 C":>7} | {"p99 K":>7} {"p99 C":>7}  µs')
    split, doubtful = [], False
    for mode, title in MODES.items():
        rows_of_mode = [row for row in results if row["mode"] == mode]
        if not rows_of_mode:
            continue
        print(f"{title}")
        for _, kind, rate, _ in [point for point in POINTS if point[0] == mode]:
            here = [row for row in rows_of_mode if row["kind"] == kind and row["target"] == rate]
            of = {name: [row for row in here if row["server"] == name] for name in ("Kamailio", "Kamailio, dialogs", "Carillon")}
            c = of["Carillon"]
            if not of["Kamailio"] or not c:
                continue
            for name, title in (("Kamailio", WORK[kind]), ("Kamailio, dialogs", "  beside one with dialogs")):
                k = of[name]
                if not k:
                    continue
                bad = sum(row["failed"] + row["lost"] for row in k + c) > 0.001 * sum(row["done"] for row in k + c)
                doubtful |= bad
                ratio = median(c, "total_us") / median(k, "total_us")
                print(f'  {title:<23}{f"{rate}/s" if rate else "full":>9} | {median(k, "total_us"):>9.1f} {median(c, "total_us"):>9.1f} {ratio:>6.2f} |'
                      f' {median(k, "rate"):>8.0f} {median(c, "rate"):>8.0f} | {median(k, "p50_us"):>7.0f} {median(c, "p50_us"):>7.0f} |'
                      f' {median(k, "p99_us"):>7.0f} {median(c, "p99_us"):>7.0f}{"  !" if bad else ""}')
            if mode == "redis":
                told = "; ".join(f"{name}: {parts(rows)}" for name, rows in of.items() if rows)
                split.append(f'  {WORK[kind]}, {f"{rate}/s" if rate else "full"}: {told}')
    tell_memory(memory)
    if split:
        print("\nwhere it goes with Redis (µs)\n" + "\n".join(split))
    if doubtful:
        print("\n! more than one in a thousand failed or was lost: do not compare that line")


def tell_memory(memory):
    """What a binding takes, in all and in each process, by mode and server."""
    if memory:
        print("\noctets per binding, when the transactions have ended")
    for (mode, name), (at_once, after) in memory.items():
        told = f"{sum(after.values()):.0f} ({sum(at_once.values()):.0f} at once)"
        of_it = ", ".join(f"{part} {octets:.0f}" for part, octets in after.items()) if len(after) > 1 else ""
        print(f"  {MODES[mode]}: {name} {told}{': ' if of_it else ''}{of_it}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="length of each point")
    parser.add_argument("--users", type=int, default=10000)
    parser.add_argument("--digest-users", type=int, default=2000)
    parser.add_argument("--memory-users", type=int, default=100000, help="bindings of the memory measurement; 0 leaves it out")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=list(MODES))
    parser.add_argument("--only", nargs="+", choices=list(WORK), help="only this work")
    parser.add_argument("--servers", nargs="+", choices=["kamailio", "kamailio_dialog", "carillon"],
                        default=["kamailio", "kamailio_dialog", "carillon"])
    parser.add_argument("--server-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument("--results", default=os.path.join(ROOT, "target/bench/results.jsonl"))
    options = parser.parse_args()
    starts = [getattr(servers, name) for name in options.servers]

    results, memory = [], {}
    folder = tempfile.mkdtemp(prefix="carillon-bench-")
    try:
        for round_number in range(1, options.rounds + 1):
            for mode in options.modes:
                print(f"round {round_number}, {MODES[mode]}", flush=True)
                for start in starts:
                    one_server(options, start, mode, folder, results)
        for mode in options.modes:
            if not options.memory_users or mode == "digest":
                continue
            print(f"memory of bindings, {MODES[mode]}", flush=True)
            for start in starts:
                name = {"kamailio": "Kamailio", "carillon": "Carillon"}.get(start.__name__)
                if name:
                    memory[mode, name] = memory_per_binding(options, start, mode, folder, options.memory_users)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with open(options.results, "a") as file:
        file.writelines(json.dumps(row) + "\n" for row in results)
    if servers.kamailio in starts and servers.carillon in starts:
        table(results, memory)
    else:
        tell_memory(memory)


if __name__ == "__main__":
    sys.exit(main())
