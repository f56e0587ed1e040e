"""The images that a generation is asked to be made of: how many, and which addresses are taken."""

from typing import Final

from storecredit.generation.image_sources import refusal
from storecredit.settings import Settings

IMAGES_MAX: Final = 10


def image_refusal(url: str, settings: Settings) -> str | None:
    """Why an image of this address cannot be taken; None: it can."""
    return refusal(
        url,
        allow_private_hosts=settings.allow_private_hosts,
        max_bytes=settings.image_max_bytes,
    )
