"""The stores themselves: make, find, list, change.

Hides the SQL. Promises that a store comes into being together with its account and its opening
credits or not at all, and that a change is announced to every process, so that a suspended store's
keys stop working everywhere within a second.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from storecredit.postgres.buckets import Buckets, fetched
from storecredit.postgres.servers import Record
from storecredit.stores.shop_domains import (
    NO_DOMAIN,
    SHOP_DOMAIN_LENGTH_MAX,
    normalise_shop_domain,
)

NAME_LENGTH_MAX = 200
TIER_LENGTH_MAX = 50
PAGE_LENGTH_MAX = 100
NAMED_MAX = 10
"""Of stores with one name or domain so many are found; nobody can choose among more."""

Status = Literal["active", "suspended"]

AFTER_ALL_UUIDS = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Store:
    """One store. Its credits are the ledger's business."""

    store_id: UUID
    name: str
    shop_domain: str
    tier: str
    status: Status
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StorePage:
    """Stores, newest first; `next_cursor` asks for the page after this one, None: no more."""

    items: tuple[Store, ...]
    next_cursor: UUID | None


class Stores:
    """All stores of the database."""

    def __init__(
        self,
        buckets: Buckets,
        *,
        tiers: Collection[str] | None = None,
        new_id: UUID | None = None,
    ) -> None:
        """`tiers` are those a store may be put into; None: any. `new_id`: see `making`."""
        self._buckets = buckets
        self._tiers = tiers
        self._new_id = new_id

    def making(self, store_id: UUID) -> "Stores":
        """The same, for one store that is to have this id: whose bucket is known by that."""
        return Stores(self._buckets, tiers=self._tiers, new_id=store_id)

    async def create(
        self,
        *,
        name: str,
        shop_domain: str,
        tier: str = "default",
        credit_count: int = 0,
        request_id: str | None = None,
        actor: str | None = None,
    ) -> Store:
        """Make a store; `credit_count` opening credits stand in its ledger under `request_id`.

        `actor`: the operator who gives them.

        Of an address given as `shop_domain` the domain is kept.

        Raises `ValueError` (a text of the wrong length, or no domain; the message is fit for
        people), `StatementRefused` (no request id for the credits, or a negative count) and
        `DatabaseUnavailable` (then it is not known whether the store was made).
        """
        _check_lengths(name, shop_domain, tier)
        self._check_tier(tier)
        store_id = self._new_id or uuid7()
        database = await self._buckets.of_new_store(store_id)
        row = await database.fetchrow(
            "SELECT * FROM create_store($1, $2, $3, $4, $5, $6, $7)",
            store_id,
            name,
            _domain(shop_domain),
            tier,
            credit_count,
            request_id,
            actor,
        )
        if row is None:
            raise RuntimeError("create_store returned no row")
        return _store(row)

    async def get(self, store_id: UUID) -> Store | None:
        """The store, or None where there is none of that id."""
        database = await self._buckets.of_store(store_id)
        row = await database.fetchrow("SELECT * FROM stores WHERE store_id = $1", store_id)
        return None if row is None else _store(row)

    async def several(self, store_ids: Sequence[UUID]) -> tuple[Store, ...]:
        """The stores of these ids, in this order; one that there is not is left out."""
        rows = await fetched(
            self._buckets, "SELECT * FROM stores WHERE store_id = ANY ($1)", store_ids
        )
        found = {row["store_id"]: _store(row) for row in rows}
        return tuple(found[store_id] for store_id in store_ids if store_id in found)

    async def named(self, text: str) -> tuple[Store, ...]:
        """The stores that people may mean by a text, at most `NAMED_MAX`, oldest first.

        What is a UUID is an id, and nothing else. Any other text is the name of a store, or its
        domain, whole and in any case.
        """
        try:
            store = await self.get(UUID(text))
        except ValueError:
            pass
        else:
            return () if store is None else (store,)
        if "\0" in text:
            return ()
        rows = await fetched(
            self._buckets,
            "SELECT * FROM stores WHERE lower($1) IN (lower(name), lower(shop_domain))"
            " ORDER BY store_id LIMIT $2",
            text,
            NAMED_MAX,
        )
        oldest_first = sorted(rows, key=itemgetter("store_id"))
        return tuple(_store(row) for row in oldest_first[:NAMED_MAX])

    async def list(self, limit: int = 50, cursor: UUID | None = None) -> StorePage:
        """At most `limit` (1 to `PAGE_LENGTH_MAX`) stores, newest first, older than `cursor`."""
        if not 1 <= limit <= PAGE_LENGTH_MAX:
            raise ValueError(f"a page has 1 to {PAGE_LENGTH_MAX} stores, not {limit}")
        rows = await fetched(
            self._buckets,
            "SELECT * FROM stores WHERE store_id < $1 ORDER BY store_id DESC LIMIT $2",
            cursor or AFTER_ALL_UUIDS,
            limit + 1,
        )
        rows.sort(key=itemgetter("store_id"), reverse=True)
        items = tuple(_store(row) for row in rows[:limit])
        return StorePage(items, items[-1].store_id if len(rows) > limit else None)

    async def update(
        self,
        store_id: UUID,
        *,
        name: str | None = None,
        shop_domain: str | None = None,
        tier: str | None = None,
        status: Status | None = None,
    ) -> Store | None:
        """Change what is given; the store as it is then, or None where there is none of that id.

        Raises `ValueError` for a text of the wrong length, or a domain that is none.
        """
        _check_lengths(name, shop_domain, tier)
        self._check_tier(tier)
        shop_domain = None if shop_domain is None else _domain(shop_domain)
        database = await self._buckets.of_store(store_id)
        found = await database.fetchval(
            "SELECT update_store($1, $2, $3, $4, $5)", store_id, name, shop_domain, tier, status
        )
        return await self.get(store_id) if found else None

    def _check_tier(self, tier: str | None) -> None:
        if tier is not None and self._tiers is not None and tier not in self._tiers:
            raise ValueError(f"there is no tier {tier!r}; there are {', '.join(self._tiers)}")


def _store(row: Record) -> Store:
    return Store(
        store_id=row["store_id"],
        name=row["name"],
        shop_domain=row["shop_domain"],
        tier=row["tier"],
        status=row["status"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _check_lengths(name: str | None, shop_domain: str | None, tier: str | None) -> None:
    for field, text, length_max in (
        ("name", name, NAME_LENGTH_MAX),
        ("shop_domain", shop_domain, SHOP_DOMAIN_LENGTH_MAX),
        ("tier", tier, TIER_LENGTH_MAX),
    ):
        if text is not None and not 1 <= len(text) <= length_max:
            raise ValueError(f"{field} has 1 to {length_max} characters, not {len(text)}")
        if text is not None and "\0" in text:
            raise ValueError(f"{field} has a NUL character, which PostgreSQL cannot keep")


def _domain(text: str) -> str:
    domain = normalise_shop_domain(text)
    if domain is None:
        raise ValueError(f"shop_domain is no domain: {NO_DOMAIN}")
    return domain
