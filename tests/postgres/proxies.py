"""What a provider may have put before PostgreSQL: TLS, or a pooler that keeps something back.

PostgreSQL behind it is the real one, and so is TLS; a certificate of its own names `localhost`.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from storecredit.postgres.database_url import PORT, DatabaseUrl

CHUNK_BYTES = 64 * 1024
SSL_REQUEST_BYTES = 8

Greet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes | None]]


@asynccontextmanager
async def tls_proxy(url: str, directory: Path) -> AsyncIterator[int]:
    """A port on `localhost` with TLS alone, before the server of `url`.

    `ca.pem` in `directory` is the certificate to trust.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_write_certificate(directory), directory / "key.pem")

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        await reader.readexactly(SSL_REQUEST_BYTES)
        writer.write(b"S")
        await writer.drain()
        try:
            await writer.start_tls(context)
        except (ssl.SSLError, ConnectionError):
            return None  # who does not trust the certificate says so and goes
        return b""

    async with _proxy(url, greet) as port:
        yield port


@asynccontextmanager
async def deaf_pooler(url: str) -> AsyncIterator[int]:
    """A port before the server of `url` where the role that a session asks for is not passed on.

    As PgBouncer does it with `ignore_startup_parameters = role`.
    """

    async def greet(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> bytes:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        packet = await reader.readexactly(length - 4)
        version, pairs = packet[:4], packet[4:].removesuffix(b"\0\0").split(b"\0")
        named = dict(zip(pairs[::2], pairs[1::2], strict=True))
        del named[b"role"]
        body = b"".join(name + b"\0" + value + b"\0" for name, value in named.items()) + b"\0"
        return struct.pack("!i", len(version) + len(body) + 4) + version + body

    async with _proxy(url, greet) as port:
        yield port


@asynccontextmanager
async def _proxy(url: str, greet: Greet) -> AsyncIterator[int]:
    """A port on `localhost`; `greet` says what the server hears first, None: it hears nothing."""
    pumps: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await greet(reader, writer)
        if first is None:
            writer.close()
            return
        behind_reader, behind_writer = await _connect(url)
        behind_writer.write(first)
        for source, sink in ((reader, behind_writer), (behind_reader, writer)):
            pumps.add(asyncio.create_task(_pump(source, sink)))

    server = await asyncio.start_server(serve, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        server.close()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    (place,) = DatabaseUrl.read(url).servers
    host, port = place["host"], place.get("port", PORT)
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(CHUNK_BYTES):
            sink.write(chunk)
            await sink.drain()
    except ConnectionError:
        pass  # either side may go at any moment
    finally:
        sink.close()


def _write_certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    file = directory / "ca.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return file
