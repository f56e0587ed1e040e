"""The default generator: arranges the input images on one portrait board, with Pillow.

No network beyond fetching the input images, no AI, no cost: what it makes is a plain 3:4 board
of the images it was given, each fitted into its cell and never stretched. The prompt changes
nothing; `STORECREDIT_BLOCKED_TERMS` are looked for in it, which is this generator's moderation.
"""

import asyncio
import math
import re
import unicodedata
from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageOps

from storecredit.generation.generators import (
    GeneratedImage,
    GenerationRequest,
    ModerationBlocked,
    fetch_input_images,
    image_refused,
)
from storecredit.generation.image_decoding import opened_image
from storecredit.generation.images import ImageFetcher, ImageRefused
from storecredit.settings import Settings

BOARD_SIZE = (900, 1200)
MARGIN = 30
BACKGROUND = (246, 245, 242)
BOARDS_AT_ONCE_MAX = 2
"""Bounds the memory that decoded images take, whatever the worker's concurrency is."""

Box = tuple[int, int, int, int]
"""Left, top, width and height, in pixels."""


class CollageGenerator:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        self._blocked = _pattern(settings.blocked_terms)
        self._boards = asyncio.Semaphore(BOARDS_AT_ONCE_MAX)
        self._fetcher = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_seconds=settings.image_fetch_timeout_seconds,
            allow_private_hosts=settings.allow_private_hosts,
        )

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """A 900 × 1200 PNG."""
        if self._blocked is not None and self._blocked.search(_folded(request.prompt or "")):
            raise ModerationBlocked("The prompt contains a blocked term.")
        images = await fetch_input_images(self._fetcher, request.image_urls)
        contents = [image.content for image in images]
        async with self._boards:
            board = await asyncio.to_thread(compose_board, contents)
        return GeneratedImage(board, "image/png")

    async def aclose(self) -> None:
        """Close the connections to image hosts."""
        await self._fetcher.aclose()


# Moderation


def _folded(text: str) -> str:
    """Text as it is compared: without differences of case, width or composition."""
    return unicodedata.normalize("NFKC", text).casefold()


def _pattern(terms: Sequence[str]) -> re.Pattern[str] | None:
    """Matches any term as whole words in folded text; None if there are no terms."""
    phrases = [r"\s+".join(map(re.escape, _folded(term).split())) for term in terms]
    phrases = [phrase for phrase in phrases if phrase]
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)") if phrases else None


# The board


def compose_board(contents: Sequence[bytes]) -> bytes:
    """A PNG of `BOARD_SIZE` that shows the images in order; raises `GenerationFailed`."""
    board = Image.new("RGB", BOARD_SIZE, BACKGROUND)
    for place, (content, cell) in enumerate(
        zip(contents, cells(len(contents)), strict=True), start=1
    ):
        try:
            _paste(board, content, cell)
        except ImageRefused as refused:
            raise image_refused(f"Image {place}", refused) from refused
    png = BytesIO()
    board.save(png, "PNG")
    return png.getvalue()


def cells(count: int) -> list[Box]:
    """Where `count` images go: the grid that leaves the largest squares, last row centred."""
    width, height = BOARD_SIZE
    columns = max(range(1, count + 1), key=lambda columns: _square(count, columns))
    rows = math.ceil(count / columns)
    cell_width = (width - MARGIN) // columns - MARGIN
    cell_height = (height - MARGIN) // rows - MARGIN
    boxes = []
    for place in range(count):
        row, column = divmod(place, columns)
        missing = columns - min(columns, count - row * columns)
        left = MARGIN + column * (cell_width + MARGIN) + missing * (cell_width + MARGIN) // 2
        boxes.append((left, MARGIN + row * (cell_height + MARGIN), cell_width, cell_height))
    return boxes


def _square(count: int, columns: int) -> float:
    """The side of the largest square that fits every cell of such a grid."""
    width, height = BOARD_SIZE
    return min((width - MARGIN) / columns, (height - MARGIN) / math.ceil(count / columns))


def _paste(board: Image.Image, content: bytes, cell: Box) -> None:
    left, top, width, height = cell
    with opened_image(content) as image:
        # A large JPEG decodes at a fraction of its size; both sides, as it may lie on its side.
        image.draft(None, (max(width, height), max(width, height)))
        ImageOps.exif_transpose(image, in_place=True)
        scale = min(width / image.width, height / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        fitted = _colours(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    corner = (left + (width - size[0]) // 2, top + (height - size[1]) // 2)
    board.paste(fitted, corner, mask=fitted if fitted.mode == "RGBA" else None)


def _colours(image: Image.Image) -> Image.Image:
    """The image as RGB, or as RGBA if parts of it are transparent."""
    if image.mode.startswith("I"):
        # 16-bit greys: converted at once, Pillow clips them to 8 bits instead of scaling.
        image = image.convert("I").point(lambda grey: grey / 256).convert("L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)
