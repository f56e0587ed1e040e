"""The default generator: arranges the input images on one portrait board, with Pillow.

No network beyond fetching the input images, no AI, no cost: what it makes is a plain 3:4 board
of the images it was given, each fitted into its cell and never stretched. The option `size`
(`1536x1024`) makes the board another one. The prompt changes nothing; `STORECREDIT_BLOCKED_TERMS`
are looked for in it, which is this generator's moderation.
"""

import asyncio
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from io import BytesIO

from PIL import Image

from storecredit.generation.generators import (
    GeneratedImage,
    GenerationFailed,
    GenerationRequest,
    ModerationBlocked,
    fetch_input_images,
)
from storecredit.generation.image_decoding import ImageDecoder, fitted_image
from storecredit.generation.image_fetching import ImageFetcher
from storecredit.generation.image_forms import InputImage
from storecredit.generation.sessions import FailureCode
from storecredit.settings import Settings

Size = tuple[int, int]
BOARD_SIZE: Size = (900, 1200)
SIDE_MIN, SIDE_MAX = 256, 4096
MARGIN = 30
BACKGROUND = (246, 245, 242)
Box = tuple[int, int, int, int]
"""Left, top, width and height, in pixels."""


class CollageGenerator:
    """See the module."""

    def __init__(self, settings: Settings) -> None:
        self._blocked = _pattern(settings.blocked_terms)
        self._decoder = ImageDecoder()
        self._fetcher = ImageFetcher(
            max_bytes=settings.image_max_bytes,
            timeout_seconds=settings.image_fetch_timeout_seconds,
            allow_private_hosts=settings.allow_private_hosts,
        )

    async def generate(self, request: GenerationRequest) -> GeneratedImage:
        """A PNG of 900 × 1200, or of the size that is asked for."""
        if self._blocked is not None and self._blocked.search(_folded(request.prompt or "")):
            raise ModerationBlocked("The prompt contains a blocked term.")
        size = board_size(request.options)
        boxes = cells(len(request.image_urls), size)

        async def fit(place: int, image: InputImage) -> Image.Image:
            _, _, width, height = boxes[place]
            return await self._decoder.run(fitted_image, image.content, (width, height))

        # Each is made as small as its cell before the next is fetched in its place: what is held
        # of an image is a few megabytes, whatever its size was.
        fitted = await fetch_input_images(self._fetcher, request.image_urls, fit)
        board = await asyncio.to_thread(compose_board, fitted, boxes, size)
        return GeneratedImage(board, "image/png")

    async def aclose(self) -> None:
        """Close the connections to image hosts."""
        await self._fetcher.aclose()
        self._decoder.close()


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


def board_size(options: Mapping[str, str]) -> Size:
    """Width and height in pixels. Raises GenerationFailed for a size that it does not make."""
    if "size" not in options:
        return BOARD_SIZE
    sides = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", options["size"])
    size = BOARD_SIZE if sides is None else (int(sides[1]), int(sides[2]))
    if sides is None or not all(SIDE_MIN <= side <= SIDE_MAX for side in size):
        raise GenerationFailed(
            f"This generator makes no such size: WIDTHxHEIGHT, {SIDE_MIN} to {SIDE_MAX} each.",
            FailureCode.GENERATOR_REJECTED,
        )
    return size


def compose_board(fitted: Sequence[Image.Image], boxes: Sequence[Box], size: Size) -> bytes:
    """A PNG of that size that shows each image in the middle of its cell."""
    board = Image.new("RGB", size, BACKGROUND)
    for image, (left, top, width, height) in zip(fitted, boxes, strict=True):
        corner = (left + (width - image.width) // 2, top + (height - image.height) // 2)
        board.paste(image, corner, mask=image if image.mode == "RGBA" else None)
    png = BytesIO()
    board.save(png, "PNG")
    return png.getvalue()


def cells(count: int, size: Size = BOARD_SIZE) -> list[Box]:
    """Where `count` images go: the grid that leaves the largest squares, last row centred."""
    width, height = size
    columns = max(range(1, count + 1), key=lambda columns: _square(count, columns, size))
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


def _square(count: int, columns: int, size: Size) -> float:
    """The side of the largest square that fits every cell of such a grid."""
    width, height = size
    return min((width - MARGIN) / columns, (height - MARGIN) / math.ceil(count / columns))
