"""What a generation costs, by the options that it is asked for with.

The operator's own list, in the file of the catalogue: a base price, and for each option that a
caller may choose, how many times that each of its values costs. So image services price their
models, too: of a table by quality and size, one line is a multiple of another.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

PRICE_MAX: Final = 1_000_000
OPTIONS_MAX: Final = 20
VALUES_MAX: Final = 100
OPTION_TEXT_MAX: Final = 50

Credits = Annotated[int, msgspec.Meta(ge=1, le=PRICE_MAX)]
OptionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,49}\Z")]
OptionValue = Annotated[str, msgspec.Meta(pattern=rf"^[!-~]{{1,{OPTION_TEXT_MAX}}}\Z")]


@dataclass(frozen=True, slots=True)
class GenerationPrices:
    """The price list. `options`: by name and value, how many times `credits` a generation costs."""

    credits: int = 1
    options: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def dearest(self) -> int:
        """The most that a generation can cost."""
        return self.credits * math.prod(max(values.values()) for values in self.options.values())

    def price(self, options: Mapping[str, str]) -> int:
        """Credits of a generation with these options, all of which the list must name."""
        factors = (self.options[name][value] for name, value in options.items())
        return self.credits * math.prod(factors)


class GenerationEntry(msgspec.Struct, forbid_unknown_fields=True):
    """`[generation]`, as the file has it."""

    credits: Credits = 1
    options: Annotated[
        dict[
            OptionName,
            Annotated[
                dict[OptionValue, Credits], msgspec.Meta(min_length=1, max_length=VALUES_MAX)
            ],
        ],
        msgspec.Meta(max_length=OPTIONS_MAX),
    ] = {}
