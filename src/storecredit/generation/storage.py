"""Keeps result images as files under the data directory, and signs the links to them.

Hides the directory layout and how links are signed. Promises that an image is on disk, whole and
under its final name, before `save` returns, so that a session is never completed with a result
that a power cut could take away; that a key never names anything outside the results directory;
and that a token is worth nothing once it has expired.
"""

import asyncio
import re
import time
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr

from storecredit.data_files.durable_files import DurableFiles
from storecredit.data_files.signing_key import signing_key as kept_or_given
from storecredit.generation.generators import GeneratedImage

RESULTS = "results"
"""What a data directory has of this module."""
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
        self._results_dir = data_dir / RESULTS
        self._files = DurableFiles()
        self._serializer = URLSafeSerializer(
            kept_or_given(data_dir, signing_key),
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
        await self._files.write(self._path(key), image.content)
        return key

    async def close(self) -> None:
        """Wait for the images that are being stored; to be called when nobody saves any more."""
        await self._files.close()

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
