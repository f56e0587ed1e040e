"""A generator that does nothing, to be installed as an entry point: F9 measures all but it."""

from storecredit.generation.generators import GeneratedImage, GenerationRequest
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
