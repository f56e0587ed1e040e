"""What the batches of a group commit have in common, whatever they do to credits."""

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Moved(Protocol):
    """An item of a batch that moves credits."""

    @property
    def actor(self) -> str | None:
        """The operator who moves them; None: their owner does."""


def fingerprint(*content: object) -> bytes:
    """SHA-256 of what a request asks for, so that the same id with other content is told apart.

    The order in which a dictionary's keys were sent does not matter.
    """
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).digest()


def ascending(account_ids: Sequence[int]) -> list[int]:
    """The places of a batch in ascending order of their accounts, as the ledger wants its items.

    Of one account they stay in order of arrival.
    """
    return sorted(range(len(account_ids)), key=account_ids.__getitem__)


def actors(items: Sequence[Moved]) -> list[str | None] | None:
    """Who makes each item of a batch; None where no operator makes any, as is the rule."""
    named = [item.actor for item in items]
    return named if any(named) else None


def as_sent(places: Sequence[int], answers: Sequence[T]) -> list[T]:
    """The answers to the items at these places, in the order in which the items were sent."""
    sent = dict(zip(places, answers, strict=True))
    return [sent[place] for place in range(len(places))]
