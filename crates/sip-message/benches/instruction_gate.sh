#!/usr/bin/env bash
# Counts the instructions of parsing, reading and forwarding one INVITE (examples/forward_speed) and
# fails when they pass the recorded number by more than the slack. Instructions do not depend on how
# busy the machine is; nanoseconds do.
#
#   crates/sip-message/benches/instruction_gate.sh          compare
#   crates/sip-message/benches/instruction_gate.sh --record write down today's number
set -euo pipefail
cd "$(dirname "$0")/../../.."
record=crates/sip-message/benches/instructions_per_forward.txt
slack_percent=15

if ! command -v valgrind >/dev/null; then
    apt-get install -y --no-install-recommends valgrind >/dev/null || {
        echo "valgrind is missing and cannot be installed" >&2
        exit 1
    }
fi

cargo build --quiet --release -p sip-message --example forward_speed
program="${CARGO_TARGET_DIR:-target}/release/examples/forward_speed"

# Callgrind's "Collected" line: instructions of the whole run.
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" 2>&1 >/dev/null |
        awk '/Collected/ { print $NF }'
}

# The difference of two runs leaves start-up out.
few=$(instructions 1000)
many=$(instructions 2000)
now=$(((many - few) / 1000))

if [[ "${1:-}" == --record ]]; then
    echo "$now" >"$record"
    echo "recorded $now instructions"
    exit 0
fi
recorded=$(<"$record")
ceiling=$((recorded * (100 + slack_percent) / 100))
echo "$now instructions to parse, read and forward an INVITE; recorded $recorded, ceiling $ceiling"
((now <= ceiling)) || {
    echo "over the ceiling: make it faster, or record the new number and say why in the commit" >&2
    exit 1
}
