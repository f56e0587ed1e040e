"""What backups are called, and what can be wrong with where they are kept."""

import re
from datetime import UTC, datetime
from typing import Final

NAME: Final = re.compile(r"storecredit-(\d{8}T\d{6})\.\d{3}Z")
"""A name sorts by the moment of its backup."""


class NoSuchBackup(Exception):
    """There is no backup that was asked for; the message is a sentence for people."""


class PlaceUnusable(Exception):
    """Backups cannot be put there, or got from there; the message is a sentence for people."""


def name_of(begun_at: datetime) -> str:
    """What a backup of this moment is called."""
    return f"storecredit-{begun_at:%Y%m%dT%H%M%S}.{begun_at.microsecond // 1000:03}Z"


def moment_of(name: str) -> datetime:
    """The moment in a backup's name, in whole seconds."""
    if (match := NAME.fullmatch(name)) is None:
        raise ValueError("no backup's name")
    return datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
