#!/usr/bin/env python3
"""What a silent connection costs: grows a server by many phones on TCP, then on TLS, then on WebSocket inside TLS, and prints the growth
of its resident memory for each. Usage: bench/connections.py [EXECUTABLE [COUNT]]"""

import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

EXECUTABLE = sys.argv[1] if len(sys.argv) > 1 else "target/release/carillon"
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
WARM = 200  # what the first connections cost is not what each of them costs
SCHEMES = ("tcp", "tls", "wss")

OPTIONS = (
    "OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/{1} phone.invalid;branch=z9hG4bK{0}\r\nMax-Forwards: 70\r\n"
    "From: <sip:x@localhost>;tag=1\r\nTo: <sip:localhost>\r\nCall-ID: {0}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname, CONTEXT.verify_mode = False, ssl.CERT_NONE


def main():
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = f"{folder}/crt.pem", f"{folder}/key.pem"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        make = ["openssl", "req", "-x509", *curve, "-keyout", key, "-out", certificate, *names]
        subprocess.run(make, check=True, stderr=subprocess.DEVNULL)
        listeners = [f"--sip={scheme}://127.0.0.1:0" for scheme in ("udp", *SCHEMES)]
        pair = ["--tls-cert", certificate, "--tls-key", key]
        serve = [EXECUTABLE, "serve", "--api=127.0.0.1:0", "--admin=127.0.0.1:0", *listeners, *pair]
        bound = str(len(SCHEMES) * (COUNT + WARM))
        bounds = {name: bound for name in ("TCP_CONNECTIONS_PER_SOURCE", "STRANGERS_PER_SOURCE")}
        environment = dict(os.environ, **{f"CARILLON_LIMITS_{name}": value for name, value in bounds.items()})
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            measure(server)
        finally:
            server.kill()
            server.wait()


def measure(server):
    ready = server.stdout.readline()
    port = {scheme: int(re.search(scheme + r"://127.0.0.1:(\d+)", ready)[1]) for scheme in SCHEMES}
    held = []
    for scheme in SCHEMES:
        held += [connect(scheme, port[scheme], f"warm-{scheme}-{number}") for number in range(WARM)]
        before = resident(server)
        held += [connect(scheme, port[scheme], f"{scheme}-{number}") for number in range(COUNT)]
        print(f"{scheme}: {(resident(server) - before) / COUNT:.1f} kB for each of {COUNT} connections", flush=True)


def connect(scheme, port, name):
    connection = socket.create_connection(("127.0.0.1", port))
    if scheme != "tcp":
        connection = CONTEXT.wrap_socket(connection, server_hostname="localhost")
    connection.sendall(UPGRADE if scheme == "wss" else OPTIONS.format(name, scheme.upper()).encode())
    answer = connection.recv(4096)
    assert b" 101 " in answer or b" 200 " in answer, answer
    return connection


def resident(server):
    time.sleep(1)  # what a handshake needed has been given back
    with open(f"/proc/{server.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


if __name__ == "__main__":
    main()
