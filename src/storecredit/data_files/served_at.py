"""Where the service was served last, for the commands that print links into it."""

import contextlib
from pathlib import Path
from typing import Final

from storecredit.data_files.durable_files import make_directory

SERVED_AT: Final = "served.at"
"""The file's name in a data directory; it holds an address, like http://127.0.0.1:8080."""


def note_address(data_dir: Path, url: str) -> None:
    """Keep where this service can be reached from this machine.

    A disk that takes no files is no reason not to serve: the commands then go by the settings.
    """
    with contextlib.suppress(OSError):
        make_directory(data_dir)
        (data_dir / SERVED_AT).write_text(url)


def noted_address(data_dir: Path) -> str | None:
    """What was kept last, if anything was."""
    try:
        return (data_dir / SERVED_AT).read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None
