"""How a result is named, wherever it is kept: `<owner's id>/<session_id>.<ext>`.

The name says nothing of the machine or the place, so results may be moved from one to another.
"""

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from uuid import UUID

Needed = Callable[[Collection[tuple[UUID, UUID]]], Awaitable[Collection[UUID]]]
"""Of these owners' sessions (owner's id, session) those whose result is kept or still to come."""

_EXTENSIONS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_MEDIA_TYPES: Final = {extension: media_type for media_type, extension in _EXTENSIONS.items()}
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY: Final = re.compile(rf"{_UUID}/{_UUID}\.(png|jpg|webp)")
_UUID_LENGTH: Final = 36


def key_of(owner_id: UUID, session_id: UUID, media_type: str) -> str:
    """The key of a session's result. Raises `ValueError` for what is no image type."""
    if media_type not in _EXTENSIONS:
        raise ValueError(f"no result image: {media_type}")
    return f"{owner_id}/{session_id}.{_EXTENSIONS[media_type]}"


def media_type_of(key: str) -> str:
    """What a key's image is. Raises `ValueError` for what is no key."""
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError("not a result key")
    return _MEDIA_TYPES[found[1]]


def session_of(name: str) -> UUID | None:
    """The session that a file's or object's name begins with, be it a draft; None: with none."""
    try:
        return UUID(name.removeprefix(".")[:_UUID_LENGTH])
    except ValueError:
        return None
