"""Takes out of an image file what its picture needs, and leaves the rest behind.

Hides the chunks of a PNG and the segments of a JPEG. Around the pixels a file carries text, colour
profiles, previews, further pictures; a decoder that reads those fails on what is wrong with them,
or runs into limits of its own, though every browser shows the picture. What is left out here cannot
fail. Promises to be linear in the file's size, and never to make a damaged picture whole: pixels
are passed on as they are.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

ICC_MAX_BYTES = 4 * 1024 * 1024
"""Of a colour profile; those of printing presses come to two megabytes."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside the pixels and is used: Exif (see `orientation`), the colour profile."""

    exif: bytes = b""
    icc: bytes = b""


# PNG: https://www.w3.org/TR/png-3/#5Chunk-layout

_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_FRAME_BYTES = 12  # length, type and checksum
_PNG_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT"})
_PNG_TRANSPARENCY = b"tRNS"
_PNG_EXIF = b"eXIf"
_PNG_PROFILE = b"iCCP"
_PNG_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))


def bare_png(content: bytes) -> tuple[bytes, Beside]:
    """The PNG with its critical chunks and its transparency alone, and with an end.

    Transparency, Exif or a profile with a wrong checksum counts as absent, as section 13.1 has it.
    A chunk that is cut short ends the file.
    """
    kept = [content[:_PNG_SIGNATURE_BYTES]]
    exif = icc = b""
    at = _PNG_SIGNATURE_BYTES
    while at + _PNG_CHUNK_FRAME_BYTES <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        chunk = content[at : at + _PNG_CHUNK_FRAME_BYTES + length]
        at += _PNG_CHUNK_FRAME_BYTES + length
        if kind == b"IEND":
            break
        if kind in _PNG_CRITICAL or (kind == _PNG_TRANSPARENCY and _is_sound(chunk)):
            kept.append(chunk)
        elif kind == _PNG_EXIF and _is_sound(chunk):
            exif = chunk[8:-4]
        elif kind == _PNG_PROFILE and _is_sound(chunk):
            icc = _png_profile(chunk[8:-4])
    if at <= len(content):
        kept.append(_PNG_END)
    return b"".join(kept), Beside(exif, icc)


def _png_profile(data: bytes) -> bytes:
    """The profile in an iCCP chunk: a name, a zero byte, the method, and zlib's data."""
    compressed = data[data.find(b"\0") + 2 :]
    try:
        decompressor = zlib.decompressobj()
        profile = decompressor.decompress(compressed, ICC_MAX_BYTES)
    except zlib.error:
        return b""
    return profile if decompressor.eof else b""


def _is_sound(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])


# JPEG: ITU-T T.81, annex B

_JPEG_START_BYTES = 2
_JPEG_END = b"\xff\xd9"
_SCANS = frozenset({0xDA, 0xD9})  # start of a scan; end of the image, which then has none
_NO_SEGMENT = frozenset({0x00, 0x01, *range(0xD0, 0xD9), 0xFF})  # or no marker: 0 and fill bytes
_APPLICATION_OR_COMMENT = frozenset({*range(0xE0, 0xF0), 0xFE})
_USED = ((0xE0, b"JFIF\0"), (0xEE, b"Adobe"))  # how colours are stored
_EXIF = (0xE1, b"Exif\0\0")
_PROFILE = (0xE2, b"ICC_PROFILE\0")  # ICC.1, B.4: then number and count, a byte each
_ODD_BITS = b"\x55" * 64


def bare_jpeg(content: bytes) -> tuple[bytes, Beside]:
    """The first picture of a JPEG without what is not needed to show it, and with an end.

    Left out are comments, and application segments other than JFIF and Adobe; of several Exif the
    first counts. Where the end was missing, a decoder now shows what is there, as browsers do.
    """
    head, beside, scans = _jpeg_parts(content)
    return head + scans + _JPEG_END, beside


def jpeg_end_probe(content: bytes) -> bytes | None:
    """Shows whether a JPEG without its end lacks anything else; None: it has its end.

    If it lacks nothing, this decodes to the same pixels as `bare_jpeg`. A decoder that has not got
    all its pixels takes a missing bit for 0, and so decodes something else from this one.
    """
    head, _, scans = _jpeg_parts(content)
    if _JPEG_END in scans:
        return None
    return head + scans.rstrip(b"\xff") + _ODD_BITS + _JPEG_END


def _jpeg_parts(content: bytes) -> tuple[bytes, Beside, bytes]:
    """What is needed of what stands before the first scan, and all from that scan on."""
    kept = [content[:_JPEG_START_BYTES]]
    profile: list[bytes] = []
    exif = scans = b""
    for segment in _jpeg_segments(content):
        if segment[1] in _SCANS:
            scans = segment
        elif segment[1] not in _APPLICATION_OR_COMMENT or _begins(segment, *_USED):
            kept.append(segment)
        elif _begins(segment, _PROFILE):
            profile.append(segment[4:].removeprefix(_PROFILE[1]))
        elif _begins(segment, _EXIF) and not exif:
            exif = segment[4:].removeprefix(_EXIF[1])
    icc = b"".join(part[2:] for part in sorted(profile))
    return b"".join(kept), Beside(exif, icc if len(icc) <= ICC_MAX_BYTES else b""), scans


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    """The segments, each with its marker; as the last one all from the first scan on."""
    at = _JPEG_START_BYTES
    while (at := content.find(b"\xff", at)) >= 0 and at + 4 <= len(content):
        if content[at + 1] in _SCANS:
            yield content[at:]
            return
        if content[at + 1] in _NO_SEGMENT:
            at += 1
            continue
        segment = content[at : at + 2 + int.from_bytes(content[at + 2 : at + 4])]
        at += max(len(segment), 2)
        yield segment


def _begins(segment: bytes, *named: tuple[int, bytes]) -> bool:
    return any(segment[1] == marker and segment.startswith(name, 4) for marker, name in named)


# WebP: RFC 9649

_RIFF_FRAME_BYTES = 8  # of the whole file: its name and its length
_WEBP_HEADER_BYTES = 10  # of each kind, what is looked at


def webp_size(content: bytes) -> tuple[int, int]:
    """Width and height that a WebP's header declares; (0, 0): it declares none."""
    kind, body = content[12:16], content[20:30]
    if len(body) < _WEBP_HEADER_BYTES:
        return 0, 0
    if kind == b"VP8X":  # section 2.7
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":  # section 3.4: a signature byte, then 14 bits each
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":  # RFC 6386, section 9.1
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


# All forms

_GIF_END = b";"  # GIF 89a, section 27


def ends_whole(content: bytes) -> bool:
    """Whether a file ends where its own form says that it ends; False where it does not say."""
    if content.startswith(b"\x89PNG"):
        return content.endswith(_PNG_END)
    if content.startswith(b"\xff\xd8"):
        return content.endswith(_JPEG_END)
    if content.startswith(b"GIF8"):
        return content.endswith(_GIF_END)
    if content.startswith(b"RIFF"):
        return len(content) >= int.from_bytes(content[4:8], "little") + _RIFF_FRAME_BYTES
    return False


# Exif: JEITA CP-3451; its frame is that of TIFF 6.0

_EXIF_PREFIX = b"Exif\0\0"
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_DIRECTORY_AT = 4
_ENTRY_BYTES = 12
_ORIENTATION, _SHORT = 0x0112, 3
UPRIGHT = 1


def orientation(exif: bytes) -> int:
    """Which way up an image is, 1 to 8; Exif that says nothing readable says `UPRIGHT`."""
    exif = exif.removeprefix(_EXIF_PREFIX)
    order = _BYTE_ORDERS.get(exif[:2])
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, _DIRECTORY_AT)
        (entries,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(entries):
            at = directory + 2 + entry * _ENTRY_BYTES
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, at)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return int(value)
    except struct.error:
        pass  # it ends before it has said
    return UPRIGHT
