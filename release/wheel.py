"""Builds the wheel of a commit: the same bytes whenever, wherever and by whomever it is built.

What could differ is taken from the commit: which files there are, their modes, and their time
(SOURCE_DATE_EPOCH, https://reproducible-builds.org/specs/source-date-epoch/, which setuptools
writes into the archive). The versions of Python and of setuptools remain; the lock file names one
setuptools.
"""

import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]


def build(directory: Path, commit: str = "HEAD") -> Path:
    """The wheel, written into `directory`. Raises CalledProcessError with what was said."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source, made = Path(temporary, "source"), Path(temporary, "made")
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
            archive.extractall(source, filter=_with_usual_mode)  # noqa: S202 - git's own, filtered
        epoch = _git("show", "--no-patch", "--format=%ct", commit).decode().strip()
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", made, source],
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
            umask=0o022,
            check=True,
        )
        (wheel,) = made.iterdir()
        return Path(shutil.copy(wheel, directory))


def _with_usual_mode(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """What git keeps of a file's mode, whatever the mask of whoever builds."""
    found = tarfile.data_filter(member, path)
    is_for_all = member.isdir() or member.mode & stat.S_IXUSR
    return found.replace(mode=0o755 if is_for_all else 0o644, deep=False)


def _git(*arguments: str) -> bytes:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))  # noqa: T201 - it is a command
