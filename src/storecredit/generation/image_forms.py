"""The forms in which people send images, and what the bytes of one show.

Hides file signatures, `data:` URLs and the spellings of base64. Promises that the bytes alone
decide what an image is: what a `data:` URL or a server says about them is not believed. Nothing is
decoded beyond base64, so all of it is cheap.

Read are the still forms that browsers show and Pillow decodes: PNG, JPEG, WebP, GIF, AVIF and BMP,
and the first picture of those that move. Not SVG, which is a program that draws and may fetch; nor
icons, which hold several pictures of a few pixels.
"""

import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from storecredit.generation.image_errors import ImageUnreadable, too_large

READABLE = "PNG, JPEG, WebP, GIF, AVIF or BMP"
"""For sentences: what can be sent."""
IMAGE_MIN_BYTES = 26
"""Less than the smallest image of any form, a GIF of one pixel."""


@dataclass(frozen=True, slots=True)
class InputImage:
    """An image as somebody sent it: its bytes, and the media type those bytes show."""

    content: bytes
    media_type: str


# Signatures

_FIRST_BYTES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
# Of BITMAPCOREHEADER to BITMAPV5HEADER. "BM" alone also begins a text.
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})  # AV1 Image File Format, section 6
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_BRANDS_MAX = 32
"""How many brands of a file are looked at."""

_OTHER_FIRST_BYTES = (
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\0\0\x01\0", "an icon"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"PK\x03\x04", "a ZIP file"),
    (b"\x1a\x45\xdf\xa3", "a video"),
)
_TEXT_LOOKED_AT_BYTES = 1024
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)


def media_type_of(content: bytes) -> str | None:
    """The media type that the first bytes show, or None if it is no image that can be read."""
    for first, media_type in _FIRST_BYTES:
        if content.startswith(first):
            return media_type
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    if _AVIF_BRANDS & _brands(content):
        return "image/avif"
    if content.startswith(b"BM") and int.from_bytes(content[14:18], "little") in _BMP_HEADER_BYTES:
        return "image/bmp"
    return None


def _brands(content: bytes) -> set[bytes]:
    """The brands of an ISO base media file (ISO/IEC 14496-12, 4.3); of any other file none."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4]), 16 + 4 * _BRANDS_MAX)
    return {content[8:12], *(content[at : at + 4] for at in range(16, end, 4))}


def read_image(content: bytes) -> InputImage:
    """The image with its media type; raises `ImageUnreadable`, naming what was found instead."""
    media_type = media_type_of(content)
    if media_type is None:
        raise ImageUnreadable(_not_readable(content))
    if len(content) < IMAGE_MIN_BYTES:
        raise ImageUnreadable("is cut short.")
    return InputImage(content, media_type)


def _not_readable(content: bytes) -> str:
    if not content:
        return "is empty."
    found = _other_form(content)
    if found is None:
        return f"is no {READABLE} image."
    return f"is {found}, which cannot be read: send a {READABLE} image."


def _other_form(content: bytes) -> str | None:
    """What a file is that is no readable image: "a PDF"; None: nothing known."""
    for first, name in _OTHER_FIRST_BYTES:
        if content.startswith(first):
            return name
    brands = _brands(content)
    if brands:
        return "an HEIC image" if _HEIF_BRANDS & brands else "a video"
    text = content[:_TEXT_LOOKED_AT_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if _SVG.search(text) and text.startswith(b"<"):
        return "an SVG drawing"
    if text.startswith(b"<"):
        return "a page of HTML or XML"
    if text.startswith((b"{", b"[")):
        return "JSON"
    return None


# Data URLs

_BASE64_MARK = re.compile(r";\s*base64\s*\Z", re.IGNORECASE)


def is_data_url(url: str) -> bool:
    """Whether `url` holds its image in itself."""
    return url[:5].lower() == "data:"


def decode_data_url(url: str, max_bytes: int) -> InputImage:
    """The image inside a `data:` URL (RFC 2397), read as browsers read it.

    Media type and parameters may be anything or absent; what is not base64 is percent-encoded. See
    https://fetch.spec.whatwg.org/#data-url-processor

    Raises `ImageUnreadable` if it holds no image, or one larger than `max_bytes`.
    """
    head, comma, payload = url.partition(",")
    if not comma:
        raise ImageUnreadable("is a data: URL without a comma, and so without an image.")
    if "#" in payload:
        payload = payload.partition("#")[0]  # a fragment is no part of the image
    if _BASE64_MARK.search(head) is not None:
        unquoted = _unquoted(payload).decode("latin-1") if "%" in payload else payload
        return read_image(decode_base64(unquoted, max_bytes))
    content = _unquoted(payload)
    if len(content) > max_bytes:
        raise too_large(max_bytes)
    return read_image(content)


def _unquoted(payload: str) -> bytes:
    try:
        return unquote_to_bytes(payload)
    except UnicodeEncodeError:
        raise ImageUnreadable("is not a valid URL.") from None


def canonical_data_url(url: str, max_bytes: int) -> str:
    """The same image as `data:<its type>;base64,…` without a variation, for strict readers.

    Raises as `decode_data_url`.
    """
    image = decode_data_url(url, max_bytes)
    payload = binascii.b2a_base64(image.content, newline=False).decode("ascii")
    return f"data:{image.media_type};base64,{payload}"


# Base64

_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\n\f\r"


def decode_base64(text: str, max_bytes: int) -> bytes:
    """The bytes of base64, also broken into lines, without padding, or of the URL-safe alphabet.

    White space and padding: https://infra.spec.whatwg.org/#forgiving-base64-decode; the alphabets:
    RFC 4648, sections 4 and 5. Raises `ImageUnreadable` if it is none, or is over `max_bytes`.
    """
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        content = _decode_variation(text)
    if len(content) > max_bytes:
        raise too_large(max_bytes)
    return content


def _decode_variation(text: str) -> bytes:
    try:
        compact = text.encode("ascii").translate(_STANDARD_ALPHABET, _WHITE_SPACE).rstrip(b"=")
        return binascii.a2b_base64(compact + b"=" * (-len(compact) % 4), strict_mode=True)
    except ValueError:
        raise ImageUnreadable("is not valid base64.") from None
