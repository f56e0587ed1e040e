"""Undoes the compression of a body that was sent compressed though nobody asked for it.

Promises never to make more of a body than was allowed, however small it is. What a server says of
the coding (RFC 9110, section 8.4) is a hint only: it may compress a file that is compressed
already, name a coding that it did not use, or use one and not say so.
"""

import zlib

from storecredit.generation.image_errors import ImageUnreadable, too_large

_GZIP = b"\x1f\x8b"  # RFC 1952, section 2.3.1
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_BARE_DEFLATE = -zlib.MAX_WBITS
"""Some servers send it as `deflate`: RFC 9110, section 8.4.1.2, note."""


def decoded_body(content: bytes, coding: str | None, max_bytes: int) -> bytes:
    """The body without gzip or deflate; any other comes back as it is.

    `coding` is the Content-Encoding header. Raises `ImageUnreadable` for a body that decompresses
    to more than `max_bytes`, or not at all.
    """
    if content.startswith(_GZIP):
        windows: tuple[int, ...] = (_GZIP_OR_ZLIB,)
    elif coding is not None and coding.strip().lower() == "deflate":
        windows = (_GZIP_OR_ZLIB, _BARE_DEFLATE)
    else:
        return content
    for window in windows:
        try:
            inflated = zlib.decompressobj(window).decompress(content, max_bytes + 1)
        except zlib.error:
            continue
        if len(inflated) > max_bytes:
            raise too_large(max_bytes)
        return inflated
    raise ImageUnreadable("was sent compressed, and does not decompress.")
