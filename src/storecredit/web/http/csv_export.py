"""Rows as CSV: fit for programs, harmless to spreadsheets, and whole or visibly not.

The form is RFC 4180's: a first line with the names (`header=present`), CRLF, quotes where needed.
UTF-8 without a byte order mark, which programs would read as a part of the first name; only
descriptions may hold more than ASCII.

A spreadsheet takes a cell for a formula that begins with one of a few characters, or with white
space and then one of them (OWASP, "CSV Injection"). Before such a text stands a single quotation
mark, as advised there; and within a text after each character that some spreadsheet, set to
another separator, might end a cell at. Numbers are written as they are. The JSON has the texts
unchanged.
"""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send

from storecredit import telemetry

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
EXPORT_MAX_SECONDS: Final = 600.0
"""From the first byte to the last, however slowly it is read."""

log = telemetry.get_logger("web.csv_export")

# Those of ASCII, and what full-width, small and mathematical forms of them are taken for.
_FORMULA: Final = "[=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212]"
_STARTS_CELL: Final = re.compile(rf"[\t\r\n]|[\s\"]*{_FORMULA}")
_PLAIN: Final = re.compile(r"\w[^;|\t\r\n]*")
"""What nearly every text is: neither of the others can match in it."""
_MAY_START_CELL: Final = re.compile(rf"([;|\t\r\n][\s\"]*)(?={_FORMULA})")


def harmless(text: str) -> str:
    """The text of a cell, so that no spreadsheet takes it for a formula."""
    if _PLAIN.fullmatch(text):
        return text
    text = _MAY_START_CELL.sub(r"\1'", text)
    return f"'{text}" if _STARTS_CELL.match(text) else text


def lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as they stand in the file: numbers, texts, and None, which is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows(
        [harmless(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return text.getvalue().encode()


def struct_lines(items: Iterable[msgspec.Struct]) -> bytes:
    """Structs as rows, each field as in JSON."""
    return lines(tuple(msgspec.to_builtins(item).values()) for item in items)


def csv_page(
    names: Sequence[str], items: Iterable[msgspec.Struct], next_cursor: str | None
) -> Response[bytes]:
    """One page of a list, with its cursor in a header."""
    headers = {"Content-Type": MEDIA_TYPE} | ({"X-Next-Cursor": next_cursor} if next_cursor else {})
    return Response(lines([names]) + struct_lines(items), headers=headers)


def wants_csv(request: Request[Any, Any, Any]) -> bool:
    """Whether the caller would rather have CSV than JSON; who does not say so has JSON."""
    return request.accept.best_match(["application/json", "text/csv"]) == "text/csv"


class CsvFile(Response[None]):
    """A file of any length, whose parts are read while it is sent: constant memory.

    An answer that has begun cannot become an error any more. One that cannot be ended, because a
    part cannot be read or it takes too long, is broken off: the last chunk, which every client
    waits for (RFC 9112, 7.1 and 8), does not come, and none takes it for a whole file. Once the
    client has gone, nothing more is read.
    """

    def __init__(self, parts: AsyncIterator[bytes], name: str) -> None:
        """`name` is that of the file, of ASCII letters, digits and hyphens."""
        super().__init__(
            None,
            headers={
                "Content-Type": MEDIA_TYPE,
                "Content-Disposition": f'attachment; filename="{name}.csv"',
                # Whose file it is, a cookie may say: one address is each store's own. Caches on the
                # way that go by how an address ends would hand one store's file to the others.
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            },
        )
        self._parts = parts

    def to_asgi_response(self, *_args: Any, **_options: Any) -> ASGIResponse:
        """What the framework calls to send it."""
        return _Sending(iterator=self._parts, headers=dict(self.headers))


class _Sending(ASGIStreamingResponse):
    async def send_body(self, send: Send, receive: Receive) -> None:
        sending = asyncio.create_task(self._stream(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait(
                {sending, leaving}, timeout=EXPORT_MAX_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if sending.done():
                sending.result()
            elif not leaving.done():
                log.warning("export_broken_off", seconds=EXPORT_MAX_SECONDS)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
