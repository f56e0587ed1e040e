"""Where what is brought along comes from: a database, or a directory of CSV files.

Both hand over the same tables (`tables.py`), one after the other, into a session of ours.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from storecredit.moving.tables import ARRAY_COLUMN, TABLES, Column, OldTable
from storecredit.postgres.copying import (
    CannotCopy,
    CopySession,
    OtherDatabase,
    other_database,
    pipe,
)

SCHEMA: Final = "public"
PIECE_CHARACTERS: Final = 1 << 16
CELL_MAX_CHARACTERS: Final = 1 << 24
"""Of a column that is not even brought along, such as an event's payload."""


class Tables(Protocol):
    """The tables of one source, while it is open."""

    async def copy(self, table: OldTable, session: CopySession) -> int | None:
        """Lay a table's rows down, and return how many; None: there is no such table.

        Raises CannotCopy, with a sentence; DatabaseUnavailable.
        """


class Source(Protocol):
    """What can be opened to be read, once."""

    def open(self) -> AbstractAsyncContextManager[Tables]:
        """All its tables as they are at one moment, as far as it can promise that."""


class DatabaseSource:
    """The schema `public` of a PostgreSQL database, which is only read."""

    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Tables]:
        """In one snapshot."""
        async with other_database(self._url) as database:
            yield _DatabaseTables(database)


class _DatabaseTables:
    def __init__(self, database: OtherDatabase) -> None:
        self._database = database

    async def copy(self, table: OldTable, session: CopySession) -> int | None:
        types = await self._database.column_types(SCHEMA, table.name)
        if not types:
            return None
        query = _query(table, types)
        return await pipe(
            partial(self._database.copy_out, table.name, query),
            lambda pieces: session.copy_in(
                table.staged, table.staged_columns, pieces, format="binary", named=table.name
            ),
        )


class CsvSource:
    """A directory with one CSV file per table, `stores.csv` and so on, each with a header."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Tables]:
        """File by file. Raises CannotCopy if none of them is there."""
        if not any(self._path(table).exists() for table in TABLES):
            raise CannotCopy(
                f"{self._directory} has none of the files {TABLES[0].name}.csv … "
                f"{TABLES[-1].name}.csv. Nothing was imported."
            )
        csv.field_size_limit(CELL_MAX_CHARACTERS)
        yield self

    async def copy(self, table: OldTable, session: CopySession) -> int | None:
        """As `Tables`."""
        path = self._path(table)
        if not path.exists():
            return None

        async def pieces() -> AsyncIterator[bytes]:
            for piece in _pieces(path, table):
                yield piece

        return await session.copy_in(
            table.staged, table.staged_columns, pieces(), format="csv", named=path.name
        )

    def _path(self, table: OldTable) -> Path:
        return self._directory / f"{table.name}.csv"


def _query(table: OldTable, types: dict[str, str]) -> str:
    """The rows of a table there as they are laid down here."""
    values = [] if table.owner_kind is None else [f"'{table.owner_kind}'::text"]
    for column in table.columns:
        name = _name_there(column, list(types), table.name)
        if name is None:
            values.append(f"NULL::{column.type}")
        elif types[name].endswith("[]"):
            values.append(f"to_json({_quoted(name)})::text")
        else:
            values.append(f"{_quoted(name)}::{column.type}")
    return f"SELECT {', '.join(values)} FROM {_quoted(SCHEMA)}.{_quoted(table.name)}"  # noqa: S608 - names of ours and of the catalogue


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _name_there(column: Column, there: Sequence[str], table: str) -> str | None:
    """What a column is called there; None: it is not there, and need not be."""
    found = next((name for name in column.names if name in there), None)
    if found is None and column.is_needed:
        raise CannotCopy(f"{table} has no column {column.names[0]}. Nothing was imported.")
    return found


def _pieces(path: Path, table: OldTable) -> Iterator[bytes]:
    """A file's rows, as COPY takes them."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    for row in _rows(path, table):
        writer.writerow(row)
        if written.tell() >= PIECE_CHARACTERS:
            yield written.getvalue().encode()
            written.seek(0)
            written.truncate()
    yield written.getvalue().encode()


def _rows(path: Path, table: OldTable) -> Iterator[list[str]]:
    """What is brought along of a file's rows. Raises CannotCopy."""
    kind = [] if table.owner_kind is None else [table.owner_kind]
    # A byte order mark is what spreadsheets write.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            places = _places(header, table, path)
            for number, row in enumerate(reader, 1):
                if not row:
                    continue
                if len(row) != len(header):
                    raise CannotCopy(
                        f"{path.name}, row {number}: {len(row)} cells where the header has "
                        f"{len(header)}. Nothing was imported."
                    )
                yield [*kind, *(_cell(row, place, name) for name, place in places)]
        except (csv.Error, UnicodeDecodeError) as error:
            raise CannotCopy(f"{path.name} is no CSV in UTF-8: {error}.") from error


def _places(header: list[str], table: OldTable, path: Path) -> list[tuple[str, int | None]]:
    """Where in a row each column stands."""
    names = [_name_there(column, header, path.name) for column in table.columns]
    places = [None if name is None else header.index(name) for name in names]
    return [(column.name, place) for column, place in zip(table.columns, places, strict=True)]


def _cell(row: list[str], place: int | None, name: str) -> str:
    """Empty is null: COPY takes it so, and the writer does not quote it."""
    cell = "" if place is None else row[place]
    return json.dumps(_texts(cell)) if cell and name == ARRAY_COLUMN else cell


def _texts(cell: str) -> list[str]:
    """Several texts in a cell: as JSON has them, as PostgreSQL does, or with commas between."""
    if cell.startswith("["):
        try:
            found = json.loads(cell)
        except ValueError:
            raise CannotCopy(f"{cell!r} is no list of domains. Nothing was imported.") from None
        return [text for text in found if isinstance(text, str)]
    inner = cell.removeprefix("{").removesuffix("}")
    return [text for text in next(csv.reader([inner]), []) if text]
