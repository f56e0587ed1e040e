"""The tables as they are when everything has come to rest: plain rows, each a dictionary.

Read by a superuser, by statements of the checker's own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

Row = dict[str, Any]
QUERIES: Final = {
    "accounts": "SELECT account_id, owner_kind, owner_id::text FROM storecredit.accounts",
    "movements": """SELECT account_id, seq, type, amount, request_id, session_id::text, origin_seq,
        balance_after, spent_after, clawed_back_after, overage_used_after, held_after,
        expired_after, removed_after, grants_after
        FROM storecredit.movements ORDER BY account_id, seq""",
    "grants": "SELECT account_id, seq, amount, extract(epoch FROM expires_at)::float8 AS ends_at"
    " FROM storecredit.grants",
    "sessions": """SELECT account_id, session_id::text, status, credits, request_id
        FROM storecredit.sessions""",
    "holds": """SELECT account_id, hold_id::text, seq, amount, captured, status, request_id
        FROM storecredit.holds""",
    "events": """SELECT 'evt_' || replace(event_id::text, '-', '') AS name, account_id, type,
        data::text AS data FROM storecredit.events ORDER BY seq""",
    "checkouts": """SELECT account_id, request_id, credits, provider_transaction_id
        FROM storecredit.checkouts""",
    "payments": """SELECT account_id, provider_transaction_id, kind, credits, request_id
        FROM storecredit.payments""",
    "clawbacks": """SELECT provider_transaction_id, credits, taken
        FROM storecredit.clawbacks""",
    "keys": """SELECT key_id::text, revoked_at IS NOT NULL AS is_revoked
        FROM storecredit.store_api_keys""",
    "endpoints": "SELECT endpoint_id::text FROM storecredit.webhook_endpoints",
    "charges": """SELECT account_id, kind, credits, request_id, provider_transaction_id
        FROM storecredit.subscription_charges""",
}


@dataclass(slots=True)
class Tables:
    """Every table that the checker looks at, by its name."""

    rows: dict[str, list[Row]]

    def __getitem__(self, name: str) -> list[Row]:
        return self.rows[name]

    @classmethod
    async def read(cls, connection: asyncpg.Connection) -> "Tables":
        """All of them, as of one moment."""
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return cls(
                {
                    name: [dict(row) for row in await connection.fetch(query)]
                    for name, query in QUERIES.items()
                }
            )

    def save(self, path: Path) -> None:
        """Into a file, to be judged again."""
        path.write_text(json.dumps(self.rows), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Tables":
        """From such a file."""
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def owners(self) -> Mapping[int, str]:
        """Whose account each is, as the record names them."""
        return {
            row["account_id"]: f"{row['owner_kind']}:{row['owner_id']}" for row in self["accounts"]
        }

    def of_account(self, name: str) -> Mapping[int, Sequence[Row]]:
        """A table's rows by their accounts."""
        found: dict[int, list[Row]] = {row["account_id"]: [] for row in self["accounts"]}
        for row in self[name]:
            found.setdefault(row["account_id"], []).append(row)
        return found
