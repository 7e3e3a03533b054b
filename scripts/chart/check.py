"""Renders the chart in many ways and checks what came out. usage: check.py HELM CHART [CARILLON]"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

HELM, CHART = sys.argv[1:3]
CARILLON = sys.argv[3] if len(sys.argv) > 3 else None
TOKEN = "0123456789abcdef"
passed = failed = 0


def check(what, good, told=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"FAILED  {what}: {told}")


def helm(*arguments):
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=120)


def render(*arguments):
    result = helm("template", "rel", CHART, "--kube-version", "1.34.0", *arguments)
    if result.returncode:
        return None, result.stderr
    return [d for d in yaml.safe_load_all(result.stdout) if d], ""


def of_kind(objects, *kinds):
    return [o for o in objects if o["kind"] in kinds]


def by_name(objects, kind, name):
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    return found[0] if found else None


def environment(workload):
    container = workload["spec"]["template"]["spec"]["containers"][0]
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


def put_certificates(environment, config):
    """What the Secrets of TLS hold: in each place one certificate that is its own authority."""
    given = re.findall(r'^ *tls_cert = "(.*)"\n *tls_key = "(.*)"$', config, re.MULTILINE)
    places = [(cert, key, None) for cert, key in given]
    for section in ("TLS", "INTERNAL_TLS"):
        places.append([environment.get(f"CARILLON_{section}_{name}") for name in ("CERT", "KEY", "CA")])
    for cert, key, ca in places:
        for path in filter(None, (cert, key, ca)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        if cert and key:
            make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
            name = ["-subj", "/CN=sip.example.com", "-addext", "subjectAltName=DNS:sip.example.com"]
            subprocess.run([*make, *name, "-out", cert, "-keyout", key], check=True, capture_output=True, timeout=60)
            if ca:
                shutil.copy(cert, ca)


def refused(container, objects, pod_ip):
    """What the executable says against the settings that a container is given; nothing when it takes them."""
    config = next(o for o in of_kind(objects, "ConfigMap") if "carillon.toml" in o["data"])["data"]["carillon.toml"]
    known = {"POD_NAME": "rel-0", "POD_IP": pod_ip, "POD_UID": "7", "NODE_NAME": "n", "HOST_IP": pod_ip, "POD_INDEX": "0"}
    with tempfile.TemporaryDirectory() as folder:
        environment = {}
        for variable in container["env"]:
            name, value = variable["name"], variable.get("value")
            if value is None:
                stored = "redis://redis:6379" if name == "CARILLON_REDIS" else TOKEN
                value = known.get(name, stored if "secretKeyRef" in variable["valueFrom"] else "1")
            value = re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), value)
            environment[name] = value.replace("/etc/carillon", folder)
        config = config.replace("/etc/carillon", folder)
        tokens = environment["CARILLON_API_TOKEN_FILE"]
        os.makedirs(os.path.dirname(tokens))
        for path, text in ((f"{folder}/carillon.toml", config), (tokens, f"cluster {TOKEN} cluster:read,cluster:write\n")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        put_certificates(environment, config)
        arguments = [a.replace("/etc/carillon", folder) for a in container["args"]]
        told = subprocess.run(
            [CARILLON, *arguments, "--check"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )
    return told.stdout + told.stderr or f"status {told.returncode}" if told.returncode else ""


def every_pod(where, objects):
    """What holds for each pod of each rendering."""
    for workload in of_kind(objects, "Deployment", "DaemonSet", "StatefulSet"):
        name = f'{where}: {workload["metadata"]["name"]}'
        pod = workload["spec"]["template"]["spec"]
        check(f"{name}: no API token", pod["automountServiceAccountToken"] is False)
        check(f"{name}: not root", pod["securityContext"]["runAsNonRoot"] is True)
        check(f"{name}: seccomp", pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault")
        for container in pod["containers"]:
            context = container["securityContext"]
            check(f"{name}: read-only root", context["readOnlyRootFilesystem"] is True)
            check(f"{name}: no capabilities", context["capabilities"]["drop"] == ["ALL"])
            check(f"{name}: no escalation", context["allowPrivilegeEscalation"] is False)
            for mount in container["volumeMounts"]:
                check(f"{name}: no subPath", "subPath" not in mount)
            if container["name"] == "redis":
                continue
            names = [e["name"] for e in container["env"]]
            check(f"{name}: no variable twice", len(names) == len(set(names)), names)
            probes = [container[p] for p in ("startupProbe", "livenessProbe", "readinessProbe")]
            handlers = [str(p.get("httpGet") or p.get("tcpSocket") or p.get("exec")) for p in probes]
            check(f"{name}: three probes of their own", len(set(handlers)) == 3, handlers)
            sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            drain = next(int(e["value"].removesuffix("s")) for e in container["env"] if e["name"] == "CARILLON_DRAIN")
            check(f"{name}: a drain fits", pod["terminationGracePeriodSeconds"] == sleep + drain + 15)
            if CARILLON:
                # An IPv6 address comes without brackets, as Kubernetes writes it.
                for pod_ip in ("10.0.0.7", "fd00::7"):
                    told = refused(container, objects, pod_ip)
                    check(f"{name}: the executable takes its settings at {pod_ip}", not told, told)


sets = [("defaults", [])] + [
    (os.path.relpath(f, CHART), ["-f", f]) for f in sorted(glob.glob(f"{CHART}/ci/*.yaml") + glob.glob(f"{CHART}/examples/*.yaml"))
]
check("there are value sets to look at", len(sets) > 8, len(sets))
for name, arguments in sets:
    lint = helm("lint", "--strict", CHART, *arguments)
    check(f"lint {name}", lint.returncode == 0, lint.stdout + lint.stderr)
    objects, error = render(*arguments)
    check(f"render {name}", objects is not None, error)
    if objects:
        every_pod(name, objects)

# What is given replaces the default, a false too, and is never there beside it.
changed = "registrar.startupProbe.httpGet.path=/livez,registrar.startupProbe.httpGet.port=admin"
changed += ",registrar.securityContext.readOnlyRootFilesystem=false,registrar.podSecurityContext.runAsUser=1000"
objects, error = render("--set", changed + ",global.labels.team=voice,registrar.podLabels.team=accounts")
check("given security context", objects is not None, error)
pod = by_name(objects, "Deployment", "rel-carillon-registrar")["spec"]["template"]
container = pod["spec"]["containers"][0]
check("a given probe is the only handler", sorted(container["startupProbe"]) == ["failureThreshold", "httpGet", "periodSeconds"], container["startupProbe"])
check("a false is heard", container["securityContext"]["readOnlyRootFilesystem"] is False and pod["spec"]["securityContext"]["runAsUser"] == 1000)
check("what was not given stays", pod["spec"]["securityContext"]["runAsNonRoot"] is True, pod["spec"]["securityContext"])
check("labels of the pod win", pod["metadata"]["labels"]["team"] == "accounts", pod["metadata"]["labels"])

# The drain: preStop + drain + 15, computed.
objects, error = render("--set", "edge.preStopSeconds=20,edge.drainSeconds=90")
edge = by_name(objects, "Deployment", "rel-carillon-edge")
check("grace period", edge["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 125)
strategy = edge["spec"]["strategy"]["rollingUpdate"]
check("an edge is replaced by surge", (strategy["maxSurge"], strategy["maxUnavailable"]) == (1, 0), strategy)
check("edges know no store", "CARILLON_REDIS" not in environment(edge))
registrar = by_name(objects, "Deployment", "rel-carillon-registrar")
check("the registrar knows the store", environment(registrar)["CARILLON_REDIS"] == "redis://redis:6379")
check("no CPU limit on edges", "cpu" not in edge["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"])

# Headless Services for gRPC: one for each service.
headless = [s["metadata"]["name"] for s in of_kind(objects, "Service") if s["spec"].get("clusterIP") == "None"]
check("headless Services", sorted(headless) == [f"rel-carillon-{c}-grpc" for c in ("callcontrol", "edge", "presence", "registrar")], headless)

# Each way to expose the edges.
def exposed(*arguments):
    objects, error = render(*arguments)
    check(f"render {arguments}", objects is not None, error)
    edge = of_kind(objects, "DaemonSet", "StatefulSet") or [by_name(objects, "Deployment", "rel-carillon-edge")]
    services = {s["metadata"]["name"]: s["spec"] for s in of_kind(objects, "Service") if "-sip" in s["metadata"]["name"]}
    return edge[0], services, environment(edge[0])["CARILLON_ADVERTISE"]


edge, services, advertised = exposed()
check("cluster: address", advertised == "$(POD_IP)", advertised)
check("cluster: nothing is open", {s["type"] for s in services.values()} == {"ClusterIP"}, services)

edge, services, advertised = exposed("--set", "edge.exposure=loadBalancer,edge.advertise.udp=sip.example.com:5080")
check("loadBalancer: address", advertised == "sip.example.com:5080", advertised)
check("loadBalancer: two Services", sorted(services) == ["rel-carillon-sip-tcp", "rel-carillon-sip-udp"], services)
for name, service in services.items():
    check(f"loadBalancer: {name}", (service["type"], service["externalTrafficPolicy"], service["sessionAffinity"]) == ("LoadBalancer", "Local", "ClientIP"), service)

edge, services, advertised = exposed("--set", "edge.exposure=hostNetwork")
pod = edge["spec"]["template"]["spec"]
check("hostNetwork: a DaemonSet", edge["kind"] == "DaemonSet" and pod["hostNetwork"] is True)
check("hostNetwork: names of the cluster", pod["dnsPolicy"] == "ClusterFirstWithHostNet")
check("hostNetwork: no surge", edge["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] == 0)
check("hostNetwork: address", advertised == "$(HOST_IP)" and not services, advertised)

edge, services, advertised = exposed("--set", "edge.exposure=perPod,edge.replicas=3,edge.advertise.udp=edge-{index}.sip.example.com")
check("perPod: a StatefulSet", edge["kind"] == "StatefulSet")
check("perPod: address", advertised == "edge-$(POD_INDEX).sip.example.com", advertised)
check("perPod: six Services", len(services) == 6, sorted(services))
selected = {s["selector"]["statefulset.kubernetes.io/pod-name"] for s in services.values()}
check("perPod: one pod each", selected == {f"rel-carillon-edge-{n}" for n in range(3)}, selected)

edge, services, advertised = exposed("--set", "edge.exposure=nodePort,edge.services.udp.nodePort=31060,edge.services.tcp.nodePort=31060")
check("nodePort: address", advertised == "$(HOST_IP):31060", advertised)
check("nodePort: port", services["rel-carillon-sip-udp"]["ports"][0]["nodePort"] == 31060, services)

# Every listener is opened in every family of the pods.
for families, sip, rest in (
    ("{IPv4}", "udp://0.0.0.0:5060,tcp://0.0.0.0:5060", "0.0.0.0"),
    ("{IPv6}", "udp://[::]:5060,tcp://[::]:5060", "[::]"),
    ("{IPv4,IPv6}", "udp://0.0.0.0:5060,tcp://0.0.0.0:5060,udp://[::]:5060,tcp://[::]:5060", "[::]"),
):
    objects, error = render("--set", f"ipFamilies={families}")
    check(f"render ipFamilies={families}", objects is not None, error)
    given = environment(by_name(objects, "Deployment", "rel-carillon-edge"))
    listeners = (given["CARILLON_SIP"], given["CARILLON_API"], given["CARILLON_ADMIN"])
    check(f"listeners of {families}", listeners == (sip, f"{rest}:50051", f"{rest}:9090"), listeners)

# What must be refused, and with which word.
for values, word in (
    ("edge.exposure=loadBalancer", "edge.advertise.udp is required"),
    ("edge.exposure=perPod", "edge.advertise.udp is required"),
    ("edge.exposure=perPod,edge.advertise.udp=one.example.com", "{index}"),
    ("edge.exposure=perPod,edge.advertise.udp=e-{index}.example.com,edge.autoscaling.enabled=true", "autoscaling"),
    ("edge.exposure=hostNetwork,edge.autoscaling.enabled=true", "DaemonSet"),
    ("edge.advertise.udp=a.example.com,edge.advertise.tcp=b.example.com", "one address"),
    ("sip.auth=none", "dangerOpen"),
    ("edge.exposure=nodePort,edge.services.tcp.nodePort=31061", "one port"),
    ("metrics.podMonitor.enabled=true", "monitoring.coreos.com/v1"),
    ("edge.drainSeconds=32", "drainSeconds"),
    ("edge.exposure=everywhere", "exposure"),
    ("redis.url=localhost:6379", "redis"),
    ("callcontrol.conference.user=conference", "callcontrol.conference.mixers"),
    ("callcontrol.conference.mixers={sip:conf@mixer}", "mixers"),
    ("callcontrol.conference.factory=conf.example.com", "factory"),
    ("callcontrol.conference.end=never", "end"),
    ("callcontrol.takers={desk}", "takers"),
    ("callcontrol.passRefer={desk}", "passRefer"),
    ("edge.replica=3", "replica"),
    ("sip.t1=half", "t1"),
    ("ipFamilies={IPv5}", "ipFamilies"),
    ("ipFamilies={}", "ipFamilies"),
):
    objects, error = render("--set", values)
    check(f"refused: {values}", objects is None and word in error, error or "it was accepted")

print(f"chart: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
