"""Faults that are planted, to see that what looks for faults finds some."""

from collections.abc import Sequence

from tests.fuzzing.targets import Target


def _wrong_exception(data: bytes) -> None:
    """Breaks on three bytes that stand in none of its seeds: by chance one input in 16 million."""
    if data[:1] == b"\xfe" and data[1:2] == b"\xdc" and data[2:3] == b"\xba":
        raise LookupError("planted")


def _too_much_memory(data: bytes) -> None:
    if data[:1] == b"\xfe":
        assert len(bytes(2**30)) > len(data)


def _seeds() -> Sequence[bytes]:
    return [b"ordinary"]


PLANTED = {
    "wrong_exception": Target(_wrong_exception, _seeds),
    "too_much_memory": Target(_too_much_memory, _seeds),
}
