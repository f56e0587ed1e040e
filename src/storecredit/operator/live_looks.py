"""What pages show live, read: one statement for everything that somebody watches.

Nothing is written for it, and nothing kept: no index, no notification, no column. The latest
movements of all accounts are found in the last pages of the table, which is only ever added to; an
account's by its key. So a look costs the database a millisecond or two, however long the ledger
and the queue are, and those who move credits nothing. Of several buckets each is asked for what is
watched in it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeVar
from uuid import UUID

import msgspec

from storecredit.billing.catalogue import Catalogue
from storecredit.generation.lifecycle import ENTRYPOINT
from storecredit.generation.sessions import FailureCode, SessionStatus
from storecredit.ledger.outcomes import MovementType
from storecredit.operator.movement_words import words_of
from storecredit.postgres.buckets import Buckets, bucket_of
from storecredit.postgres.job_queue import standing_of
from storecredit.postgres.pool import Database
from storecredit.postgres.servers import Connection

SHOWN_MAX: Final = 20
"""Movements, or generations, that are shown."""
COUNTED_MAX: Final = 10_000
"""Jobs that are counted; one more means: at least so many."""
TAIL_PAGES: Final = 64
"""Of the table of movements, where the latest are. A session that adds rows takes one new page at
a time, and one more for each that waits to do the same (PostgreSQL's src/backend/access/heap/hio.c,
RelationAddBlocks), so what the busiest sessions are filling lies within them."""


class LiveQueue(msgspec.Struct, frozen=True):
    """Jobs that wait and that are worked on, and since when the first of those that wait does.

    More than `COUNTED_MAX` is that and one.
    """

    waiting: int
    working: int
    oldest_at: datetime | None


class LiveMovement(msgspec.Struct, frozen=True):
    """A row of the ledger, as its owner may see it. `change`: what it did to the balance.

    `what` and `note` say in words what it is (`movement_words.py`).
    """

    seq: int
    type: MovementType
    amount: int
    change: int
    balance_after: int
    request_id: str
    session_id: UUID | None
    description: str
    created_at: datetime
    what: str = ""
    note: str = ""


class LatestMovement(LiveMovement, frozen=True, kw_only=True):
    """One among those of all accounts. `name` is the store's; an end user has none."""

    owner_kind: Literal["store", "user"]
    owner_id: UUID
    name: str | None


class LiveBalance(msgspec.Struct, frozen=True):
    """What an account has. `moved_at`: when credits last moved; None: never."""

    balance: int
    held: int
    overage_used: int
    moved_at: datetime | None


class LiveGeneration(msgspec.Struct, frozen=True):
    """A generation, as far as it changes while one looks."""

    session_id: UUID
    status: SessionStatus
    error_code: FailureCode | None
    credits: int
    attempts: int
    created_at: datetime
    completed_at: datetime | None


class SeenAccount(msgspec.Struct, frozen=True):
    """One account. `movements`: those after what was seen before, newest first, the newest few."""

    account_id: int
    balance: LiveBalance
    movements: tuple[LiveMovement, ...]
    generations: tuple[LiveGeneration, ...]


class Look(msgspec.Struct, frozen=True):
    """What one look found; `queue` and `latest` are None where nobody watches all accounts."""

    queue: LiveQueue | None
    latest: tuple[LatestMovement, ...] | None
    accounts: tuple[SeenAccount, ...]


_MOVEMENT: Final = """
    'seq', m.seq, 'type', m.type, 'amount', m.amount,
    'change', m.amount * (SELECT t.balance FROM movement_types t WHERE t.type = m.type),
    'balance_after', m.balance_after, 'request_id', m.request_id, 'session_id', m.session_id,
    'description', m.description, 'created_at', m.created_at"""

# The end of the table is asked for once, before its pages are read. A page number is no size:
# format() makes the place of a row in it.
_LATEST: Final = f"""
    SELECT json_agg(json_build_object({_MOVEMENT},
            'owner_kind', a.owner_kind, 'owner_id', a.owner_id,
            'name', (SELECT s.name FROM stores s
                     WHERE s.store_id = a.owner_id AND a.owner_kind = 'store'))
        ORDER BY m.created_at DESC, m.account_id, m.seq DESC)
    FROM (
        SELECT * FROM movements
        WHERE ctid >= (SELECT format('(%s,0)', greatest(0, ledger_pages() - {TAIL_PAGES}))::tid)
        ORDER BY created_at DESC, account_id, seq DESC LIMIT {SHOWN_MAX}
    ) m JOIN accounts a ON a.account_id = m.account_id"""  # noqa: S608 - constants

# What an account has is what its newest movement left, unless something has ended since that
# nobody has written yet. OFFSET 0: each account by its key.
_ACCOUNTS: Final = f"""
    SELECT json_agg(json_build_object(
        'account_id', a.account_id,
        'balance', json_build_object(
            'balance', coalesce(e.balance, n.balance_after, 0),
            'held', coalesce(e.held, n.held_after, 0),
            'overage_used', coalesce(e.overage_used, n.overage_used_after, 0),
            'moved_at', n.created_at),
        'movements', coalesce((
            SELECT json_agg(json_build_object({_MOVEMENT}) ORDER BY m.seq DESC)
            FROM (SELECT * FROM movements
                  WHERE account_id = w.account_id AND seq > w.seen_seq
                  ORDER BY account_id DESC, seq DESC LIMIT {SHOWN_MAX}) m), '[]'),
        'generations', coalesce((
            SELECT json_agg(json_build_object(
                'session_id', s.session_id, 'status', s.status, 'error_code', s.error_code,
                'credits', s.credits, 'attempts', s.attempts, 'created_at', s.created_at,
                'completed_at', s.completed_at) ORDER BY s.session_id DESC)
            FROM (SELECT * FROM sessions WHERE account_id = w.account_id
                  ORDER BY account_id DESC, session_id DESC LIMIT {SHOWN_MAX}) s), '[]')))
    FROM unnest($2::bigint[], $3::bigint[]) w (account_id, seen_seq)
    CROSS JOIN LATERAL (
        SELECT * FROM accounts x WHERE x.account_id = w.account_id OFFSET 0) a
    LEFT JOIN LATERAL (
        SELECT * FROM movements x WHERE x.account_id = w.account_id
        ORDER BY x.account_id DESC, x.seq DESC LIMIT 1) n ON true
    LEFT JOIN LATERAL (
        SELECT x.balance, x.held, x.overage_used FROM state_of_account(a.account_id, now()) x
        WHERE a.next_expiry <= now()) e ON true"""  # noqa: S608 - constants

_LOOK: Final = f"""
    SELECT json_build_object(
        'queue', CASE WHEN $1::boolean THEN (
            SELECT row_to_json(q) FROM (
                {standing_of("$4::text", counted_max=COUNTED_MAX)}) q) END,
        'latest', CASE WHEN $1::boolean THEN coalesce(({_LATEST}), '[]') END,
        'accounts', coalesce(({_ACCOUNTS}), '[]'))"""  # noqa: S608 - constants


async def look(
    buckets: Buckets,
    catalogue: Catalogue,
    *,
    at_all: bool,
    accounts: Mapping[int, int],
) -> Look:
    """What is so now: of all accounts (`at_all`), and of each of `accounts`.

    `accounts`: up to which seq the movements of each have been seen; 0: none. An account that
    there is not is left out. Raises DatabaseUnavailable.
    """
    wanted = in_buckets(buckets, accounts, at_all=at_all)
    return together(
        await asyncio.gather(
            *(
                look_at_one(database, catalogue, at_all=at_all, accounts=own)
                for database, own in wanted.values()
            )
        )
    )


def in_buckets(
    buckets: Buckets, accounts: Mapping[int, int], *, at_all: bool
) -> dict[int, tuple[Database, Mapping[int, int]]]:
    """Which buckets are asked for it, by their number, and of which of the accounts each."""
    wanted: dict[int, dict[int, int]] = {}
    for account_id, seen in accounts.items():
        wanted.setdefault(bucket_of(account_id), {})[account_id] = seen
    return {
        number: (database, wanted.get(number, {}))
        for number, database in enumerate(buckets.all)
        if at_all or number in wanted
    }


def together(looks: Sequence[Look]) -> Look:
    """What several buckets showed. Where movements have one time, the first bucket's come first."""
    if len(looks) == 1:
        return looks[0]
    queues = [each.queue for each in looks if each.queue is not None]
    latest = [movement for each in looks for movement in each.latest or ()]
    latest.sort(key=lambda movement: movement.created_at, reverse=True)
    oldest = [queue.oldest_at for queue in queues if queue.oldest_at is not None]
    queue = LiveQueue(
        waiting=min(sum(queue.waiting for queue in queues), COUNTED_MAX + 1),
        working=min(sum(queue.working for queue in queues), COUNTED_MAX + 1),
        oldest_at=min(oldest, default=None),
    )
    return Look(
        queue=queue if queues else None,
        latest=tuple(latest[:SHOWN_MAX]) if queues else None,
        accounts=tuple(account for each in looks for account in each.accounts),
    )


async def look_at_one(
    source: Database | Connection,
    catalogue: Catalogue,
    *,
    at_all: bool,
    accounts: Mapping[int, int],
) -> Look:
    """The same of one bucket."""
    seen: Sequence[int] = list(accounts.values())
    found = await source.fetchval(_LOOK, at_all, list(accounts), seen, ENTRYPOINT)
    looked = msgspec.json.decode(found, type=Look)
    return msgspec.structs.replace(
        looked,
        latest=None if looked.latest is None else _in_words(looked.latest, catalogue),
        accounts=tuple(
            msgspec.structs.replace(each, movements=_in_words(each.movements, catalogue))
            for each in looked.accounts
        ),
    )


_M = TypeVar("_M", bound=LiveMovement)


def _in_words(movements: Iterable[_M], catalogue: Catalogue) -> tuple[_M, ...]:
    said = ((each, words_of(each.type, each.description, catalogue)) for each in movements)
    return tuple(
        msgspec.structs.replace(each, what=words.what, note=words.note) for each, words in said
    )
