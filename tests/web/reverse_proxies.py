"""Real proxies in front of a service, over TLS, configured by the files of `deploy/`.

The ports are others, the certificate is made here, and what they keep is kept in a directory of the
test's. The rest of the configuration is as it stands.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.free_ports import free_port
from tests.web.real_clients import program

DEPLOY = Path(__file__).parents[2] / "deploy"
START_SECONDS_MAX = 30.0
HOST = "credits.example"
PROXIES = ("nginx", "caddy")


@asynccontextmanager
async def behind(
    proxy: str, directory: Path, upstream_port: int, *, keeps_host: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the proxy in front of this port, which asks for HOST.

    `keeps_host` says whether the proxy hands on the Host that it was asked for.
    """
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with (
        running(proxy, directory, [upstream_port], keeps_host=keeps_host) as port,
        httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{port}",
            headers={"Host": HOST},
            verify=trusting,
            event_hooks={"request": [_name_host]},
        ) as http,
    ):
        yield http


@asynccontextmanager
async def running(
    proxy: str,
    directory: Path,
    upstream_ports: Sequence[int],
    *,
    tls: bool = True,
    keeps_host: bool = True,
) -> AsyncIterator[int]:
    """The proxy in front of these ports; its own."""
    _make_certificate(directory)
    port = free_port()
    upstreams = [f"127.0.0.1:{each}" for each in upstream_ports]
    begin = {"nginx": _nginx, "caddy": _caddy}[proxy]
    process = await asyncio.create_subprocess_exec(
        *begin(directory, port, upstreams, tls, keeps_host),
        env={
            "HOME": str(directory),
            "STORECREDIT_SITE": f"{'https' if tls else 'http'}://{HOST if tls else ''}:{port}",
            "STORECREDIT_UPSTREAMS": " ".join(upstreams),
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _until_it_listens(port, process)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _name_host(request: httpx.Request) -> None:
    """As a browser does, which has looked the name up: TLS is told it, too."""
    request.extensions["sni_hostname"] = HOST


async def _until_it_listens(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                assert process.returncode is None, "it ended at once"
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def _nginx(
    directory: Path, port: int, upstreams: Sequence[str], tls: bool, keeps_host: bool
) -> list[str]:
    servers = "\n".join(f"server {upstream} max_fails=0;" for upstream in upstreams)
    text = (DEPLOY / "nginx" / "storecredit.conf").read_text(encoding="utf-8")
    for theirs, ours in (
        ("server 127.0.0.1:8080 max_fails=0;", servers),
        ("listen 443 ssl", f"listen 127.0.0.1:{port}{' ssl' if tls else ''}"),
        ("listen 80", f"listen 127.0.0.1:{free_port()}"),
        ("/etc/ssl/credits.example.pem", f"{directory}/certificate.pem"),
        ("/etc/ssl/credits.example.key", f"{directory}/key.pem"),
        ("/var/log/nginx/storecredit.log", f"{directory}/access.log"),
        ("Host $host;", "Host $host;" if keeps_host else "Host up;"),
    ):
        assert theirs in text
        text = text.replace(theirs, ours, 1)
    places = "".join(
        f"{name}_temp_path {directory}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    written = directory / "nginx.conf"
    written.write_text(
        f"daemon off; master_process off; pid {directory}/pid; error_log {directory}/errors;"
        f"events {{}} http {{ {places} {text} }}"
    )
    return [program("nginx"), "-p", str(directory), "-c", str(written), "-e", f"{directory}/errors"]


def _caddy(
    directory: Path, _port: int, _upstreams: Sequence[str], tls: bool, keeps_host: bool
) -> list[str]:
    """Its file reads address and upstreams from the environment."""
    site = "{$STORECREDIT_SITE:credits.example} {"
    upstream = "reverse_proxy {$STORECREDIT_UPSTREAMS:127.0.0.1:8080} {"
    certificate = f"\n\ttls {directory}/certificate.pem {directory}/key.pem" if tls else ""
    text = (DEPLOY / "caddy" / "Caddyfile").read_text(encoding="utf-8")
    for theirs, ours in (
        (site, f"{site}\n\tbind 127.0.0.1{certificate}"),
        (upstream, upstream if keeps_host else f"{upstream}\n\t\theader_up Host up"),
    ):
        assert theirs in text
        text = text.replace(theirs, ours, 1)
    written = directory / "Caddyfile"
    written.write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{text}")
    return [program("caddy"), "run", "--config", str(written), "--adapter", "caddyfile"]


def _make_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    named = x509.SubjectAlternativeName([x509.DNSName(HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(named, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (directory / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))
