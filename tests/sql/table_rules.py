"""How it is said what a CHECK lets through and refuses, at its edges.

A row is what is set in one whose columns are null otherwise, as SQL.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rule:
    """Rows that a constraint lets through, and that it refuses."""

    allows: tuple[str, ...]
    refuses: tuple[str, ...]


def at_least(column: str, least: int) -> Rule:
    """Numbers from there on."""
    return Rule((f"{column} = {least}",), (f"{column} = {least - 1}", f"{column} = -9"))


def between(column: str, least: int, most: int) -> Rule:
    """Numbers from the one to the other."""
    return Rule(
        (f"{column} = {least}", f"{column} = {most}"),
        (f"{column} = {least - 1}", f"{column} = {most + 1}"),
    )


def text(column: str, least: int, most: int) -> Rule:
    """Texts of so many characters."""
    lengths = between("", least, most)
    allows, refuses = (
        tuple(f"{column} = repeat('x', {row.partition('= ')[2]})" for row in rows)
        for rows in (lengths.allows, lengths.refuses)
    )
    return Rule(allows, refuses if least else refuses[1:])


def sha256(column: str) -> Rule:
    """32 bytes."""
    row = f"{column} = decode(repeat('00', {{}}), 'hex')"
    return Rule((row.format(32),), (row.format(31), row.format(33)))


def one_of(column: str, *known: str, beside: str = "") -> Rule:
    """One of these words."""
    return Rule(
        tuple(f"{column} = '{word}'{beside}" for word in known),
        tuple(f"{column} = '{word}'{beside}" for word in ("other", "", known[0].upper())),
    )


ONE_ROW: Final = Rule(("only_row = true",), ("only_row = false",))
