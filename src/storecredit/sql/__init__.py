"""The atomic core in plain SQL: tables, functions, the interface for other programs, the rights."""

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable


def text(path: str) -> str:
    """The text of one file, by its path below this folder."""
    return resources.files(__name__).joinpath(path).read_text(encoding="utf-8")


def files(folder: str = "") -> Iterator[tuple[str, str]]:
    """Path below `folder` and text of every SQL file in it, in order of their paths."""
    return _files(resources.files(__name__).joinpath(folder), "")


def _files(folder: Traversable, above: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = f"{above}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{path}/")
        elif path.endswith(".sql"):
            yield path, entry.read_text(encoding="utf-8")
