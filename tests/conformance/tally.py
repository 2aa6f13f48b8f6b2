"""Prints the number of answers of each operation by status. Fails if one was 5xx, or if an operation never succeeded
(with few examples that may be chance, and is only reported). Usage: tally.py FILE EXAMPLES
"""

import json
import sys

# With this many examples every operation that can succeed does.
ENOUGH = 100

# Succeeds as a WebSocket only.
NEVER_SUCCEEDS = {"GET /v1/stream"}

with open(sys.argv[1], encoding="utf-8") as file:
    tally = json.load(file)

failures, told = [], []
has_enough = int(sys.argv[2]) >= ENOUGH
for label, statuses in sorted(tally.items(), key=lambda item: item[0].split()[::-1]):
    shown = "  ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
    print(f"{label:<48}{shown}")
    if not any(status.startswith("2") for status in statuses) and label not in NEVER_SUCCEEDS:
        (failures if has_enough else told).append(f"{label} never succeeded")
    if any(status.startswith("5") for status in statuses):
        failures.append(f"{label} was answered 5xx")
requests = sum(sum(statuses.values()) for statuses in tally.values())
print(f"{len(tally)} operations, {requests} requests")
for note in told:
    print(f"note: {note}, with few examples")
for failure in failures:
    print(f"FAILED: {failure}")
sys.exit(bool(failures))
