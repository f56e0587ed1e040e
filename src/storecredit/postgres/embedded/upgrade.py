"""Brings the embedded database up to this release's PostgreSQL, from a major version before it.

Hides PostgreSQL's `pg_upgrade`, what it needs and what it leaves to do. Promises that the cluster
of before is not changed and is kept; that the new one takes its place only when it has been read
back, row for row the same, migrated and proven; and that a process killed at any moment leaves the
one or the other, and an upgrade that can be run again.

`pg_upgrade` copies the files of tables as they are and makes the catalogue anew, so no row goes
through a dump; see https://www.postgresql.org/docs/18/pgupgrade.html. Files are not linked: one
that both clusters had in common would be no way back.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import asyncpg

from storecredit.postgres.embedded.cluster import (
    LOG_TAIL_LINES,
    PORT,
    POSTGRES_BIN,
    POSTGRES_VERSION,
    SUPERUSER,
    Cluster,
    NoCluster,
    open_private,
    sync_directory,
)
from storecredit.postgres.embedded.contents import Contents, contents_of
from storecredit.postgres.embedded.embedded_postgres import APP_ROLE, DATABASE, EmbeddedPostgres
from storecredit.postgres.embedded.server import Server, to_the_end
from storecredit.postgres.embedded.system_user import (
    COMMAND_TIMEOUT_SECONDS,
    Account,
    EmbeddedPostgresError,
)
from storecredit.postgres.schema.migrate import migrate
from storecredit.telemetry import get_logger

INSTALLED: Final = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")
"""Where the packages of Debian, and those of PostgreSQL for Red Hat, put a version's programs."""
CONFIGURATION: Final = (
    "postgresql.conf",
    "postgresql.auto.conf",
    "pg_hba.conf",
    "pg_ident.conf",
)
"""What an operator may have edited; pg_upgrade leaves it to whoever runs it."""
FREE_MARGIN_BYTES: Final = 512 * 1024 * 1024
"""For the WAL of the new cluster, beside a copy of all files of the old one."""
REPORT_MAX_BYTES: Final = 64 * 1024
TEMPLATE: Final = "template1"

Tell = Callable[[str], None]
"""Called with what is being done."""
Prove = Callable[[str], Awaitable[None]]
"""Called with the service's URL of the upgraded database; what it raises keeps the old one."""

log = get_logger("postgres.upgrade")


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade came to: the versions, where the old cluster is, what was compared."""

    before: str
    after: str
    kept: Path
    tables: int
    rows: int


async def upgrade(
    data_dir: Path, prove: Prove, *, old_programs: Path | None = None, tell: Tell
) -> Upgraded | None:
    """Upgrade the cluster in `data_dir`; None if it is of this release's version already.

    `old_programs` is the directory with the programs of the PostgreSQL that made it, if they are
    not where packages put them. Raises `NoCluster`, `EmbeddedPostgresError`, or what `migrate` and
    `prove` raise; the cluster is then as it was.
    """
    cluster = Cluster(data_dir)
    if not cluster.data_dir.is_dir() or (cluster.version() is None and not cluster.kept()):
        raise NoCluster(f"There is no database in {cluster.data_dir}: name the right directory.")
    postgres = EmbeddedPostgres(data_dir)
    async with postgres.kept_unused():
        await asyncio.to_thread(_put_back, cluster)
        version = cluster.version()
        if version == POSTGRES_VERSION:
            return None
        if version is None:
            raise NoCluster(f"There is no database in {cluster.data_dir} any more.")
        if version > POSTGRES_VERSION:
            raise cluster.of_another_version(version)
        programs = await asyncio.to_thread(_find_programs, version, old_programs)
        await asyncio.to_thread(_refuse_what_cannot_be, cluster, version)
        work = await asyncio.to_thread(_Work.begin, cluster, programs)
        try:
            return await work.upgrade(prove, tell)
        finally:
            await work.clear()


class _Work:
    """One upgrade, in a directory of its own beside the cluster."""

    def __init__(self, cluster: Cluster, programs: Path, account: Account) -> None:
        self._account = account
        self._old = Cluster(cluster.data_dir, programs)
        self._old_server = Server(self._old, TEMPLATE)
        # The name that `clear_abandoned` looks for.
        self._new = Cluster(cluster.data_dir / "postgres.new-upgrade")
        self._new_server = Server(self._new, DATABASE)
        # Not where it goes away with the copy, if that fails.
        self._log_path = self._new.log_path = cluster.data_dir / "postgres.upgrade.log"

    @classmethod
    def begin(cls, cluster: Cluster, programs: Path) -> "_Work":
        account = Account.of(cluster.path)
        work = cls(cluster, programs, account)
        work._new.data_dir.mkdir()
        account.own(work._new.data_dir)
        for path in (programs / "postgres", POSTGRES_BIN / "postgres", work._new.path):
            account.reach(path)
        work._log_path.unlink(missing_ok=True)
        return work

    async def upgrade(self, prove: Prove, tell: Tell) -> Upgraded:
        before, after = _version_of(self._old.programs), _version_of(POSTGRES_BIN)
        tell(f"Reading every row under PostgreSQL {before}")
        async with self._running(self._old_server) as host:
            contents = await self._read(host)
        tell(f"Copying the database for PostgreSQL {after}")
        await self._copy()
        tell(f"Reading every row under PostgreSQL {after}")
        async with self._running(self._new_server) as host:
            self._refuse_difference(contents, await self._read(host))
            await self._run("vacuumdb", *_connection(host), "--all", *_MISSING_STATISTICS)
            tell("Migrating it, and proving the ledger")
            await migrate(self._new_server.url(SUPERUSER), app_may_login=True)
            await prove(self._new_server.url(APP_ROLE))
        await self._run("initdb", "--sync-only", *_SYNC, "-D", str(self._new.path))
        kept = await asyncio.to_thread(self._take_over)
        self._log_path.unlink()
        log.info("postgres_upgraded", before=before, after=after, kept=str(kept))
        return Upgraded(before, after, kept, contents.tables, contents.rows)

    async def clear(self) -> None:
        """End whatever still runs, and remove what is not needed; the old cluster stays."""
        await to_the_end(self._old.clear_abandoned)
        await self._old_server.end()

    @asynccontextmanager
    async def _running(self, server: Server) -> AsyncIterator[str]:
        """Its socket's directory."""
        await server.bring_up(self._account)
        try:
            yield str(server.socket_dir)
        finally:
            await server.shut_down()

    async def _read(self, host: str) -> Contents:
        try:
            return await contents_of(host, PORT, SUPERUSER)
        except asyncpg.PostgresError as error:
            raise EmbeddedPostgresError(
                f"A table could not be read: {error}. {self._old.path} is as it was."
            ) from error

    async def _copy(self) -> None:
        control = self._control_data()
        checksums = int(control["Data page checksum version"]) != 0
        options = [f"--wal-segsize={int(control['Bytes per WAL segment']) // 2**20}"]
        if not checksums:
            options.append("--no-data-checksums")
        await to_the_end(self._new.create, self._account, *options)
        # Not in the directory that is to go: by its name `clear_abandoned` knows what to kill, and
        # the old server, if it runs by then, is to be shut down.
        sockets = self._old.find_socket_dir(self._account)
        for left in sockets.glob(".s.PGSQL.*"):
            # Of a killed server: its process id may be a stranger's by now, and count as alive.
            left.unlink()
        await self._run(
            *("pg_upgrade", "--username", SUPERUSER, "--socketdir", str(sockets), *_SYNC),
            *("--old-bindir", str(self._old.programs), "--new-bindir", str(POSTGRES_BIN)),
            *("--old-datadir", str(self._old.path), "--new-datadir", str(self._new.path)),
        )
        for name in CONFIGURATION:
            # Into what initdb made, whose owner it keeps.
            await asyncio.to_thread(shutil.copyfile, self._old.path / name, self._new.path / name)
        if not checksums:
            await self._run("pg_checksums", "--enable", "-D", str(self._new.path))

    def _control_data(self) -> dict[str, str]:
        """What pg_controldata says of the old cluster, by the names it prints."""
        said = self._account.run(
            str(self._old.programs / "pg_controldata"), str(self._old.path), capture_output=True
        )
        lines = (line.partition(":") for line in said.stdout.decode().splitlines())
        return {name: value.strip() for name, _, value in lines}

    async def _run(self, program: str, *arguments: str) -> None:
        """Run a program of this release to its end; what it says is in the log."""
        with self._open_log() as output:
            process = await asyncio.create_subprocess_exec(
                *(str(POSTGRES_BIN / program), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self._account.manner(cwd=self._new.data_dir),
            )
            try:
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if status != 0:
                self._append_reports(output.fileno(), "txt")
                failure = self._failure(program)
                self._append_reports(output.fileno(), "log")
                raise failure

    def _open_log(self) -> BinaryIO:
        return open(self._log_path, "ab", opener=open_private)

    def _append_reports(self, output: int, kind: str) -> None:
        """What pg_upgrade wrote of its reasons (txt), or its servers said (log), before it goes."""
        for path in sorted(self._new.path.glob(f"pg_upgrade_output.d/**/*.{kind}")):
            os.write(output, f"\n{path.name}:\n".encode() + path.read_bytes()[-REPORT_MAX_BYTES:])

    def _failure(self, program: str) -> EmbeddedPostgresError:
        lines = self._log_path.read_text(errors="replace").rstrip().splitlines()
        return EmbeddedPostgresError(
            f"PostgreSQL's {program} could not upgrade {self._old.path}, and nothing was changed. "
            f"What it said, all of it in {self._log_path}, ends:\n"
            + "\n".join(lines[-LOG_TAIL_LINES:])
        )

    def _refuse_difference(self, before: Contents, after: Contents) -> None:
        difference = before.difference(after)
        if difference is not None:
            raise EmbeddedPostgresError(
                f"The upgraded copy is not what was copied: {difference}. The copy was thrown "
                f"away, and {self._old.path} is as it was; please report this."
            )

    def _take_over(self) -> Path:
        """Put the new cluster in the place of the old one, which is kept beside it.

        Between the two renames there is none: `exists` refuses to make one, and `_put_back`
        undoes the first.
        """
        kept = self._old.keeping_place(self._old.version() or 0)
        self._old.path.rename(kept)
        sync_directory(self._old.data_dir)
        self._new.path.rename(self._old.path)
        sync_directory(self._old.data_dir)
        return kept


_SYNC = ("--sync-method=syncfs",) if sys.platform == "linux" else ()
_MISSING_STATISTICS = ("--analyze-only", "--missing-stats-only")


def _connection(host: str) -> tuple[str, ...]:
    return ("--host", host, "--port", str(PORT), "--username", SUPERUSER)


def _put_back(cluster: Cluster) -> None:
    """Undo the first of two renames, where an upgrade was killed between them."""
    kept = cluster.kept()
    if cluster.version() is None and kept:
        log.warning("kept_cluster_put_back", path=str(kept[-1]))
        kept[-1].rename(cluster.path)
        sync_directory(cluster.data_dir)


def _find_programs(version: int, named: Path | None) -> Path:
    """The directory with the programs of a major version of PostgreSQL."""
    places = [named.resolve()] if named else [Path(each.format(version)) for each in INSTALLED]
    for place in places:
        if (place / "postgres").exists():
            found = _version_of(place)
            if found.split(".")[0] != str(version):
                raise EmbeddedPostgresError(
                    f"The database was made by PostgreSQL {version}, and {place} has {found}. "
                    f"Nothing was changed; name the directory of {version} with --old-bin."
                )
            return place
    looked = f"not in {named}" if named else "not where packages put them"
    raise EmbeddedPostgresError(
        f"The programs of PostgreSQL {version}, which made the database, are needed once more, and "
        f"are {looked}. Nothing was changed; install them, or name their directory with --old-bin "
        "(docs/embedded.md says where to get them)."
    )


def _version_of(programs: Path) -> str:
    """As `16.14`."""
    command = [str(programs / "postgres"), "--version"]
    said = subprocess.run(  # noqa: S603 - a path of the operator's
        command, check=True, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_SECONDS
    ).stdout
    found = re.match(r"postgres \(PostgreSQL\) ([0-9.]+)", said)
    if found is None:
        raise EmbeddedPostgresError(f"{command[0]} is no PostgreSQL: it says {said.strip()!r}.")
    return found[1]


def _refuse_what_cannot_be(cluster: Cluster, version: int) -> None:
    kept = cluster.keeping_place(version)
    if kept.exists():
        raise EmbeddedPostgresError(
            f"{kept} is there already, from an upgrade before. Nothing was changed; remove it, or "
            "move it away."
        )
    if any((cluster.path / "pg_tblspc").iterdir()):
        raise EmbeddedPostgresError(
            f"{cluster.path} has tablespaces, which this command does not move. Nothing was "
            "changed; move their tables to pg_default and drop them, with the release before."
        )
    # The WAL is not copied.
    parts = [path for path in cluster.path.iterdir() if path.name != "pg_wal"]
    files = (path for part in parts for path in (part, *part.rglob("*")) if path.is_file())
    needed = sum(path.lstat().st_blocks * 512 for path in files) + FREE_MARGIN_BYTES
    free = shutil.disk_usage(cluster.data_dir).free
    if free < needed:
        raise EmbeddedPostgresError(
            f"The upgrade keeps the old database, so it needs {needed / 2**30:.1f} GiB in "
            f"{cluster.data_dir}, where {free / 2**30:.1f} GiB are free. Nothing was changed."
        )
