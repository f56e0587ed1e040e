"""The keys that checkpoints are signed with (Ed25519, RFC 8032), and which was signed last.

Outside the database, so that whoever owns that alone can forge no checkpoint and drop none unseen.
The private key is a setting, or stands in a file that the first process to sign makes; public keys
of before stay known. A checkpoint names its key by the first 8 bytes of its SHA-256.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from storecredit.data_files.durable_files import Draft, write_once, write_together
from storecredit.settings import Settings

CHECKPOINT_KEY: Final = "checkpoint.key"
"""The file's name in a data directory: a line `private …`, then a line `public …` for each key of
before."""
CHECKPOINT_NEWEST: Final = "checkpoint.newest"
"""The file's name: number and hash of the newest checkpoint that was signed here."""
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
SEAL_BYTES: Final = 16


def id_of(public_key: bytes) -> bytes:
    """What a checkpoint calls its key."""
    return sha256(public_key).digest()[:KEY_ID_BYTES]


class KeyFileDamaged(Exception):
    """The file of the keys, or of the newest checkpoint, is not what was written."""


@dataclass(frozen=True, slots=True)
class CheckpointKeys:
    """The key that signs, if there is one here, and all public keys that are known here."""

    public_keys: Mapping[bytes, bytes] = field(default_factory=dict)
    """By their ids."""
    _private_key: Ed25519PrivateKey | None = field(default=None, repr=False)

    @classmethod
    def known(cls, settings: Settings) -> Self:
        """Those that are here; nothing is made. Raises KeyFileDamaged, OSError."""
        private, public = _kept(settings.data_dir)
        if settings.checkpoint_key is not None:
            private = bytes.fromhex(settings.checkpoint_key.get_secret_value())
        public = [*public, *(bytes.fromhex(each) for each in settings.checkpoint_old_keys)]
        signing = None if private is None else Ed25519PrivateKey.from_private_bytes(private)
        if signing is not None:
            public.append(signing.public_key().public_bytes_raw())
        return cls({id_of(each): each for each in public}, signing)

    @classmethod
    def made(cls, settings: Settings) -> Self:
        """Those that are here, and one to sign with: made now if there is none. Raises likewise."""
        keys = cls.known(settings)
        if keys.can_sign:
            return keys
        private = secrets.token_bytes(KEY_BYTES)
        write_once(settings.data_dir / CHECKPOINT_KEY, _written(private, []))
        return cls.known(settings)

    @property
    def can_sign(self) -> bool:
        """Whether there is one to sign with."""
        return self._private_key is not None

    @property
    def public_key(self) -> bytes:
        """Of the one that signs."""
        return self._signing.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """Of the one that signs."""
        return id_of(self.public_key)

    def sign(self, body: bytes) -> bytes:
        """The signature of a checkpoint: 64 bytes."""
        return self._signing.sign(body)

    def is_signed(self, key_id: bytes, signature: bytes, body: bytes) -> bool | None:
        """Whether the key of this id signed it; None: it is not known here."""
        public = self.public_keys.get(key_id)
        if public is None:
            return None
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, body)
        except InvalidSignature:
            return False
        return True

    def seal(self, data: bytes) -> bytes:
        """What shows to whoever has the private key that the data is its: the key's id, a MAC."""
        secret = hmac.digest(self._signing.private_bytes_raw(), b"storecredit seal v1", "sha256")
        return self.key_id + hmac.digest(secret, data, "sha256")[:SEAL_BYTES]

    def is_sealed(self, data: bytes, seal: bytes) -> bool | None:
        """Whether the key that is here sealed it; None: another one did, or so the seal says."""
        if not self.can_sign or seal[:KEY_ID_BYTES] != self.key_id:
            return None
        return hmac.compare_digest(self.seal(data), seal)

    @property
    def _signing(self) -> Ed25519PrivateKey:
        assert self._private_key is not None, "who signs has asked whether it can"
        return self._private_key


def rotate(settings: Settings) -> CheckpointKeys:
    """Sign with a new key from now on; the old one's public half stays known.

    Raises KeyFileDamaged, OSError.
    """
    private, public = _kept(settings.data_dir)
    if private is not None:
        old = Ed25519PrivateKey.from_private_bytes(private)
        public = [old.public_key().public_bytes_raw(), *public]
    _replace(settings.data_dir / CHECKPOINT_KEY, _written(secrets.token_bytes(KEY_BYTES), public))
    return CheckpointKeys.known(settings)


@dataclass(frozen=True, slots=True)
class NewestSigned:
    """The newest checkpoint that was signed here."""

    number: int
    hash: bytes


def newest_signed(data_dir: Path) -> NewestSigned | None:
    """What was noted; None: nothing was. Raises KeyFileDamaged, OSError."""
    path = data_dir / CHECKPOINT_NEWEST
    try:
        number, hash_ = path.read_text().split()
        return NewestSigned(int(number), bytes.fromhex(hash_))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise KeyFileDamaged(f"{path} is damaged: it is a number and a hash.") from error


def note_signed(data_dir: Path, newest: NewestSigned) -> None:
    """Remember it, outside the database. Raises OSError."""
    _replace(data_dir / CHECKPOINT_NEWEST, f"{newest.number} {newest.hash.hex()}\n".encode())


def forget_signed(data_dir: Path) -> None:
    """As if nothing had been signed here. Raises OSError."""
    (data_dir / CHECKPOINT_NEWEST).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    draft = Draft(path, content)
    write_together([draft])
    if draft.failure is not None:
        raise draft.failure


def _kept(data_dir: Path) -> tuple[bytes | None, list[bytes]]:
    path = data_dir / CHECKPOINT_KEY
    try:
        keys = [_read(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return None, []
    except ValueError as error:
        raise KeyFileDamaged(
            f"{path} is damaged: it is a line `private …`, then lines `public …`, with 64 "
            "hexadecimal digits each."
        ) from error
    private = next((key for kind, key in keys if kind == "private"), None)
    return private, [key for kind, key in keys if kind == "public"]


def _read(line: str) -> tuple[str, bytes]:
    kind, text = line.split()
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES or kind not in {"private", "public"}:
        raise ValueError(f"no line of a file of keys: {kind}")
    return kind, key


def _written(private: bytes, public: list[bytes]) -> bytes:
    lines = [f"private {private.hex()}", *(f"public {key.hex()}" for key in public)]
    return "".join(f"{line}\n" for line in lines).encode()
