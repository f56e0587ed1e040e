"""Three PostgreSQL servers under Patroni, as Debian packages them, set up as our page says.

Hides ports, files, system user and processes. Promises that nothing outlives `end`: every process
is ended by its number.
"""

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import psutil

from storecredit.postgres.embedded.system_user import Account
from tests.crash.waiting import until_true
from tests.e2e.page_commands import Page
from tests.free_ports import free_port
from tests.postgres.replication.nodes import end_server, server_processes

PAGE: Final = Page("docs/high-availability.md")
ETCD: Final = Path("/usr/bin/etcd")
PATRONI: Final = Path("/usr/bin/patroni")
PATRONICTL: Final = Path("/usr/bin/patronictl")
POSTGRES: Final = Path("/usr/lib/postgresql/15/bin/postgres")
NEEDED: Final = (ETCD, PATRONI, PATRONICTL, POSTGRES)
INSTALLED_AT: Final = "/etc/patroni/storecredit.yml"
THROWN_AWAY: Final = "{unix_socket_directories: '', fsync: 'off', dynamic_shared_memory_type: mmap}"
NAMES: Final = ("pg1", "pg2", "pg3")
START_MAX_SECONDS: Final = 120.0
MOVED_MAX_SECONDS: Final = 180.0
LOG_TAIL_LINES: Final = 20


@dataclass(slots=True)
class Member:
    """One server and the Patroni that looks after it."""

    name: str
    directory: Path
    port: int
    api_port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def configuration(self) -> Path:
        return self.directory / "patroni.yml"

    def postgres(self) -> list[psutil.Process]:
        """The postmaster and its children."""
        return server_processes(self.data)


@dataclass(slots=True)
class Patroni:
    """The cluster."""

    directory: Path
    account: Account
    members: list[Member]
    etcd_ports: tuple[int, int]
    _page: str
    """The settings of the page's first server."""
    _passwords: dict[str, str]
    _etcd: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def in_directory(cls, directory: Path) -> "Patroni":
        account = Account.of(directory)
        account.own(directory)
        account.reach(directory / "any")
        members = [Member(name, directory / name, free_port(), free_port()) for name in NAMES]
        (page,) = PAGE.blocks("yaml")
        passwords = dict(re.findall(r"username: (\S+)\n +password: (\S+)\n", page))
        return cls(directory, account, members, (free_port(), free_port()), page, passwords)

    async def start(self) -> None:
        """Returns when there is a primary and a synchronous standby."""
        client, peer = (f"http://127.0.0.1:{port}" for port in self.etcd_ports)
        self._etcd = self._launch(
            *(str(ETCD), "--name", "one", "--data-dir", str(self.directory / "etcd")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"one={peer}", "--unsafe-no-fsync"),
            log=self.directory / "etcd.log",
        )
        for member in self.members:
            member.directory.mkdir()
            self.account.own(member.directory)
            member.configuration.write_text(self._settings(member))
            os.chown(member.configuration, self.account.uid, self.account.gid)
            self.start_member(member)
        await self.until_whole()

    def start_member(self, member: Member) -> None:
        """Start its Patroni, which starts its PostgreSQL."""
        member.process = self._launch(
            str(PATRONI), str(member.configuration), log=member.directory / "patroni.log"
        )

    async def until_whole(self) -> None:
        """Wait until one leads, the others stream from it, and one of them is synchronous."""

        async def is_whole() -> bool:
            found = await self._members_now()
            roles = [member["role"] for member in found]
            states = {member["state"] for member in found}
            timelines = {member.get("timeline") for member in found}
            return (
                sorted(roles) == ["leader", "replica", "sync_standby"]
                and states <= {"running", "streaming"}
                and len(timelines) == 1
            )

        await until_true(is_whole, "the cluster is whole", START_MAX_SECONDS, self.log_tails)

    async def leader(self) -> Member:
        """The member that is the primary, as Patroni says."""
        return await self._of_role("leader")

    async def until_led_by_another(self, than: Member) -> Member:
        """Wait for a new primary."""

        async def has_moved() -> bool:
            leaders = [each for each in await self._members_now() if each["role"] == "leader"]
            return any(each["name"] != than.name and each["state"] == "running" for each in leaders)

        await until_true(has_moved, "another leads", MOVED_MAX_SECONDS, self.log_tails)
        return await self.leader()

    def kill_postgres(self, member: Member) -> None:
        """SIGKILL to PostgreSQL, all of its processes at once."""
        processes = member.postgres()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=START_MAX_SECONDS)

    def kill_patroni(self, member: Member) -> None:
        """SIGKILL to Patroni alone: its PostgreSQL goes on, as it was."""
        assert member.process is not None
        member.process.kill()
        member.process.wait()
        member.process = None

    def kill(self, member: Member) -> None:
        """SIGKILL to Patroni and to PostgreSQL, as when the machine is gone."""
        self.kill_patroni(member)
        self.kill_postgres(member)

    async def switch_over(self) -> None:
        """As the page says: the primary moves to the synchronous standby."""
        leader = await self.leader()
        self.patronictl("switchover")
        await self.until_led_by_another(leader)

    def patronictl(self, action: str) -> str:
        """What the page's command of that name prints."""
        (line,) = re.findall(rf"^patronictl .* {action}\b.*$", PAGE.text, re.MULTILINE)
        words = line.replace(INSTALLED_AT, str(self.members[0].configuration)).split()
        try:
            done = self.account.run(
                str(PATRONICTL), *words[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except subprocess.CalledProcessError as error:
            said = error.stdout.decode(errors="replace")
            raise AssertionError(f"{line}: {said}\n{self.log_tails()}") from error
        return done.stdout.decode()

    def url(self, user: str, database: str) -> str:
        """All servers in one URL, as on the page."""
        login = f"{user}:{self._passwords[user]}"
        return f"postgresql://{login}@{self.servers}/{database}?connect_timeout=2"

    @property
    def servers(self) -> str:
        """As they stand in a URL."""
        return ",".join(f"127.0.0.1:{member.port}" for member in self.members)

    async def run_as_superuser(self, statements: str, database: str = "postgres") -> None:
        """Run statements on the primary, each by itself."""
        connection = await self.connect(database)
        try:
            for statement in filter(str.strip, statements.split(";")):
                await connection.execute(statement)
        finally:
            await connection.close()

    async def connect(
        self, database: str, settings: dict[str, str] | None = None
    ) -> asyncpg.Connection:
        """A superuser's connection to the primary."""
        leader = await self.leader()
        return await asyncpg.connect(
            host="127.0.0.1",
            port=leader.port,
            user="postgres",
            password=self._passwords["postgres"],
            database=database,
            server_settings=settings,
        )

    def remember_password(self, user: str, password: str) -> None:
        """Of a role that was made by hand."""
        self._passwords[user] = password

    def log_tails(self) -> str:
        """The ends of all logs, for a failure's message."""
        logs = [self.directory / "etcd.log"]
        logs += [member.directory / "patroni.log" for member in self.members]
        return "\n".join(
            f"--- {log.parent.name}/{log.name} ends:\n"
            + "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
            for log in logs
            if log.exists()
        )

    def end(self) -> None:
        """Whatever state it is in: nothing of it runs any more."""
        for member in self.members:
            if member.process is not None:
                member.process.kill()
                member.process.wait()
            end_server(member.data)
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def _members_now(self) -> list[dict[str, Any]]:
        """As whoever answers first says; nobody: none."""
        async with httpx.AsyncClient(timeout=5) as client:
            for member in self.members:
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.get(f"http://127.0.0.1:{member.api_port}/cluster")
                    found: list[dict[str, Any]] = answer.json()["members"]
                    return found
        return []

    async def _of_role(self, role: str) -> Member:
        names: list[str] = []

        async def is_there() -> bool:
            found = await self._members_now()
            names[:] = [member["name"] for member in found if member["role"] == role]
            return len(names) == 1

        await until_true(is_there, f"there is a {role}", MOVED_MAX_SECONDS, self.log_tails)
        return next(member for member in self.members if member.name == names[0])

    def _settings(self, member: Member) -> str:
        """What the page says, at places of our own, and without waiting for the disk."""
        own = {
            "name: pg1": f"name: {member.name}",
            "10.0.0.1:8008": f"127.0.0.1:{member.api_port}",
            "10.0.0.1:5432": f"127.0.0.1:{member.port}",
            "10.0.0.11:2379": f"127.0.0.1:{self.etcd_ports[0]}",
            "10.0.0.0/24": "127.0.0.1/32",
            "/var/lib/postgresql/storecredit": str(member.data),
            "  pg_hba:": f"  parameters: {THROWN_AWAY}\n  pg_hba:",
        }
        settings = self._page
        for said, here in own.items():
            assert said in settings, f"{PAGE.path} has no {said}"
            settings = settings.replace(said, here)
        return settings

    def _launch(self, *command: str, log: Path) -> "subprocess.Popen[bytes]":
        """As the cluster's user, at home where its log is."""
        options: dict[str, Any] = {}
        if self.account.uid != os.geteuid():
            options = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={"LC_ALL": "C.UTF-8", "PATH": os.defpath, "HOME": str(log.parent)},
                start_new_session=True,
                **options,
            )
