#!/usr/bin/env bash
# PyPI standardwebhooks 1.1.0: a moment with a time zone other than UTC is signed as another moment.
#
# `Webhook.sign(msg_id, timestamp, data)` takes a datetime. Of one that knows its zone it takes the numbers on the
# clock and calls them UTC: 14:00 at +02:00 is signed as 14:00 UTC. Two datetimes that are equal get different
# signatures, and the header webhook-timestamp, which the caller writes from the same moment, does not fit the
# signature: every receiver refuses the delivery, and the sender sees no error.
#
# Seen: signatures of one moment written in UTC and at +02:00, and what `verify` of the same package says of both.
# Expected: equal signatures, both accepted. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check standardwebhooks==1.1.0

cat >"$folder/zones.py" <<'PYTHON'
from datetime import UTC, datetime, timedelta, timezone

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook("whsec_" + "c2VjcmV0" * 4)
body = '{"type":"credits.low"}'
in_utc = datetime.now(UTC)
elsewhere = in_utc.astimezone(timezone(timedelta(hours=2)))
assert in_utc == elsewhere


def is_accepted(signature: str) -> bool:
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(in_utc.timestamp())),
        "webhook-signature": signature,
    }
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


signatures = [webhook.sign("evt_1", each, body) for each in (in_utc, elsewhere)]
accepted = [is_accepted(each) for each in signatures]
print({"equal moments, equal signatures": signatures[0] == signatures[1], "accepted": accepted})
assert signatures[0] != signatures[1], "equal moments have equal signatures by now"
assert accepted == [True, False], "the zone counts by now"
PYTHON

"$folder/venv/bin/python" "$folder/zones.py"
echo "standardwebhooks 1.1.0: a moment that is not written in UTC is signed as another one"
