"""The service behind a real nginx, configured as docs/proxy.md says, over TLS."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from storecredit.settings import Settings
from tests.free_ports import free_port
from tests.web.conftest import LogStream
from tests.web.doors import Operator, StoreClient
from tests.web.real_clients import program
from tests.web.spends import refund, spend
from tests.web.wire import running_wire

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 30.0
HOST = "credits.example"
LIES = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-For": "127.0.0.1",
    "Forwarded": "for=127.0.0.1;host=evil.example;proto=http",
}


def documented(kind: str, first_words: str) -> str:
    page = (ROOT / "docs" / "proxy.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    [found] = [block for block in blocks if block.startswith(first_words)]
    return found


def documented_settings(first_words: str) -> dict[str, str]:
    lines = documented("sh", f"export STORECREDIT_{first_words}").splitlines()
    pairs = (line.removeprefix("export STORECREDIT_").split("=") for line in lines if "=" in line)
    return {name.lower(): value for name, value in pairs}


def make_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (directory / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))


def configuration(directory: Path, port: int, upstream_port: int, *, forwards: bool) -> str:
    """The page's configuration, on other ports and with a certificate."""
    server = documented("nginx", "upstream").replace("8080", str(upstream_port))
    make_certificate(directory)
    own = (
        f"listen 127.0.0.1:{port} ssl; ssl_certificate {directory}/certificate.pem;"
        f" ssl_certificate_key {directory}/key.pem;"
    )
    server = server.replace("listen 443 ssl;", own)
    if forwards:
        told = documented("nginx", "proxy_set_header X-Forwarded-Proto")
        server = server.replace("proxy_set_header Host $host;", f"proxy_set_header Host up;{told}")
    places = "".join(
        f"{name}_temp_path {directory}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/errors;"
        f"events {{}} http {{ access_log off; {places} {server} }}"
    )


@asynccontextmanager
async def nginx(directory: Path, upstream_port: int, *, forwards: bool) -> AsyncIterator[int]:
    """Nginx in front of this port; its own."""
    port = free_port()
    written = directory / "nginx.conf"
    written.write_text(configuration(directory, port, upstream_port, forwards=forwards))
    process = await asyncio.create_subprocess_exec(
        program("nginx"), "-p", str(directory), "-c", str(written), "-e", f"{directory}/errors"
    )
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    assert process.returncode is None, (directory / "errors").read_text()
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield port
    finally:
        process.terminate()
        await process.wait()


async def link_base(http: httpx.AsyncClient) -> str:
    """The link to a result, made and read with headers that lie; it opens."""
    store = await Operator(http).store()
    session_id = (await store.create(headers=LIES)).json()["data"]["session_id"]
    generation = await ended(store, session_id)
    link: str = generation["result_url"]
    path = httpx.URL(link).path
    assert (await http.get(path)).headers["content-type"] == "image/png"
    return link.removesuffix(path)


async def assert_a_spend_is_found_whatever_its_name(http: httpx.AsyncClient) -> None:
    """A proxy that took its path apart would lead somewhere else."""
    store = await Operator(http).store()
    for name in ("order/7", "100%", "a//b", "%2F"):
        made = await spend(store, name, 2)
        assert (await refund(store, name, f"refund of {name}", 1)).status_code == 201
        address = httpx.URL(made.headers["location"]).raw_path.decode()
        found = (await store.get(address)).json()["data"]
        assert (found["request_id"], found["refundable"]) == (name, 1)


async def ended(store: StoreClient, session_id: str) -> Any:
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            read = await store.get(f"/api/v1/generation/{session_id}", headers=LIES)
            if read.json()["data"]["status"] == "completed":
                return read.json()["data"]
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("first_words", ["PUBLIC_URL", "TRUSTED_PROXIES"])
async def test_links_lead_to_where_the_client_asked_whatever_it_says(
    wire_settings: Settings, log: LogStream, tmp_path: Path, first_words: str
) -> None:
    chosen = documented_settings(first_words)
    settings = Settings(**{**wire_settings.model_dump(), **chosen, "worker": True})
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with (
        running_wire(settings) as wire,
        nginx(tmp_path, wire.port, forwards=first_words != "PUBLIC_URL") as port,
        httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}", headers={"Host": HOST}, verify=trusting
        ) as http,
    ):
        assert await link_base(http) == f"https://{HOST}"
        await assert_a_spend_is_found_whatever_its_name(http)
