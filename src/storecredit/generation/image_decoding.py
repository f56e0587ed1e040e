"""Decodes images with Pillow, within limits.

Hides Pillow's many ways to fail. Promises that an image of more than `PIXELS_MAX` pixels is
refused from its header alone, before anything is decompressed, and that whatever is wrong with
an image ends in `ImageUnreadable`. Everything here is CPU work: call it in a thread.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image

from storecredit.generation.images import ImageUnreadable, media_type_of

PIXELS_MAX = 40_000_000
"""At four bytes each, 160 MB of memory for one decoded image."""

_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}

# Pillow has no common base for what a damaged file makes its decoders raise.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    struct.error,
)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@contextmanager
def opened_image(content: bytes) -> Iterator[Image.Image]:
    """The image with its header read and its pixels not; errors in the block count as its own.

    Raises `ImageUnreadable` if it is no PNG, JPEG or WebP image, too large, or damaged.
    """
    media_type = media_type_of(content)
    if media_type is None:
        raise ImageUnreadable("is no PNG, JPEG or WebP image.")
    try:
        with Image.open(BytesIO(content), formats=(_FORMATS[media_type],)) as image:
            if image.width * image.height > PIXELS_MAX:
                raise ImageUnreadable(f"has more than {PIXELS_MAX:,} pixels.")
            yield image
    except _BOMBS:
        raise ImageUnreadable(f"has more than {PIXELS_MAX:,} pixels.") from None
    except _DAMAGED as error:
        raise ImageUnreadable("is damaged and cannot be read.") from error


def verify_image(content: bytes) -> str:
    """The media type of an image that decodes to its last pixel; else raises `ImageUnreadable`."""
    with opened_image(content) as image:
        image.verify()  # checksums of a PNG's chunks, which decoding skips
    with opened_image(content) as image:
        image.load()
    media_type = media_type_of(content)
    assert media_type is not None  # opened_image refuses such
    return media_type
