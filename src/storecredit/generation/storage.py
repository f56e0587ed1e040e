"""Keeps result images as files under the data directory, and signs the links to them.

Hides the directory layout and the signing key. Promises that an image is on disk, whole and
under its final name, before `save` returns, so that a session is never completed with a result
that a power cut could take away; that a key never names anything outside the results directory;
and that a token is worth nothing once it has expired.
"""

import asyncio
import os
import re
import secrets
import time
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr

from storecredit.generation.generators import GeneratedImage

SIGNING_KEY_BYTES = 32
SIGNING_KEY_MIN_CHARACTERS = 16
TOKEN_MAX_CHARACTERS = 512
_SALT = b"storecredit.result"

_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_MEDIA_TYPES = {extension: media_type for media_type, extension in _EXTENSIONS.items()}
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"({_UUID})/({_UUID})\.(png|jpg|webp)")


class ResultStore:
    """The result images of all owners, by result key: `<owner's id>/<session_id>.<ext>`.

    Built once, at start-up: it reads its signing key there and makes one if there is none.
    Raises `ValueError` for a signing key that is too short to sign anything.
    """

    def __init__(self, data_dir: Path, signing_key: SecretStr | None) -> None:
        self._results_dir = data_dir / "results"
        secret = _kept_signing_key(data_dir) if signing_key is None else _checked(signing_key)
        self._serializer = URLSafeSerializer(
            secret,
            salt=_SALT,
            signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
        )

    async def save(self, owner_id: UUID, session_id: UUID, image: GeneratedImage) -> str:
        """Store the image durably and return its key; saving a session's image again replaces it.

        Raises `ValueError` for a media type that is no image type, `OSError` if the disk fails.
        """
        if image.media_type not in _EXTENSIONS:
            raise ValueError(f"no result image: {image.media_type}")
        key = f"{owner_id}/{session_id}.{_EXTENSIONS[image.media_type]}"
        await asyncio.to_thread(_write_durably, self._path(key), image.content)
        return key

    async def load(self, key: str) -> GeneratedImage | None:
        """The image, or None if it has been deleted; raises `ValueError` for what is no key."""
        path = self._path(key)
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            return None
        return GeneratedImage(content, _MEDIA_TYPES[path.suffix.removeprefix(".")])

    async def delete(self, key: str) -> None:
        """Delete the image; it may be gone already. Raises `ValueError` for what is no key."""
        await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    async def delete_strays(self, older_than_seconds: float) -> int:
        """Delete files written longer ago than that; returns how many.

        Such are the drafts of killed processes, and results of attempts whose session ended
        otherwise: nothing refers to them.
        """
        written_before = time.time() - older_than_seconds
        return await asyncio.to_thread(_delete_old_files, self._results_dir, written_before)

    def sign(self, key: str, *, lifetime_seconds: float) -> str:
        """A URL-safe token that stands for `key` until `lifetime_seconds` from now."""
        self._path(key)
        return self._serializer.dumps([key, time.time() + lifetime_seconds])

    def verify(self, token: str) -> str | None:
        """The key that a token stands for; None if it is forged, mangled or expired."""
        if len(token) > TOKEN_MAX_CHARACTERS or not token.isascii():
            return None
        try:
            key, expires_at = self._serializer.loads(token)
        except BadData:
            return None
        if time.time() >= expires_at:
            return None
        return str(key)

    def _path(self, key: str) -> Path:
        if _KEY.fullmatch(key) is None:
            raise ValueError("not a result key")
        return self._results_dir / key


def _checked(signing_key: SecretStr) -> bytes:
    secret = signing_key.get_secret_value()
    if len(secret) < SIGNING_KEY_MIN_CHARACTERS:
        raise ValueError(
            f"STORECREDIT_SIGNING_KEY must have at least {SIGNING_KEY_MIN_CHARACTERS} characters."
        )
    return secret.encode()


def _kept_signing_key(data_dir: Path) -> bytes:
    """The key in `<data_dir>/signing.key`; the first process to come makes it."""
    path = data_dir / "signing.key"
    if not path.exists():
        _make_directory(data_dir)
        draft = _write_draft(path, secrets.token_bytes(SIGNING_KEY_BYTES))
        try:
            # A link appears whole or not at all, and fails where another process was faster:
            # both then read the one key that is there.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _sync_directory(data_dir)
    secret = path.read_bytes()
    if len(secret) != SIGNING_KEY_BYTES:
        raise ValueError(f"{path} is damaged: delete it to make a new one (old links then end).")
    return secret


# Files


def _write_durably(path: Path, content: bytes) -> None:
    _make_directory(path.parent)
    draft = _write_draft(path, content)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _delete_old_files(directory: Path, written_before: float) -> int:
    deleted = 0
    for path in directory.glob("*/*"):
        try:
            if path.stat().st_mtime < written_before:
                path.unlink()
                deleted += 1
        except FileNotFoundError:
            continue  # another process was faster
    return deleted


def _write_draft(path: Path, content: bytes) -> Path:
    """Write and fsync `content` beside `path`, readable by this user alone."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _make_directory(path: Path) -> None:
    """Make `path` and its missing parents; each new name is on disk when this returns."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
