"""Decodes images with Pillow, within limits.

Hides Pillow's many ways to fail. Promises that an image of more than `PIXELS_MAX` pixels is
refused from its header alone, before anything is decompressed; that whatever is wrong with an image
ends in `ImageUnreadable`; and that nothing beside the pixels (text, profiles, broken Exif) is wrong
with it. Of an image that moves the first picture is taken. Everything here is CPU work and takes
memory: let `ImageDecoder` call it.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import Concatenate, ParamSpec, TypeVar

from PIL import Image, ImageFile

from storecredit.generation.image_colours import in_srgb, plain_mode
from storecredit.generation.image_containers import (
    Beside,
    bare_jpeg,
    bare_png,
    jpeg_end_probe,
    orientation,
    webp_size,
)
from storecredit.generation.image_errors import ImageUnreadable
from storecredit.generation.image_forms import read_image

PIXELS_MAX = 80_000_000
"""Phones take pictures of 48 to 64 million. Decoded, such a PNG is 320 MB; a WebP of that size
takes four times as much while it is decoded, which is the most of all forms."""
SMALL_AT_ONCE_MAX = 2
LARGE_PIXELS = 8_000_000
"""Of images of more pixels only one is decoded at a time."""
BAND_PIXELS = 1_000_000
"""An image is made smaller in bands of about so many pixels: what is converted on the way, and
copied by it, is one band."""
REDUCING_GAP = 2
"""How much larger than wanted an image is left for the last, best step."""

P = ParamSpec("P")
T = TypeVar("T")
Size = tuple[int, int]
"""Width and height, in pixels."""

_FORMATS = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
    "image/bmp": "BMP",
}
_BARE = {"image/png": bare_png, "image/jpeg": bare_jpeg}
_BARE_FORMATS = frozenset({"PNG", "JPEG"})

# By what Exif says which way up an image is (JEITA CP-3451, section 4.6.4): how to set it upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = frozenset({5, 6, 7, 8})

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
def _opened(content: bytes) -> Iterator[tuple[ImageFile.ImageFile, Beside]]:
    """The image, with its header read and its pixels not, and what stands beside them.

    Errors in the block count as its own.
    """
    media_type = read_image(content).media_type
    strip = _BARE.get(media_type)
    bare, beside = (content, Beside()) if strip is None else strip(content)
    if media_type == "image/webp":
        _check_pixels(webp_size(content))  # opening one takes the memory of its pixels, twice
    try:
        with Image.open(BytesIO(bare), formats=(_FORMATS[media_type],)) as image:
            _check_pixels(image.size)
            yield image, _beside(beside, image)
    except _BOMBS:
        raise _too_many_pixels() from None
    except _DAMAGED as error:
        raise ImageUnreadable("is damaged and cannot be read.") from error


def _beside(beside: Beside, image: Image.Image) -> Beside:
    if image.format in _BARE_FORMATS:
        return beside
    return Beside(image.info.get("exif") or b"", image.info.get("icc_profile") or b"")


def _check_pixels(size: Size) -> None:
    if size[0] * size[1] > PIXELS_MAX:
        raise _too_many_pixels()


def _too_many_pixels() -> ImageUnreadable:
    return ImageUnreadable(f"has more than {PIXELS_MAX:,} pixels.")


class ImageDecoder:
    """Decodes in threads of its own; one for all that a worker does, since it bounds the memory.

    That is the memory of one image of `PIXELS_MAX`, and of `SMALL_AT_ONCE_MAX` that are not large.
    A thread is busy until it is done, also if nobody waits for it any more.
    """

    def __init__(self) -> None:
        self._small = ThreadPoolExecutor(SMALL_AT_ONCE_MAX, "image-decoding")
        # One thread, and always the same: each keeps for itself what it has freed.
        self._large = ThreadPoolExecutor(1, "large-image-decoding")

    async def run(
        self,
        decode: Callable[Concatenate[bytes, P], T],
        content: bytes,
        *more: P.args,
        **names: P.kwargs,
    ) -> T:
        """What a function of this module makes of an image; raises `ImageUnreadable`."""
        loop = asyncio.get_running_loop()
        large = await loop.run_in_executor(self._small, is_large, content)
        return await loop.run_in_executor(
            self._large if large else self._small, partial(decode, content, *more, **names)
        )

    def close(self) -> None:
        """Take on no more; what is under way ends by itself."""
        self._small.shutdown(wait=False)
        self._large.shutdown(wait=False)


def is_large(content: bytes) -> bool:
    """Whether decoding takes memory for more than `LARGE_PIXELS`; raises `ImageUnreadable`."""
    with _opened(content) as (image, _):
        return image.width * image.height > LARGE_PIXELS


# Input images


def fitted_image(content: bytes, room: Size) -> Image.Image:
    """The image as RGB, or as RGBA if it is transparent, upright and as large as fits into `room`.

    Of a PNG, JPEG or GIF that is cut short, what is there is shown, as browsers show it. Raises
    `ImageUnreadable`.
    """
    with _opened(content) as (image, beside):
        turned = orientation(beside.exif)
        if turned in _LYING:
            room = room[1], room[0]
        # A large JPEG decodes at a fraction of its size.
        image.draft(None, (max(room), max(room)))
        shown_rows = _load(image)
        scale = min(room[0] / image.width, room[1] / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        shown = shown_rows / image.height
        reduced = _reduced(image, size)
        fitted = in_srgb(reduced.resize(size, Image.Resampling.LANCZOS), beside.icc)
    if shown < 1:
        fitted = _without_end(fitted, shown)
    return fitted.transpose(_TURNS[turned]) if turned in _TURNS else fitted


def _load(image: ImageFile.ImageFile) -> int:
    """Decode; returns how many rows, from the top, have something to show."""
    try:
        image.load()
    except OSError:
        image.tile = []  # nothing more to decode: what is there stays
        shown = image.getbbox()
        if shown is None:
            raise
        return shown[3]
    return image.height


def _reduced(image: Image.Image, size: Size) -> Image.Image:
    """The image in a plain mode, no smaller than `REDUCING_GAP` times `size` if it was larger."""
    across = max(1, image.width // size[0] // REDUCING_GAP)
    down = max(1, image.height // size[1] // REDUCING_GAP)
    rows = max(1, BAND_PIXELS // (image.width * down)) * down
    bands = [
        plain_mode(image.crop((0, top, image.width, min(top + rows, image.height)))).reduce(
            (across, down)
        )
        for top in range(0, image.height, rows)
    ]
    return bands[0] if len(bands) == 1 else _stacked(bands)


def _stacked(bands: Sequence[Image.Image]) -> Image.Image:
    height = sum(band.height for band in bands)
    whole = Image.new(bands[0].mode, (bands[0].width, height))
    top = 0
    for band in bands:
        whole.paste(band, (0, top))
        top += band.height
    return whole


def _without_end(image: Image.Image, shown: float) -> Image.Image:
    """The image with what is below `shown` of its height transparent."""
    rows = max(1, round(image.height * shown))
    top = image.convert("RGBA").crop((0, 0, image.width, rows))
    return top.crop((0, 0, image.width, image.height))


# Result images


def verify_image(content: bytes) -> str:
    """The media type of an image that decodes to its last pixel; else raises `ImageUnreadable`.

    Only the mark at the end of a PNG or JPEG may be missing.
    """
    with _opened(content) as (image, _):
        image.verify()  # checksums of a PNG's chunks, which decoding skips
    with _opened(content) as (image, _):
        image.load()
        _check_end(content, image)
    return read_image(content).media_type


def _check_end(content: bytes, image: Image.Image) -> None:
    probe = jpeg_end_probe(content) if image.format == "JPEG" else None
    if probe is None:
        return
    with Image.open(BytesIO(probe), formats=("JPEG",)) as probed:
        if probed.tobytes() != image.tobytes():
            raise ImageUnreadable("is cut short.")


def as_png(content: bytes) -> bytes:
    """The image as an upright PNG of the same size; raises `ImageUnreadable`."""
    with _opened(content) as (image, beside):
        image.load()
        shown = in_srgb(plain_mode(image), beside.icc)
        turned = orientation(beside.exif)
        if turned in _TURNS:
            shown = shown.transpose(_TURNS[turned])
        png = BytesIO()
        shown.save(png, "PNG")
    return png.getvalue()
