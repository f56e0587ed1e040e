"""Tokens of end users as their issuers make them, and a key set on loopback."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from stand_ins.http_server import Answer, StandIn, json_answer, stand_in
from storecredit.settings import Settings
from storecredit.users.tokens import Tokens, TokenUser
from tests.running_listener import Clock

SECRET = "a secret of the app, long enough for HS256"
USER = UUID("0198a5f0-7d50-7cc3-98c5-c3d5a0a4b1e2")
SIGNED_IN = TokenUser(USER)
HEADER: dict[str, object] = {"alg": "HS256", "typ": "JWT"}
Pair = tuple[str, Any]
"""An algorithm and a private key for it."""


def claims(**changes: object) -> dict[str, object]:
    """What a good token says; a change to None leaves a claim out."""
    now = int(time.time())
    good = {"sub": str(USER), "aud": "authenticated", "iat": now, "exp": now + 600}
    return {name: value for name, value in (good | changes).items() if value is not None}


def hs256(key: str = SECRET, kid: str | None = None, **changes: object) -> str:
    headers = {"kid": kid} if kid else None
    return jwt.encode(claims(**changes), key, algorithm="HS256", headers=headers)


def raw(header: object, payload: object, signature: bytes = b"") -> str:
    """A token made by hand."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@cache
def pair(kind: str) -> Pair:
    match kind:
        case "RS256" | "RS256-other":
            return "RS256", rsa.generate_private_key(65537, 2048)
        case "RS256-short":
            return "RS256", rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
        case "ES256":
            return "ES256", ec.generate_private_key(ec.SECP256R1())
        case _:
            return "EdDSA", ed25519.Ed25519PrivateKey.generate()


def signed(kind: str, kid: str | None = None, **changes: object) -> str:
    algorithm, key = pair(kind)
    headers = {"kid": kid} if kid else None
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def jwk(kind: str, kid: str | None = None, **changes: object) -> dict[str, Any]:
    """The public key as it stands in a key set."""
    algorithm, key = pair(kind)
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    made.pop("key_ops", None)
    return made | ({"kid": kid} if kid else {}) | changes


@dataclass(frozen=True, slots=True)
class Issuer:
    """Tokens that are judged by a stand-in's keys, and the clock the cache goes by."""

    tokens: Tokens
    server: StandIn
    clock: Clock

    @property
    def fetches(self) -> int:
        return len(self.server.received)


@asynccontextmanager
async def issuer(answer: object, **changes: object) -> AsyncIterator[Issuer]:
    """A key set on loopback: an Answer, or a list of keys, the same list each time."""
    handler = answer if isinstance(answer, Answer) else (lambda _: json_answer({"keys": answer}))
    clock = Clock()
    async with stand_in(handler) as server:
        settings = Settings(jwks_url=server.url("/jwks.json")).model_copy(update=changes)
        tokens = Tokens(settings, clock=clock)
        yield Issuer(tokens, server, clock)
        await tokens.close()


def public_encodings(kind: str) -> list[bytes]:
    """Everything that somebody might take for a secret and that everybody may read."""
    public = pair(kind)[1].public_key()
    encodings = [
        public.public_bytes(encoding, form)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
        for form in (
            serialization.PublicFormat.SubjectPublicKeyInfo,
            serialization.PublicFormat.PKCS1,
        )
    ]
    return [*encodings, json.dumps(jwk(kind, "k")).encode(), jwk(kind)["n"].encode()]


def hmac_token(secret: str | bytes, kid: str | None = None) -> str:
    """A good token, signed without the library, which would warn of the secret."""
    key = secret.encode() if isinstance(secret, str) else secret
    unsigned = raw(HEADER | ({"kid": kid} if kid else {}), claims()).removesuffix(".")
    signature = hmac.digest(key, unsigned.encode(), "sha256")
    return f"{unsigned}.{urlsafe_b64encode(signature).decode().rstrip('=')}"
