"""The system user that PostgreSQL's programs run as, and running them as that one.

Hides what root has to do for an ordinary user to reach files and programs. Promises that nothing of
this process's own environment (its keys, PG* variables) reaches a program, and no Ctrl-C.
"""

import contextlib
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storecredit.telemetry import get_logger

SYSTEM_USER = "pgserver"
COMMAND_TIMEOUT_SECONDS = 120.0
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}

log = get_logger("postgres.system_user")


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the message is for people."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system user PostgreSQL runs as: oneself, but never root, which PostgreSQL refuses."""

    uid: int
    gid: int

    @classmethod
    def of(cls, cluster: Path) -> "Account":
        """For root: the owner of the cluster, or `SYSTEM_USER` while there is none."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        if (cluster / "PG_VERSION").exists() and (info := cluster.stat()).st_uid != 0:
            return cls(info.st_uid, info.st_gid)
        entry = _system_user()
        return cls(entry.pw_uid, entry.pw_gid)

    def run(self, *command: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
        """Run a command as this user, in a session of its own (out of reach of Ctrl-C)."""
        # No outsider's word is part of any command, which is what S603 asks to be sure of.
        return subprocess.run(  # noqa: S603
            command, check=True, timeout=COMMAND_TIMEOUT_SECONDS, **self.manner(), **options
        )

    def manner(self, cwd: Path = Path("/")) -> dict[str, Any]:
        """The arguments of `subprocess` that make a program run as this user, and apart."""
        apart = {"cwd": cwd, "env": ENVIRONMENT, "start_new_session": True}
        if self.uid == os.geteuid():
            return apart
        return apart | {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, directory: Path) -> None:
        """Make `directory` this user's alone."""
        if self.uid != os.geteuid():
            os.chown(directory, self.uid, self.gid)
        directory.chmod(0o700)

    def keeps_private(self, directory: Path) -> bool:
        """Whether `directory` is one, is this user's, and is shut to all others."""
        try:
            info = directory.lstat()
        except FileNotFoundError:
            return False
        shut = not stat.S_IMODE(info.st_mode) & 0o077
        return stat.S_ISDIR(info.st_mode) and info.st_uid == self.uid and shut

    def reach(self, path: Path) -> None:
        """As root, let this user pass through the parents of `path`; touches only those shut."""
        if self.uid == os.geteuid():
            return
        for directory in path.parents:
            info = directory.stat()
            of_others = stat.S_IXGRP if info.st_gid == self.gid else stat.S_IXOTH
            missing = (stat.S_IXUSR if info.st_uid == self.uid else of_others) & ~info.st_mode
            if missing:
                directory.chmod(stat.S_IMODE(info.st_mode) | missing)
                log.warning("directory_made_passable", path=str(directory), uid=self.uid)


def _system_user() -> pwd.struct_passwd:
    """The entry of `SYSTEM_USER`, made if it is missing: without a home, a password or a shell."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ("useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER)
    try:
        made = subprocess.run(  # noqa: S603 - no outsider's word is part of it
            command, check=False, timeout=COMMAND_TIMEOUT_SECONDS, capture_output=True, text=True
        )
        said = made.stderr.strip()
    except OSError as error:
        said = str(error)
    try:
        # Also if it failed: another process may have been faster.
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, and the system user {SYSTEM_USER} to run it "
            f"could not be made: {said}. Make that user, or run as an ordinary one."
        ) from None
