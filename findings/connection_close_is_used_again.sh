#!/usr/bin/env bash
# aiohttp 3.14.5 and urllib3 2.8.0: a client that has said "Connection: close" sends its next request over that
# very connection. httpx 0.28.1 makes another.
#
# "A client that sends a "close" connection option MUST NOT send further requests on that connection" (RFC 9112,
# section 9.6). The header is what a program sets that wants one connection for one request, as before it lets a
# server go, or where each request is to look its name up anew. A server need not say close in its answer, nor
# close at once. aiohttp and urllib3 pass the header on and look at the answer alone: the connection goes back
# into the pool. What closes it is an option of theirs (aiohttp: TCPConnector(force_close=True)), not the header.
#
# Seen: three requests with the header over one connection, by aiohttp and by urllib3; over three by httpx.
# Expected: three each time. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    aiohttp==3.14.5 urllib3==2.8.0 httpx==0.28.1

cat >"$folder/ask.py" <<'PYTHON'
import asyncio
import sys

import aiohttp
import httpx
import urllib3

CLOSE = {"Connection": "close"}
TIMES = 3
used: list[asyncio.StreamWriter] = []
"""The connections over which a request came, each once."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            assert b"connection: close" in head.lower()
            if writer not in used:
                used.append(writer)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError):
        pass
    writer.close()


async def with_aiohttp(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(TIMES):
            async with session.get(url, headers=CLOSE) as answer:
                await answer.read()


async def with_httpx(url: str) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(TIMES):
            await client.get(url, headers=CLOSE)


def with_urllib3(url: str) -> None:
    pool = urllib3.PoolManager()
    for _ in range(TIMES):
        pool.request("GET", url, headers=CLOSE)
    pool.clear()


async def main() -> dict[str, int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    found = {}
    await with_aiohttp(url)
    found["aiohttp"] = len(used)
    used.clear()
    await asyncio.to_thread(with_urllib3, url)
    found["urllib3"] = len(used)
    used.clear()
    await with_httpx(url)
    found["httpx"] = len(used)
    server.close()
    return found


found = asyncio.run(main())
for client, connections in found.items():
    print(f"{client}: {TIMES} requests over {connections} connection(s)")
sys.exit(found != {"aiohttp": 1, "urllib3": 1, "httpx": TIMES})
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
