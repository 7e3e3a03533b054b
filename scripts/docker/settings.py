"""Asks the executable whether it takes the settings of each container. usage: compose config --format json | settings.py CARILLON"""
import json
import subprocess
import sys

executable = sys.argv[1]
stack = json.load(sys.stdin)
asked = 0
for name, service in stack["services"].items():
    environment = {key: value or "" for key, value in (service.get("environment") or {}).items()}
    if "CARILLON_ROLES" not in environment:
        continue
    for secret in service.get("secrets", []):
        target = secret.get("target") or secret["source"]
        inside = target if target.startswith("/") else f"/run/secrets/{target}"
        if environment.get("CARILLON_API_TOKEN_FILE") == inside:
            environment["CARILLON_API_TOKEN_FILE"] = stack["secrets"][secret["source"]]["file"]
    told = subprocess.run(
        [executable, *(service.get("command") or ["serve"]), "--check"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )
    if told.returncode:
        sys.exit(f"{name}: {told.stdout}{told.stderr}")
    asked += 1
if asked != 6:
    sys.exit(f"six services serve, {asked} were asked")
