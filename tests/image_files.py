"""Image files as people have them: whole, odd beside the picture, or cut short."""

import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from random import Random

from PIL import Image

PNG_SIGNATURE_BYTES = 8
KINDS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
"""Pillow's name of each form that is read, and its media type."""


def picture(
    kind: str = "PNG",
    size: tuple[int, int] = (40, 30),
    colour: str = "red",
) -> bytes:
    """A small image file in one colour."""
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def noise(size: tuple[int, int]) -> bytes:
    """A PNG that does not compress: about three bytes for each pixel."""
    file = BytesIO()
    data = Random(7).randbytes(size[0] * size[1] * 3)
    Image.frombytes("RGB", size, data).save(file, "PNG")
    return file.getvalue()


def data_url(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def halves(size: tuple[int, int] = (48, 48), mode: str = "RGB") -> Image.Image:
    """An image that is black above and white below."""
    image = Image.new("RGB", size, "black")
    image.paste("white", (0, size[1] // 2, *size))
    return image.convert(mode)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The image as a file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes, *, checksum_off_by: int = 0) -> bytes:
    """One chunk of a PNG."""
    checksum = zlib.crc32(kind + data) ^ checksum_off_by
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_with(chunk: bytes, *, png: bytes | None = None) -> bytes:
    """A PNG with a further chunk before its pixels."""
    whole = saved(halves()) if png is None else png
    at = whole.index(b"IDAT") - 4
    return whole[:at] + chunk + whole[at:]


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and whole chunk of each chunk of a PNG."""
    at = PNG_SIGNATURE_BYTES
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at : at + 12 + length]
        at += 12 + length


def png_that_declares(size: tuple[int, int]) -> bytes:
    """A small PNG whose header declares a size."""
    small = saved(halves())
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return small[:PNG_SIGNATURE_BYTES] + header + small[33:]


def webp_that_declares(size: tuple[int, int]) -> bytes:
    """A small WebP whose extended header (RFC 9649, section 2.7) declares a size."""
    small = saved(halves(), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    width, height = ((side - 1).to_bytes(3, "little") for side in size)
    return small[:24] + width + height + small[30:]


def gif_that_declares(size: tuple[int, int]) -> bytes:
    """A small GIF whose screen (GIF 89a, section 18) has a size."""
    small = saved(halves(), "GIF")
    return small[:6] + struct.pack("<HH", *size) + small[10:]


def bmp_that_declares(size: tuple[int, int]) -> bytes:
    """A small BMP whose header declares a size."""
    small = saved(halves(), "BMP")
    return small[:18] + struct.pack("<ii", *size) + small[26:]


_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def interlaced_png(image: Image.Image) -> bytes:
    """The grey image as an interlaced PNG (https://www.w3.org/TR/png-3/#8InterlaceMethods)."""
    pixels = image.tobytes()
    rows = b"".join(
        b"\0" + pixels[y * image.width + left : (y + 1) * image.width : step_x]
        for left, top, step_x, step_y in _ADAM7
        for y in range(top, image.height, step_y)
    )
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *image.size, 8, 0, 0, 0, 1))
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + data + png_chunk(b"IEND", b"")


def jpeg_with(segment: bytes, *, jpeg: bytes | None = None) -> bytes:
    """A JPEG with something more after its first segment."""
    whole = saved(halves(), "JPEG", quality=95) if jpeg is None else jpeg
    at = 4 + int.from_bytes(whole[4:6])
    return whole[:at] + segment + whole[at:]


def jpeg_segment(marker: int, data: bytes) -> bytes:
    """One segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
