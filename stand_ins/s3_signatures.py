"""Who sent a request to S3, by its signature: in a header, or in the address of a presigned GET.

Signature Version 4 as Amazon's reference describes it
(https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html): of one
secret, with payloads signed or not, in one piece.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from stand_ins.http_server import Received

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
SKEW_MAX: Final = timedelta(minutes=15)
EXPIRES_MAX_SECONDS: Final = 7 * 24 * 3600
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]+)"
)
Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says that was signed, and when, as whom."""

    query: Query
    credential: str
    signed: Sequence[str]
    payload: str
    at: datetime


def refusal(request: Received, access_key: str, secret_key: str, now: datetime) -> str | None:
    """The code with which S3 refuses a request; None: whoever holds the secret sent it."""
    query = parse_qsl(urlsplit(request.path).query, keep_blank_values=True)
    said = dict(query)
    if "X-Amz-Signature" in said:
        return _refusal_of_presigned(request, query, access_key, secret_key, now)
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        return "AccessDenied"
    credential, signed, signature = found.groups()
    at = _moment(request.headers.get("x-amz-date", ""))
    payload = request.headers.get("x-amz-content-sha256", "")
    if not credential.startswith(f"{access_key}/"):
        return "InvalidAccessKeyId"
    if at is None or abs(now - at) > SKEW_MAX:
        return "RequestTimeTooSkewed"
    if payload not in {UNSIGNED, hashlib.sha256(request.body).hexdigest()}:
        return "XAmzContentSHA256Mismatch"
    claim = _Claim(query, credential, signed.split(";"), payload, at)
    expected = _signature(request, claim, secret_key)
    return None if hmac.compare_digest(expected, signature) else "SignatureDoesNotMatch"


def _refusal_of_presigned(
    request: Received, query: Query, access_key: str, secret_key: str, now: datetime
) -> str | None:
    said = dict(query)
    credential = said.get("X-Amz-Credential", "")
    at = _moment(said.get("X-Amz-Date", ""))
    seconds = said.get("X-Amz-Expires", "")
    if said.get("X-Amz-Algorithm") != ALGORITHM or at is None or not seconds.isdecimal():
        return "AuthorizationQueryParametersError"
    if not 1 <= int(seconds) <= EXPIRES_MAX_SECONDS:
        return "AuthorizationQueryParametersError"
    if not credential.startswith(f"{access_key}/"):
        return "InvalidAccessKeyId"
    rest = [(name, value) for name, value in query if name != "X-Amz-Signature"]
    signed = said.get("X-Amz-SignedHeaders", "").split(";")
    expected = _signature(request, _Claim(rest, credential, signed, UNSIGNED, at), secret_key)
    if not hmac.compare_digest(expected, said["X-Amz-Signature"]):
        return "SignatureDoesNotMatch"
    # As Amazon does, which calls it so and says "Request has expired".
    return "AccessDenied" if now >= at + timedelta(seconds=int(seconds)) else None


def _signature(request: Received, claim: _Claim, secret_key: str) -> str:
    day, region, service, end = (claim.credential.split("/") + [""] * 4)[1:5]
    canonical = "\n".join(
        (
            request.method,
            quote(unquote(urlsplit(request.path).path), safe="/-_.~"),
            "&".join(
                f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
                for name, value in sorted(claim.query)
            ),
            *(f"{name}:{_plain(request.headers, name)}" for name in claim.signed),
            "",
            ";".join(claim.signed),
            claim.payload,
        )
    )
    text = "\n".join(
        (
            ALGORITHM,
            f"{claim.at:%Y%m%dT%H%M%SZ}",
            f"{day}/{region}/{service}/{end}",
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, end, text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def _plain(headers: Mapping[str, str], name: str) -> str:
    return " ".join(headers.get(name, "").split())


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
