"""The base of the enums in `models.py`: a value that this version does not know is no error.

A later version of the service may answer with a status, a code or a type of movement that was not
there when the models were made. It is read as a member that the class does not list, equal to its
text: `status == "archived"`.
"""

import enum
from typing import Self


class StrEnum(enum.StrEnum):
    """Like Python's own, and open. The models are generated against this name."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unlisted = str.__new__(cls, value)
        unlisted._name_ = value
        unlisted._value_ = value
        return unlisted
