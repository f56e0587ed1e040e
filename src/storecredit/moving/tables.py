"""The tables of the system before, and which of their columns are brought along.

A row of them is laid down in a table of the import's own (sql/functions/import/staging.sql), some
columns under other names. What else a table has is left where it is: e-mail addresses, payloads,
prompts.
"""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Column:
    """One column: as it is called here, its type here, and the names that it may have there.

    `is_needed`: a table without it cannot be read; else it is unknown there, and null.
    """

    name: str
    type: str
    names: tuple[str, ...]
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class OldTable:
    """One table there, the one here, and whose rows they are where that one holds both kinds."""

    name: str
    staged: str
    columns: tuple[Column, ...]
    owner_kind: str | None = None

    @property
    def staged_columns(self) -> tuple[str, ...]:
        """The columns here, in the order in which they are copied."""
        kind = () if self.owner_kind is None else ("owner_kind",)
        return (*kind, *(column.name for column in self.columns))


def _needed(name: str, type_: str, *names: str) -> Column:
    return Column(name, type_, names or (name,))


def _known(name: str, type_: str, *names: str) -> Column:
    return Column(name, type_, names or (name,), is_needed=False)


def _balances(table: str, kind: str) -> OldTable:
    columns = (_needed("owner_id", "uuid", f"{kind}_id"), _needed("balance", "int"))
    return OldTable(table, "staged_balances", columns, kind)


def _movements(table: str, kind: str) -> OldTable:
    columns = (
        _needed("row_id", "uuid", "id"),
        _needed("owner_id", "uuid", f"{kind}_id"),
        _known("created_at", "timestamptz"),
        _needed("amount", "int"),
        _needed("type", "text"),
        _known("request_id", "text"),
        _known("description", "text"),
    )
    return OldTable(table, "staged_movements", columns, kind)


def _sessions(table: str, kind: str) -> OldTable:
    columns = (
        _needed("session_id", "uuid", "id"),
        _needed("owner_id", "uuid", f"{kind}_id"),
        _known("created_at", "timestamptz"),
        _known("started_at", "timestamptz", "started_at", "processing_started_at"),
        _known("ended_at", "timestamptz", "completed_at", "failed_at", "updated_at"),
        _needed("status", "text"),
        _known("request_id", "text"),
        _known("error", "text", "error_message", "error"),
    )
    return OldTable(table, "staged_sessions", columns, kind)


ARRAY_COLUMN: Final = "domains"
"""Holds several texts, as a JSON array."""
TABLES: Final = (
    OldTable(
        "stores",
        "staged_stores",
        (
            _needed("store_id", "uuid", "id"),
            _known("shop_domain", "text"),
            _known("tier", "text", "subscription_tier"),
            _known("status", "text"),
            _known("created_at", "timestamptz"),
            _known("updated_at", "timestamptz"),
        ),
    ),
    OldTable(
        "store_api_keys",
        "staged_keys",
        (
            _needed("key_id", "uuid", "id"),
            _needed("store_id", "uuid"),
            _needed("key_hash", "text"),
            _known(ARRAY_COLUMN, "text", "allowed_domains"),
            _needed("is_active", "boolean"),
            _known("created_at", "timestamptz"),
        ),
    ),
    _balances("store_credits", "store"),
    _movements("store_credit_transactions", "store"),
    _sessions("store_generation_sessions", "store"),
    _balances("user_credits", "user"),
    _movements("credit_transactions", "user"),
    _sessions("generation_sessions", "user"),
    OldTable(
        "billing_webhook_events",
        "staged_events",
        (
            _needed("provider", "text"),
            _needed("event_id", "text"),
            _known("event_type", "text"),
            _known("occurred_at", "timestamptz", "occurred_at", "created_at", "received_at"),
        ),
    ),
)


def without_descriptions(table: OldTable) -> OldTable:
    """The same table, of whose movements nobody says what they were called."""
    kept = tuple(column for column in table.columns if column.name != "description")
    return replace(table, columns=kept)
