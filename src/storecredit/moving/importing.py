"""`storecredit import`: what the system before held is laid down, planned, and written.

All of it is first laid down in tables of the session's own, where it is planned in SQL; nothing
else is touched by that. Then some owners at a time are written with all that is theirs, each in one
transaction that says that they are there: whoever is killed goes on where it was, and a second run
changes nothing.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from storecredit.moving.findings import Finding, FindingKind, Findings
from storecredit.moving.sources import Source
from storecredit.moving.tables import TABLES, OldTable, without_descriptions
from storecredit.postgres.copying import CannotCopy, CopySession, copy_session
from storecredit.stores.origins import normalise_origin

CHUNK_MOVEMENTS: Final = 20_000
"""About so many movements are written in one transaction; an owner's are never parted."""
FINDINGS_OF_A_KIND_MAX: Final = 20

_DOMAINS: Final = """
    SELECT DISTINCT d.domain FROM staged_keys k
    CROSS JOIN LATERAL json_array_elements_text(k.domains::json) d (domain)
    WHERE d.domain IS NOT NULL"""
_CONTENTS: Final = """
    SELECT count(*) FILTER (WHERE o.owner_kind = 'store') AS stores,
        count(*) FILTER (WHERE o.owner_kind = 'user') AS users,
        count(*) FILTER (WHERE o.is_imported) AS imported_before,
        coalesce(sum(o.target), 0)::bigint AS credits,
        (SELECT count(*) FROM planned_keys k WHERE k.nth = 1 AND k.known_of IS NULL) AS keys,
        (SELECT count(*) FROM staged_movements) AS movements,
        (SELECT count(*) FROM planned_sessions) AS generations,
        (SELECT count(*) FROM staged_events) AS events
    FROM planned_owners o"""
_CHUNKS: Final = """
    SELECT o.chunk, sum(o.movements + 1)::bigint AS movements FROM planned_owners o
    WHERE o.chunk IS NOT NULL GROUP BY o.chunk ORDER BY o.chunk"""


class ImportRefused(Exception):
    """There is something for which nothing is imported; `findings` say what."""

    def __init__(self, findings: Findings) -> None:
        super().__init__("nothing was imported")
        self.findings = findings


@dataclass(frozen=True, slots=True)
class Progress:
    """What is being done, and how far that is; `total` None: nobody knows."""

    step: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Contents:
    """What the system before holds: numbers of each, and the sum of all balances as imported."""

    stores: int
    users: int
    imported_before: int
    credits: int
    keys: int
    movements: int
    generations: int
    events: int


@dataclass(frozen=True, slots=True)
class Written:
    """What one run has written."""

    owners: int
    movements: int
    events: int


class PlannedImport:
    """What was laid down, as it would be written."""

    def __init__(
        self,
        session: CopySession,
        findings: Findings,
        contents: Contents,
        *,
        has_history: bool,
        on_progress: OnProgress,
    ) -> None:
        self._session = session
        self._has_history = has_history
        self._on_progress = on_progress
        self.findings = findings
        self.contents = contents

    async def write(self) -> Written:
        """Write what is not there yet. Raises ImportRefused before anything is written."""
        if self.findings.refuses:
            raise ImportRefused(self.findings)
        # First: from here on none of them can be booked.
        events = await self._session.fetchval("SELECT import_events()")
        chunks = await self._session.fetch(_CHUNKS)
        total = sum(chunk["movements"] for chunk in chunks)
        done = written = 0
        for chunk in chunks:
            self._on_progress(Progress("Writing", done, total))
            written += await self._session.decide(
                "writing, after which the import may be run again",
                "SELECT import_chunk($1, $2)",
                chunk["chunk"],
                self._has_history,
            )
            done += chunk["movements"]
        self._on_progress(Progress("Writing", total, total))
        owners = self.contents.stores + self.contents.users - self.contents.imported_before
        return Written(owners, written, events)


@asynccontextmanager
async def planned_import(
    url: str,
    source: Source,
    *,
    has_history: bool,
    has_descriptions: bool,
    tiers: Collection[str],
    on_progress: OnProgress = lambda _: None,
) -> AsyncIterator[PlannedImport]:
    """Read all of a source and plan it; nothing is changed until it is written.

    `url`: of our database, by a login that may migrate it. `has_history`: with the ledgers, not
    only the balances; `has_descriptions`: and with what their movements were called. `tiers`: those
    that there are here. Raises CannotCopy, LockTimedOut while another import is under way,
    DatabaseMisconfigured, DatabaseUnavailable.
    """
    async with copy_session(url) as session:
        tables = TABLES if has_descriptions else tuple(map(without_descriptions, TABLES))
        if await session.fetchval("SELECT count(*) FROM buckets") > 1:
            raise CannotCopy(
                "The database has several buckets, and an import knows one: import into a database "
                "that has one, and open more of them afterwards. Nothing was imported."
            )
        await session.decide("what is to be imported", "SELECT begin_import()")
        await _lay_down(session, source, tables, on_progress)
        on_progress(Progress("Planning", 0, None))
        await _lay_down_origins(session)
        await session.decide(
            "what is to be imported",
            "SELECT plan_import($1, $2, $3)",
            has_history,
            list(tiers),
            CHUNK_MOVEMENTS,
        )
        yield PlannedImport(
            session,
            await _findings(session),
            await _contents(session),
            has_history=has_history,
            on_progress=on_progress,
        )


def fields_of(planned: PlannedImport) -> dict[str, Any]:
    """What was found, as `--json` prints it."""
    findings = planned.findings
    return {
        "found": asdict(planned.contents),
        "does_not_fit": [
            {
                "kind": kind,
                "count": findings.counts[kind],
                "examples": [
                    {"owner": f"{item.owner_kind}:{item.owner_id}", "detail": item.detail}
                    for item in findings.items
                    if item.kind is kind
                ],
            }
            for kind in FindingKind
            if kind in findings.counts
        ],
    }


async def _lay_down(
    session: CopySession, source: Source, tables: Sequence[OldTable], on_progress: OnProgress
) -> None:
    there = 0
    async with source.open() as opened:
        for number, table in enumerate(tables):
            on_progress(Progress(f"Reading {table.name}", number, len(tables)))
            if await opened.copy(table, session) is not None:
                there += 1
    if not there:
        raise CannotCopy(
            "There is none of the tables stores, store_credits, user_credits … to import from. "
            "Nothing was imported."
        )


async def _lay_down_origins(session: CopySession) -> None:
    for row in await session.fetch(_DOMAINS):
        await session.fetchval(
            "INSERT INTO staged_origins (domain, origin) VALUES ($1, $2)",
            row["domain"],
            _origin_of(row["domain"]),
        )


def _origin_of(domain: str) -> str | None:
    """The web origin that a domain is meant as; None: it is none, such as *.example."""
    domain = domain.strip()
    return normalise_origin(domain if "://" in domain else f"https://{domain}")


async def _findings(session: CopySession) -> Findings:
    rows = await session.fetch("SELECT * FROM import_findings($1)", FINDINGS_OF_A_KIND_MAX)
    items = tuple(
        Finding(FindingKind(row["kind"]), row["owner_kind"], row["owner_id"], row["detail"])
        for row in rows
    )
    return Findings(items, {FindingKind(row["kind"]): row["of_kind"] for row in rows})


async def _contents(session: CopySession) -> Contents:
    (row,) = await session.fetch(_CONTENTS)
    return Contents(**dict(row))
