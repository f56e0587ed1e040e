"""Database URLs as providers print them: what the driver is told, and what is refused by name."""

from itertools import zip_longest
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from storecredit.postgres.database_url import CONNECT_MAX_SECONDS, DatabaseUrl, WrongDatabaseUrl

USER, PASSWORD = "u", "open/sesame"
LOGIN = "u:open%2Fsesame"
TLS = {"sslmode": "require"}
OPTIONS = {"options": "e=x"}


def read(url: str) -> DatabaseUrl:
    return DatabaseUrl.read(url)


def refusal(url: str) -> str:
    with pytest.raises(WrongDatabaseUrl) as raised:
        read(url)
    said = str(raised.value)
    assert said.endswith(".")
    assert "\n" not in said
    assert "sesame" not in said
    return said


# As the dashboards of the providers print them, with other names: the address, and what it says
# besides, as libpq spells it.
PRINTED: list[tuple[str, str, str, dict[str, str]]] = [
    # Supabase; with Vercel; Neon
    ("db.x.supabase.co:5432/d", "db.x.supabase.co", "5432", {}),
    ("a.pooler.supabase.com:5432/d?sslmode=require&supa=x", "a.pooler.supabase.com", "5432", TLS),
    ("ep-1.neon.tech/d?sslmode=require&options=e%3Dx", "ep-1.neon.tech", "", TLS | OPTIONS),
    ("ep-1.neon.tech/d?connect_timeout=10", "ep-1.neon.tech", "", {"connect_timeout": "10"}),
    # Heroku, Render, Railway, Fly, DigitalOcean, Aiven
    ("ec2-1.amazonaws.com:5432/d", "ec2-1.amazonaws.com", "5432", {}),
    ("dpg-1-a.render.com/d", "dpg-1-a.render.com", "", {}),
    ("x.proxy.rlwy.net:41234/d", "x.proxy.rlwy.net", "41234", {}),
    ("x.flycast:5432/d?sslmode=disable", "x.flycast", "5432", {"sslmode": "disable"}),
    ("h.ondigitalocean.com:25060/d?sslmode=require", "h.ondigitalocean.com", "25060", TLS),
    ("h.aivencloud.com:12691/d?sslmode=require", "h.aivencloud.com", "12691", TLS),
    # Several hosts, in the address and as parameters
    ("a:5433,b/d?target_session_attrs=primary", "a,b", "5433,5432", {}),
    ("/d?host=a,b&port=1,2", "a,b", "1,2", {}),
    ("/d?host=a,b&port=7", "a,b", "7,7", {}),
    # Other kinds of address
    ("[::1]:5433,[fd00::2]/d", "::1,fd00::2", "5433,5432", {}),
    ("/d?host=%2Fvar%2Frun", "/var/run", "", {}),
    ("%2Fvar%2Frun:5433/d", "/var/run", "5433", {}),
    # As SQLAlchemy, JDBC and Prisma have them; an empty value
    ("h/d?ssl=require", "h", "", TLS),
    ("h/d?ssl=true", "h", "", TLS),
    ("h/d?schema=public&pgbouncer=false&channel_binding=prefer", "h", "", {}),
    ("h/d?sslmode=&channel_binding=", "h", "", {}),
]


@pytest.mark.parametrize("address, host, port, told", PRINTED, ids=[row[0] for row in PRINTED])
def test_the_driver_is_told_all_of_it(
    address: str, host: str, port: str, told: dict[str, str]
) -> None:
    url = read(f"postgresql://{LOGIN}@{address}")

    servers = [dict(arguments) for arguments in url.servers]
    (written,) = {arguments.pop("dsn", "") for arguments in servers}
    dsn = urlsplit(written)
    assert (dsn.netloc, dsn.path) == ("", "")
    said = dict(parse_qsl(dsn.query)) | dict(url.server_settings)
    said |= {"connect_timeout": str(url.connect_seconds)}
    assert said == {"connect_timeout": "5", "application_name": "storecredit"} | told
    shared = {"user": USER, "password": PASSWORD, "database": "d", "target_session_attrs": "any"}
    ports = port.split(",") if port else []
    assert servers == [
        shared | {"host": name} | ({"port": int(number)} if number else {})
        for name, number in zip_longest(host.split(","), ports)
    ]
    assert PASSWORD not in repr(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", " Postgres"])
def test_a_scheme_is_postgres_in_any_of_its_spellings(scheme: str) -> None:
    assert read(f"{scheme}://{LOGIN}@h/d\n").hosts == ("h",)


def test_settings_of_the_session_are_taken() -> None:
    url = read(
        "postgres://u@h/d?application_name=shop&statement_timeout=5s&my.text=a b\\c"
        "&options=-c%20lock_timeout%3D1s"
    )
    assert url.server_settings == {
        "application_name": "shop",
        "statement_timeout": "5s",
        "my.text": "a b\\c",
        "options": "-c lock_timeout=1s",
    }
    url = read("postgres://h/d?fallback_application_name=x")
    assert url.server_settings == {"application_name": "x"}


@pytest.mark.parametrize(
    "said, seconds",
    [
        ("", 5),
        ("connect_timeout=10", 10),
        ("connect_timeout=0", CONNECT_MAX_SECONDS),
        ("connect_timeout=-1", CONNECT_MAX_SECONDS),
        ("connect_timeout=300", CONNECT_MAX_SECONDS),
    ],
)
def test_a_connection_may_take_as_long_as_the_url_says(said: str, seconds: int) -> None:
    url = read(f"postgres://h/d?{said}")
    assert url.connect_seconds == seconds


def test_a_login_is_decoded_once_and_a_plus_is_a_plus() -> None:
    url = read("postgres://me%40corp:%2525+%40%3A%5B@h/d%2Fe?application_name=a+b")
    assert url.servers[0]["user"] == "me@corp"
    assert url.servers[0]["password"] == "%25+@:["
    assert url.servers[0]["database"] == "d/e"
    assert url.server_settings["application_name"] == "a+b"
    assert read("postgres://me@corp:p@h/d").servers[0]["user"] == "me@corp"


@pytest.mark.parametrize(
    "parameter",
    [
        "pgbouncer=true", "channel_binding=require", "connection_limit=1", "pool_timeout=0",
        "statement_cache_size=0", "schema=shop", "sslaccept=strict", "hostaddr=127.0.0.1",
        "client_encoding=latin1", "gssencmode=require", "keepalives_idle=30", "sslsni=0",
        "load_balance_hosts=random", "require_auth=scram-sha-256", "replication=database",
    ],
)  # fmt: skip
def test_what_cannot_be_obeyed_is_refused_by_name(parameter: str) -> None:
    name, _, value = parameter.partition("=")
    said = refusal(f"postgres://{LOGIN}@h/d?sslmode=require&{parameter}")
    assert said.startswith(f"Drop {name} from the database URL: ")
    assert f"={value}" not in said


def test_a_pooler_in_transaction_mode_is_told_what_it_lacks() -> None:
    said = refusal(f"postgres://{LOGIN}@h:6543/d?pgbouncer=true")
    for lacking in ("LISTEN", "prepared statements", "advisory locks", "role", "5432"):
        assert lacking in said


@pytest.mark.parametrize(
    "url, named",
    [
        (f"postgres://{LOGIN}@h/d?sslmode=no-verify", "sslmode"),
        (f"postgres://{LOGIN}@h/d?ssl=maybe", "sslmode"),
        (f"postgres://{LOGIN}@h/d?target_session_attrs=writer", "target_session_attrs"),
        (f"postgres://{LOGIN}@h/d?connect_timeout=soon", "connect_timeout"),
        (f"postgres://{LOGIN}@h/d?sslrootcert=/no/such/file.pem", "sslrootcert"),
        (f"postgres://{LOGIN}@h/d?sslmode=verify-full", "sslrootcert=system"),
        ("", "postgresql://"),
        (f"psql 'postgresql://{LOGIN}@h/d'", "postgresql://"),
        (f"mysql://{LOGIN}@h/d", "postgresql://"),
        (f"postgresql:{LOGIN}@h/d", "postgresql://"),
        ("host=h user=u password=sesame", "postgresql://"),
        ("postgresql://u:/sesame@h/d", "percent-encoded"),
        ("postgresql://u:#sesame@h/d", "percent-encoded"),
        ("postgresql://u:?sesame@h/d", "percent-encoded"),
        ("postgresql://u:1/sesame@h/d", "percent-encoded"),
        ("postgresql://u:1?sesame=@h/d", "percent-encoded"),
        ("postgresql://u:[sesame]@h/d", "percent-encoded"),
        (f"postgresql://{LOGIN}@h:port/d", "postgresql://"),
        (f"postgresql://{LOGIN}@h:65536/d", "postgresql://"),
        (f"postgresql://{LOGIN}@/d?host=a,b,c&port=1,2", "postgresql://"),
        (f"postgresql://{LOGIN}@h/d?sesame", "postgresql://"),
    ],
)
def test_what_cannot_be_read_is_told_and_not_quoted(url: str, named: str) -> None:
    assert named in refusal(url)


def test_the_certificates_of_the_machine_are_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    url = read("postgres://h/d?sslmode=verify-full&sslrootcert=system")
    assert dict(parse_qsl(urlsplit(url.servers[0]["dsn"]).query)) == {
        "sslrootcert": str(file),
        "sslmode": "verify-full",
    }
