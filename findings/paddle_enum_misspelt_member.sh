#!/usr/bin/env bash
# paddle-python-sdk 1.16.1: a misspelt member of an enum is a new value, not an AttributeError.
#
# The SDK's enums (event types, statuses, currencies …) are classes of its own, not Python's. Any name
# can be read from them: what is no member becomes a value of that name in small letters, equal to
# nothing that Paddle sends. A handler for `EventTypeName.TransactionComplete` (a "d" short) is never
# called, and neither the program, nor an import, nor a test of the name says why. Members cannot be
# keys of a dict or members of a set either: they are compared, but have no hash.
#
# Seen: a value "transactioncomplete", and TypeError from hash(). Expected: AttributeError, and a hash,
# as from enum.StrEnum. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paddle-python-sdk==1.16.1

"$folder/venv/bin/python" - <<'PYTHON'
from paddle_billing.Entities.Events.EventTypeName import EventTypeName

told = EventTypeName("transaction.completed")
print("as it is spelt:", repr(EventTypeName.TransactionCompleted))
print("a letter short:", repr(EventTypeName.TransactionComplete))
assert told == EventTypeName.TransactionCompleted
assert told != EventTypeName.TransactionComplete
assert str(EventTypeName.TransactionComplete) == "transactioncomplete"

try:
    {EventTypeName.TransactionCompleted: "book it"}
except TypeError as error:
    print("as a key:", error)
else:
    raise SystemExit("members have a hash now")
PYTHON
