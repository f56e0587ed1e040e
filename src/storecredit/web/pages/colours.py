"""Colours, and whether one can be read on another (WCAG 2.2, relative luminance and contrast)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

TEXT_CONTRAST: Final = 4.5
"""What text needs at least to its ground (WCAG 2.2, 1.4.3), at level AA."""
FIGURE_CONTRAST: Final = 3.0
"""What edges of fields and figures need (1.4.11)."""
BLACK: Final = "#000000"
WHITE: Final = "#ffffff"
_STEPS: Final = 100
_LINEAR_MAX: Final = 0.04045
"""Of a channel: below it sRGB is a straight line (IEC 61966-2-1)."""
_PAIR: Final = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
_ASSETS: Final = Path(__file__).with_name("assets")


@dataclass(frozen=True, slots=True)
class Schemes:
    """The colours of the pages by what they are for: by day, and in the dark."""

    light: dict[str, str]
    dark: dict[str, str]


@cache
def schemes() -> Schemes:
    """As the style sheets have them."""
    text = "".join((_ASSETS / name).read_text() for name in ("pages.css", "charts.css"))
    pairs = _PAIR.findall(text)
    return Schemes(
        {name: light for name, light, _ in pairs}, {name: dark for name, _, dark in pairs}
    )


def contrast(one: str, other: str) -> float:
    """From 1, the same, to 21, black on white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def on(ground: str) -> str:
    """Black or white, whichever can be read better on it: one has a contrast of 4.58 always."""
    return max((WHITE, BLACK), key=lambda text: contrast(text, ground))


def readable(colour: str, grounds: Iterable[str], least: float) -> str:
    """The colour, made as much darker or lighter as it takes to be seen on all of these grounds.

    Where no colour is seen on all of them, it is the one that is seen best on the worst.
    """
    against = tuple(grounds)

    def worst(candidate: str) -> float:
        return min(contrast(candidate, ground) for ground in against)

    end = max((BLACK, WHITE), key=worst)
    for step in range(_STEPS):
        mixed = _mixed(colour, end, step / _STEPS)
        if worst(mixed) >= least:
            return mixed
    return end


def _mixed(colour: str, other: str, part: float) -> str:
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * part):02x}" for one, two in pairs)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= _LINEAR_MAX else ((channel + 0.055) / 1.055) ** 2.4


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
