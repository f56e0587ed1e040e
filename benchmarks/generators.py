"""Generators to be installed as entry points: what is measured with them is all but they."""

from typing import NoReturn

from storecredit.generation.generators import (
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
)
from storecredit.settings import Settings

IMAGE = GeneratedImage(b"no image", "image/png")


class NothingGenerator:
    """Every request gets the same few bytes, at once."""

    def __init__(self, settings: Settings) -> None:
        """Takes the settings, as every generator does; needs none."""

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """At once."""
        del request
        return IMAGE

    async def aclose(self) -> None:
        """Nothing to give back."""


class FailingGenerator:
    """Every request fails, at once, and gets its credit back."""

    def __init__(self, settings: Settings) -> None:
        """Takes the settings, as every generator does; needs none."""

    async def generate(self, request: GenerationRequest) -> NoReturn:
        """At once."""
        del request
        raise GenerationFailed("This generator fails.")

    async def aclose(self) -> None:
        """Nothing to give back."""
