"""A database URL as providers print it, and what our driver is told of it.

Providers print URLs for libpq, and the driver, asyncpg, reads them otherwise: what it does not know
it takes for a setting of the server. So a URL is read here, in the meaning that libpq gives it
(https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING), and the driver is handed
what it understands. Promises that a parameter is obeyed or refused by name: none is left out that
means something. No message holds a value of the URL, as it may be a part of the password.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

PORT: Final = 5432
PORT_MAX: Final = 65535
APPLICATION_NAME: Final = "storecredit"
CONNECT_SECONDS: Final = 5
"""For a connection to be made, unless the URL says otherwise by `connect_timeout`."""
CONNECT_MAX_SECONDS: Final = 60
"""However long the URL would wait; for libpq, 0 is without end."""

UNREADABLE: Final = (
    "The database URL cannot be read: it is like postgresql://user:password@host:5432/name, "
    "with special characters in the password percent-encoded."
)

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Of target_session_attrs: those under which a server that takes writes is among the right ones.
_SESSION_KINDS: Final = ("any", "read-write", "primary")

# What the driver understands as libpq does.
_FOR_THE_DRIVER: Final = frozenset(
    {
        *("sslmode", "sslnegotiation", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("passfile", "service", "krbsrvname", "gsslib"),
    }
)
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

# Marks that providers leave for software of their own; they ask nothing of a client like ours.
_MARKS: Final = frozenset({"supa", "workaround", "uselibpqcompat"})
# Values that ask for what is so in any case.
_GRANTED: Final = {
    "pgbouncer": {"false"},
    "channel_binding": {"disable", "prefer"},
    "client_encoding": {"utf8", "utf-8", "unicode"},
    "gssencmode": {"disable", "prefer"},
    "load_balance_hosts": {"disable"},
    "replication": {"false", "off", "no", "0"},
    # Prisma names the schema of its own tables; ours has its name.
    "schema": {"public", "storecredit"},
    "sslcompression": {"0"},
    "sslsni": {"1"},
}
_OWN_POOL: Final = "it is about the pool of another program, and ours is STORECREDIT_POOL_MAX"
_NOT_OBEYED: Final = "our driver cannot obey it"
# Why a parameter is to be dropped, and what to do instead.
_REFUSED: Final = {
    "pgbouncer": "it says that a pooler in transaction mode is in between, through which LISTEN, "
    "prepared statements, advisory locks and the role of a session do not work; name the server's "
    "direct address, or a pooler in session mode (Supabase: port 5432)",
    "channel_binding": "our driver cannot bind the channel; sslmode=verify-full with "
    "sslrootcert=system makes sure of the server instead",
    "connection_limit": _OWN_POOL,
    "pool_timeout": _OWN_POOL,
    "statement_cache_size": "our driver's is not to be set",
    "client_encoding": "we speak UTF-8",
    "schema": "the tables are in the schema storecredit",
    "sslaccept": "sslmode says it",
    "hostaddr": "give the address as the host",
    "replication": "we send statements",
    "load_balance_hosts": "hosts are tried in their order",
    **dict.fromkeys(
        (
            *("gssencmode", "gssdelegation", "sslcompression", "sslsni", "sslcertmode"),
            *("sslcrldir", "sslkeylogfile", "requirepeer", "require_auth", "keepalives"),
            *("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
            *("min_protocol_version", "max_protocol_version", "scram_client_key"),
            *("scram_server_key", "oauth_issuer", "oauth_client_id", "oauth_client_secret"),
            *("oauth_scope", "servicefile", "socket_timeout", "sslidentity", "prepareThreshold"),
        ),
        _NOT_OBEYED,
    ),
}


class WrongDatabaseUrl(ValueError):
    """It cannot be read, or not obeyed; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """What a database URL says, in the form that the driver takes."""

    servers: tuple[Mapping[str, Any], ...] = field(repr=False)
    """Of each server its place, the login and TLS, as arguments of asyncpg's; in their order."""
    server_settings: Mapping[str, str]
    """What the session is to begin with, `application_name` among it."""
    connect_seconds: int
    """For one server to be reached, and to let us in."""
    must_be_writable: bool
    """Whether a primary that takes no writes by default is to be passed over, too."""
    hosts: tuple[str, ...]
    """Names, addresses or socket directories, in the order in which they are tried."""

    @classmethod
    def read(cls, url: str) -> "DatabaseUrl":
        """Raises WrongDatabaseUrl."""
        try:
            return _read(url.strip())
        except WrongDatabaseUrl:
            raise
        except ValueError:
            # Of urllib, and it may quote a part of the password.
            raise WrongDatabaseUrl(UNREADABLE) from None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to log in, decoded; empty: not said."""

    user: str = ""
    password: str = ""
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    """One for each host, or none; a single one where no host is named."""
    database: str = ""


def _read(url: str) -> DatabaseUrl:
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]  # SQLAlchemy names a driver: postgresql+asyncpg
    if scheme not in {"postgres", "postgresql"} or not url.partition(":")[2].startswith("//"):
        raise WrongDatabaseUrl(UNREADABLE)
    if parts.fragment or _ends_within_the_login(parts):
        raise WrongDatabaseUrl(UNREADABLE)
    said = _parameters(parts.query)
    place = _place(parts.netloc, unquote(parts.path[1:]), said)
    connect_seconds = _connect_seconds(said)
    session_kind = said.pop("target_session_attrs", "any")
    if session_kind not in _SESSION_KINDS:
        raise WrongDatabaseUrl(
            "The database URL cannot be used: credits are written, so that target_session_attrs is "
            f"one of {', '.join(_SESSION_KINDS)}."
        )
    settings = _server_settings(said)
    return DatabaseUrl(
        servers=_servers(place, _for_the_driver(said)),
        server_settings=settings,
        connect_seconds=connect_seconds,
        must_be_writable=session_kind == "read-write",
        hosts=place.hosts,
    )


def _ends_within_the_login(parts: SplitResult) -> bool:
    """Whether a password that is not percent-encoded has a / or ?, where the address seems to end.

    What comes before it would be taken for a host, and be told as one.
    """
    rest = parts.path if "user=" in parts.query else parts.path + parts.query
    return "@" not in parts.netloc and "@" in rest


def _parameters(query: str) -> dict[str, str]:
    """What the URL says behind the ?, without marks and what is so in any case.

    A + is no space: libpq does not decode it either. Of a name that stands twice the last one
    counts, and an empty value says nothing.
    """
    said = {}
    for piece in query.split("&") if query else ():
        name, equals, value = piece.partition("=")
        name, value = unquote(name), unquote(value)
        if not equals or not name.replace(".", "_").isidentifier() or "\0" in value:
            raise WrongDatabaseUrl(UNREADABLE)
        said[name] = value
    if "ssl" in said:
        said["sslmode"] = _ssl_mode(said.pop("ssl"))
    for name, value in [*said.items()]:
        if value == "" or name in _MARKS or value.lower() in _GRANTED.get(name, ()):
            del said[name]
        elif name in _REFUSED:
            raise WrongDatabaseUrl(f"Drop {name} from the database URL: {_REFUSED[name]}.")
    return said


def _ssl_mode(value: str) -> str:
    """`ssl=true`, as JDBC has it and libpq takes it; `ssl=require`, as SQLAlchemy has it."""
    return {"true": "require", "1": "require", "false": "disable", "0": "disable"}.get(value, value)


def _place(netloc: str, path: str, said: dict[str, str]) -> _Place:
    login, _, address = netloc.rpartition("@")
    user, _, password = login.partition(":")
    named = {name: said.pop(name, "") for name in ("user", "password", "host", "port")}
    if not (address or named["host"] or "service" in said or "PGSERVICE" in os.environ):
        # It may name several, and a port for each.
        named["host"] = os.environ.get("PGHOST", "")
        named["port"] = named["port"] or os.environ.get("PGPORT", "")
    names = (path, said.pop("dbname", ""), said.pop("database", ""))
    # What stands in the address goes before the parameters, as in asyncpg.
    hosts = [_host_and_port(each) for each in (address or named["host"]).split(",") if each]
    ports = [_port(each) for each in named["port"].split(",")] if named["port"] else []
    return _Place(
        user=unquote(user) or named["user"],
        password=unquote(password) or named["password"],
        hosts=tuple(host for host, _ in hosts),
        ports=_ports([port for _, port in hosts], ports),
        database=next(filter(None, names), ""),
    )


def _host_and_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, _port(rest.removeprefix(":"))
    host, _, port = (text, "", "") if text.startswith("/") else text.partition(":")
    return unquote(host), _port(unquote(port))


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) <= PORT_MAX):
        raise WrongDatabaseUrl(UNREADABLE)
    return int(text)


def _ports(of_hosts: list[int | None], named: list[int | None]) -> tuple[int, ...]:
    """A port for each host: its own, else the one named for all or for its place, else the usual.

    None at all if none is said: PGPORT may say it.
    """
    if len(named) == 1:
        named = named * max(len(of_hosts), 1)
    if named and of_hosts and len(named) != len(of_hosts):
        raise WrongDatabaseUrl(UNREADABLE)
    said = [own or other for own, other in zip_longest(of_hosts, named)]
    return tuple(port or PORT for port in said) if any(said) else ()


def _connect_seconds(said: dict[str, str]) -> int:
    text = said.pop("connect_timeout", str(CONNECT_SECONDS))
    try:
        seconds = int(text)
    except ValueError:
        raise WrongDatabaseUrl(
            "The database URL cannot be used: connect_timeout is a number of seconds."
        ) from None
    return min(seconds, CONNECT_MAX_SECONDS) if seconds > 0 else CONNECT_MAX_SECONDS


def _server_settings(said: dict[str, str]) -> dict[str, str]:
    """What is neither the place nor TLS begins the session: the server refuses what it knows not.

    `options` is among it, as in the protocol.
    """
    fallback = said.pop("fallback_application_name", APPLICATION_NAME)
    others = {name: said.pop(name) for name in [*said] if name not in _FOR_THE_DRIVER}
    return {"application_name": fallback} | others


def _for_the_driver(said: Mapping[str, str]) -> dict[str, str]:
    if said.get("sslmode", _SSL_MODES[0]) not in _SSL_MODES:
        raise WrongDatabaseUrl(
            f"The database URL cannot be used: sslmode is one of {', '.join(_SSL_MODES)}."
        )
    found = dict(said)
    if found.get("sslrootcert") == "system":
        # The driver knows files only.
        found |= {"sslrootcert": _certificates_of_the_machine(), "sslmode": "verify-full"}
    elif found.get("sslmode", "").startswith("verify") and not _knows_whom_to_trust(found):
        raise WrongDatabaseUrl(
            f"The database URL cannot be used: sslmode={found['sslmode']} needs certificates to "
            "trust; add sslrootcert=system for those of this machine, or the path of a file."
        )
    for name in _FILES:
        if name in found and not Path(found[name]).is_file():
            raise WrongDatabaseUrl(
                f"The database URL cannot be used: there is no file where {name} says."
            )
    return found


def _knows_whom_to_trust(parameters: Mapping[str, str]) -> bool:
    """The driver looks in the same places as libpq."""
    return (
        "sslrootcert" in parameters
        or "service" in parameters
        or "PGSSLROOTCERT" in os.environ
        or Path("~/.postgresql/root.crt").expanduser().is_file()
    )


def _certificates_of_the_machine() -> str:
    file = ssl.get_default_verify_paths().cafile
    if file is None:
        raise WrongDatabaseUrl(
            "The database URL cannot be used: this machine has no file of certificates for "
            "sslrootcert=system; name one, or set SSL_CERT_FILE."
        )
    return file


def _servers(place: _Place, parameters: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    shared = {
        "user": place.user,
        "password": place.password,
        "database": place.database,
        # Files of TLS can be named in a URL only.
        "dsn": f"postgresql://?{urlencode(parameters, quote_via=quote)}" if parameters else None,
        # We look ourselves, at every server; PGTARGETSESSIONATTRS may say otherwise.
        "target_session_attrs": "any",
    }
    shared = {name: value for name, value in shared.items() if value}
    ports = {"port": place.ports[0]} if place.ports else {}
    if not place.hosts:
        return (shared | ports,)
    return tuple(
        shared | {"host": host} | ({"port": port} if port else {})
        for host, port in zip_longest(place.hosts, place.ports)
    )
