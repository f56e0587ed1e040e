"""What is read as the body of a checkpoint: what was signed, to the byte, and nothing like it."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from storecredit.ledger.checkpoints.checkpoint import Checkpoint, missing

MADE = Checkpoint(
    number=7,
    made_at=datetime(2026, 12, 1, 9, 30, 0, 250, tzinfo=UTC),
    owners=3,
    movements=40,
    ledger=UUID(int=5),
    root=bytes([1]) * 32,
    log_root=bytes([2]) * 32,
    previous=bytes([3]) * 32,
    key_id=bytes([4]) * 8,
    signature=b"signed",
)


def test_what_was_made_is_read() -> None:
    assert Checkpoint.read(MADE.body, b"signed") == MADE


@pytest.mark.parametrize(
    "was, is_now",
    [
        (b"checkpoint v1", b"checkpoint v2"),
        (b"storecredit checkpoint v1\n", b""),
        (b"number 7", b"number 07"),
        (b"number 7", b"number +7"),
        (b"owners 3\nmovements 40\n", b"movements 40\nowners 3\n"),
        (b"owners 3\n", b"owners 3\nowners 3\n"),
        (b"owners 3\n", b"owners 3\nand more\n"),
        (b"owners 3\n", b""),
        (b"owners 3\n", b"owners 3 \n"),
        (bytes([1]).hex().encode() * 32, b"AB" * 32),
        (b"key 0404", b"key 04 04"),
        (b"0404\n", b"0404"),
        (b"0404\n", b"0404\n\n"),
        (b"number 7", b"number\xff7"),
    ],
)
def test_what_differs_in_anything_is_none(was: bytes, is_now: bytes) -> None:
    altered = MADE.body.replace(was, is_now, 1)
    assert altered != MADE.body
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are Python's, but for ours
        Checkpoint.read(altered, b"signed")


def test_of_one_that_is_missing_it_is_said_what_is_there() -> None:
    assert "does not have it (its newest is 7)" in missing(9, MADE)
    assert "does not have it (it has none)" in missing(9, None)
