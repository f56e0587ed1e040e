"""Whether a webhook is Paddle's: `Paddle-Signature: ts=<Unix seconds>;h1=<hex>[;h1=<hex>…]`.

`h1` is the HMAC-SHA256 of `<ts>:<raw body>` under the notification destination's secret; while
the secret is replaced there are several of them, and several secrets here.
https://developer.paddle.com/webhooks/signature-verification

The comparison is the official SDK's. What it would do with an odd request is not: its Verifier
looks at no clock at all where the environment has TEST_MODE set, and a header it does not expect
(a further algorithm, a second "=", a letter outside ASCII) or a body that is no UTF-8 raises. So
the header is read and the clock checked here, and only a well-formed signature is handed on.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import Any

from storecredit.settings import Settings

HEADER_MAX_CHARACTERS = 1000
SIGNATURES_MAX = 8
"""Signatures in one header that are looked at; Paddle sends one for each secret in use."""

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Signatures:
    """Tells Paddle's webhooks from forged, altered and replayed ones."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        secrets = _secrets(settings)
        self._tolerance_seconds = settings.paddle_webhook_tolerance_seconds
        self._clock = clock
        self._verifier: Any = None
        self._secrets: list[Any] = []
        if secrets:
            self._verifier, self._secrets = _sdk(secrets)

    def is_authentic(self, body: bytes, header: str | None) -> bool:
        """True: signed by Paddle just now, with a secret of ours. Never raises."""
        if self._verifier is None or header is None or len(header) > HEADER_MAX_CHARACTERS:
            return False
        timestamps, signatures = _read(header)
        if len(timestamps) != 1 or not signatures:
            return False
        if abs(self._clock() - int(timestamps[0])) > self._tolerance_seconds:
            return False
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return False
        return self._matches(f"ts={timestamps[0]};" + ";".join(signatures), text)

    def _matches(self, header: str, text: str) -> bool:
        try:
            return bool(self._verifier.verify(header, text, self._secrets))
        except ConnectionRefusedError:
            return False  # how the SDK says that none of several secrets fits


def _secrets(settings: Settings) -> list[str]:
    if settings.paddle_webhook_secret is None:
        return []
    given = settings.paddle_webhook_secret.get_secret_value().split(",")
    return [secret.strip() for secret in given if secret.strip()]


def _sdk(secrets: list[str]) -> tuple[Any, list[Any]]:
    # It takes 0.3 s to load, which neither a service without billing nor a command need spend.
    from paddle_billing.Notifications import PaddleSignature, Secret  # noqa: PLC0415

    verifier = PaddleSignature()
    # It has a line to log for each webhook, forged ones too; the door logs what is refused.
    verifier.log = logging.Logger("paddle_billing")  # noqa: LOG001 - one of its own, silent
    verifier.log.disabled = True
    return verifier, [Secret(secret) for secret in secrets]


def _read(header: str) -> tuple[list[str], list[str]]:
    """The header's timestamps, and its signatures as `h1=…`; what else is there is passed over."""
    timestamps: list[str] = []
    signatures: list[str] = []
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == "ts" and _TIMESTAMP.fullmatch(value):
            timestamps.append(value)
        elif name == "h1" and _SIGNATURE.fullmatch(value):
            signatures.append(f"h1={value}")
    return timestamps, signatures[:SIGNATURES_MAX]
