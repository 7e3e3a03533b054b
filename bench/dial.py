#!/usr/bin/env python3
"""What calls cost that an application dials: the time from Dial to the INVITE on the wire, how many of them are carried each second, and their
memory.

    bench/dial.py [--short] [--rate 100] [--seconds 10] [--ramp 250,500,1000,1500,2000] [--calls 5000] [--settle 40] [--bound]

Drives the executable that CARILLON names, all in one process and apart with Redis (edge, registrar, call-control), with target/bench/sipload
for both parties, whose phones answer at once. `asked` is counted from before the request leaves the client, commit included; `accepted` from
when the client has the answer, and is 0 where the INVITE was there before. A rate is sustained when every Dial is taken, both parties of
every call are connected and hung up on at its end, and the INVITEs keep up: 99 of 100 within a second. Client and phones share
the cores with the servers. Memory is that of call-control, apart: with so many confirmed calls, when what was needed to set them up is
forgotten, and when all have ended. `--bound` makes an error of calls that are lost."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import servers

LOAD = os.path.join(os.path.dirname(servers.HERE), "target", "bench", "sipload")
SERVICE = "carillon.callcontrol.v1.CallControl"
APART = (("registrar", "registrar,presence"), ("call-control", "call-control"), ("edge", "edge"))
USERS = 200
LASTS = 2  # seconds that a call of the ramp is connected
LATE = 1.0  # seconds after which an INVITE does not keep up


class Phones:
    """Both parties of all calls."""

    def __init__(self, port):
        self.came = {}
        self.child = subprocess.Popen([LOAD, "phones", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.counted = {"byes": 0}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.child.stdout:
            if line.startswith("{"):
                self.counted = json.loads(line)
            else:
                number, at = line.split()
                self.came.setdefault(int(number), float(at))

    def stop(self):
        self.child.stdin.close()
        self.child.wait(10)
        self.reader.join(10)
        return self.counted


class Api:
    """CallControl, with nothing but reflection."""

    def __init__(self, port):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))

    def method(self, name):
        method = self.pool.FindServiceByName(SERVICE).FindMethodByName(name)
        request, answer = (message_factory.GetMessageClass(of) for of in (method.input_type, method.output_type))
        rpc = self.channel.unary_unary(
            f"/{SERVICE}/{name}", request_serializer=request.SerializeToString, response_deserializer=answer.FromString)
        return request, rpc


class Dialled:
    """Dials at a rate, and what became of each."""

    def __init__(self, api, phones, rate, count, lasts=None, first=0):
        self.api, self.phones, self.first, self.count = api, phones, first, count
        self.asked, self.accepted, self.calls, self.refused = {}, {}, {}, {}
        self.open = threading.Semaphore(2000)
        make, dial = api.method("Dial")
        begun = time.monotonic()
        for number in range(first, first + count):
            wait = begun + (number - first) / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            request = make(to={"uri": user(number * 2 + 1)}, headers=[{"name": "X-Bench", "value": str(number)}])
            getattr(request, "from").uri = user(number * 2)
            if lasts:
                request.max_duration.seconds = lasts
            self.open.acquire()
            self.asked[number] = time.monotonic()
            dial.future(request, timeout=30).add_done_callback(lambda call, number=number: self.take(number, call))
        self.took = time.monotonic() - begun
        wait_until(lambda: len(self.accepted) + len(self.refused) == count, 60)

    def take(self, number, call):
        now = time.monotonic()
        self.open.release()
        if call.code() == grpc.StatusCode.OK:
            self.accepted[number], self.calls[number] = now, call.result().call_id
        else:
            self.refused[number] = f"{call.code()}: {call.details()}"

    def all_came(self, limit=30):
        return wait_until(lambda: all(number in self.phones.came for number in self.accepted), limit)

    def waits(self, since):
        came = self.phones.came
        return [max(0.0, came[number] - at) for number, at in since.items() if number in came]

    def hang_up(self):
        make, hangup = self.api.method("Hangup")
        left = list(self.calls.values())
        for _ in range(20):
            # An application asks again where it was told that the store did not answer in time.
            again, futures = [], []
            for call_id in [*left, None]:
                if call_id:
                    futures.append((call_id, hangup.future(make(call_id=call_id), timeout=30)))
                while futures and (len(futures) == 16 or not call_id):
                    asked, future = futures.pop(0)
                    if future.code() == grpc.StatusCode.UNAVAILABLE:
                        again.append(asked)
            left = again
            if not left:
                return
        raise SystemExit(f"{len(left)} calls cannot be hung up")


def user(number):
    return f"sip:u{number % USERS:06d}@{servers.DOMAIN}"


def wait_until(is_it, limit):
    end = time.monotonic() + limit
    while not is_it() and time.monotonic() < end:
        time.sleep(0.02)
    return is_it()


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


def times(waits):
    return f"p50 {percentile(waits, 0.5) * 1e3:.1f} ms, p99 {percentile(waits, 0.99) * 1e3:.1f} ms, worst {max(waits, default=0) * 1e3:.1f} ms"


class Rig:
    """Servers of a mode, and phones of all users."""

    def __init__(self, mode, folder):
        folder = os.path.join(folder, f"{mode}-{time.monotonic_ns()}")
        os.makedirs(folder)
        self.server = servers.carillon(mode, set(os.sched_getaffinity(0)), folder, APART)
        port = servers.free_port()
        # Registrations come from the port of the phones and point at it: it is theirs afterwards.
        register = [LOAD, "register", str(self.server.port), "0", "1", "16", str(USERS), str(port)]
        subprocess.run(register, check=True, stdout=subprocess.DEVNULL)
        self.phones, self.api = Phones(port), Api(self.server.calls_api)

    def stop(self):
        counted = self.phones.stop()
        self.api.channel.close()
        self.server.stop()
        return counted

    def call_control(self):
        return next(process for process in self.server.processes if process.part in ("call-control", "carillon"))


def delays(options, folder, faults):
    """Dial until the INVITE, at a rate at which nobody waits for anybody."""
    for mode, name in (("embedded", "all in one process"), ("redis", "apart, with Redis")):
        rig = Rig(mode, folder)
        try:
            Dialled(rig.api, rig.phones, options.rate, int(options.rate), LASTS)  # what is done the first time
            dialled = Dialled(rig.api, rig.phones, options.rate, int(options.rate * options.seconds), LASTS, first=10**6)
            dialled.all_came()
            asked, accepted = dialled.waits(dialled.asked), dialled.waits(dialled.accepted)
            print(f"{name}, {options.rate:.0f} dials/s: INVITE after asked {times(asked)}; after accepted {times(accepted)}", flush=True)
            lost = dialled.count - len(asked)
            if lost:
                faults.append(f"{name}: of {dialled.count} dials {lost} brought no INVITE: {set(dialled.refused.values())}")
        finally:
            rig.stop()


def ramp(options, folder, faults):
    """How many calls are carried each second, and what each costs in which process."""
    best = 0
    for rate in options.ramp:
        rig = Rig("redis", folder)
        try:
            cpu = rig.server.cpu_ns()
            dialled = Dialled(rig.api, rig.phones, rate, int(rate * options.seconds), LASTS)
            dialled.all_came()
            time.sleep(LASTS + 3)
            spent = {part: after - cpu[part] for part, after in rig.server.cpu_ns().items()}
        finally:
            counted = rig.stop()
        waits, calls = dialled.waits(dialled.asked), len(dialled.accepted)
        achieved = calls / dialled.took
        whole = calls == dialled.count and counted["byes"] >= 2 * calls
        late = percentile(waits, 0.99)
        sustained = whole and achieved > 0.97 * rate and late < LATE
        each = ", ".join(f"{part} {ns / max(calls, 1) / 1e3:.0f}" for part, ns in spent.items())
        print(f"apart, {rate:.0f} dials/s: {achieved:.0f}/s taken, {len(dialled.refused)} refused, {counted['byes'] / 2:.0f} of {calls} calls "
              f"ended at both phones, INVITE {times(waits)}; µs of CPU a call: {each}{'' if sustained else ' (not sustained)'}", flush=True)
        if not sustained:
            if rate == options.ramp[0]:
                faults.append(f"{rate:.0f} dials/s are not sustained: {set(dialled.refused.values())}")
            break
        best = achieved
    print(f"sustained: {best:.0f} dialled calls/s on {len(os.sched_getaffinity(0))} cores with Redis, client and phones on the same ones", flush=True)


def memory(options, folder, faults):
    """Resident memory of call-control for each confirmed call, and when they have ended."""
    rig = Rig("redis", folder)
    try:
        process = rig.call_control()
        # What the first calls need is not what each needs.
        warm = Dialled(rig.api, rig.phones, options.rate, 200, first=10**6)
        warm.all_came()
        warm.hang_up()
        time.sleep(options.settle)
        before = process.memory_bytes()
        dialled = Dialled(rig.api, rig.phones, 2 * options.rate, options.calls)
        dialled.all_came()
        time.sleep(1)
        at_once = process.memory_bytes()
        time.sleep(options.settle)
        settled = process.memory_bytes()
        dialled.hang_up()
        time.sleep(options.settle)
        after = process.memory_bytes()
        up = len(dialled.calls)
        print(f"memory of a confirmed call in call-control: {(at_once - before) / up:.0f} octets at once, {(settled - before) / up:.0f} "
              f"after {options.settle:.0f} s, {(after - before) / up:.0f} when it has ended ({up} calls; {before / 2**20:.1f} MB before)", flush=True)
    finally:
        counted = rig.stop()
    if up != options.calls or counted["byes"] < 2 * up:
        faults.append(f"of {options.calls} calls {up} were taken and {counted['byes'] / 2:.0f} ended at both phones")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a minute of all of it")
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--ramp", type=lambda text: [float(rate) for rate in text.split(",")], default=[250, 500, 750, 1000, 1500, 2000])
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--settle", type=float, default=40, help="seconds until transactions are forgotten")
    parser.add_argument("--only", choices=["delays", "ramp", "memory"], help="one of the three parts")
    parser.add_argument("--bound", action="store_true")
    options = parser.parse_args()
    if options.short:
        options.seconds, options.ramp, options.calls, options.settle = 3, [100, 250, 500], 500, 5
    return options


def main():
    options, faults = arguments(), []
    if "CARILLON" not in os.environ:
        sys.exit("CARILLON names the executable to measure: bench/run builds it")
    with tempfile.TemporaryDirectory() as folder:
        for part in (delays, ramp, memory):
            if options.only in (None, part.__name__):
                part(options, folder, faults)
    if faults:
        print("\n".join(faults), file=sys.stderr)
    if options.bound and faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
