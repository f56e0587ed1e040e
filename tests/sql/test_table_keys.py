"""What is there once is refused a second time, and nothing belongs to what is not there."""

from typing import Final

import asyncpg
import pytest

from storecredit.postgres.servers import Connection

NONE: Final = "'00000000-0000-0000-0000-000000000000'"
ONCE: Final = {
    ("accounts", "one_account_per_owner"): {"owner_id": NONE, "owner_kind": "'user'"},
    ("admin_tokens", "one_token_per_hash"): {"token_hash": "'\\x00'"},
    ("admin_tokens", "one_token_per_name"): {"name": "'ann'"},
    ("chained_accounts", "one_place_per_account"): {"account_id": "1"},
    ("checkouts", "one_checkout_per_request"): {"account_id": "1", "request_id": "'r'"},
    ("checkouts", "one_checkout_per_transaction"): {
        "provider": "'p'",
        "provider_transaction_id": "'t'",
    },
    ("events", "one_event_per_id"): {"event_id": NONE},
    ("movements", "one_movement_of_a_type_per_request"): {
        "account_id": "1",
        "request_id": "'r'",
        "type": "'grant'",
    },
    ("payments", "one_payment_per_request"): {
        "account_id": "1",
        "kind": "'purchase'",
        "request_id": "'r'",
    },
    ("pgqueuer_schedules", "pgqueuer_schedules_expression_entrypoint_key"): {
        "expression": "'* * * * *'",
        "entrypoint": "'e'",
    },
    ("sign_ins", "one_sign_in_per_secret"): {"secret_hash": "'\\x00'"},
    ("store_api_keys", "one_key_per_hash"): {"key_hash": "'\\x00'", "store_id": NONE},
    ("subscription_charges", "one_charge_per_number"): {"account_id": "1", "number": "1"},
    ("subscription_charges", "one_charge_per_transaction"): {
        "provider": "'p'",
        "provider_transaction_id": "'t'",
    },
    ("subscriptions", "one_subscription_per_checkout"): {"checkout_id": NONE},
}
NOBODY: Final = {"account_id": "-1"}
BELONGS: Final = {
    ("action_buckets", "action_buckets_bucket_fkey"): {"bucket": "9"},
    ("audit_log", "audit_log_account_id_fkey"): NOBODY,
    ("checkouts", "checkouts_account_id_fkey"): NOBODY,
    ("clawbacks", "clawbacks_provider_provider_transaction_id_fkey"): {
        "provider": "'p'",
        "provider_transaction_id": "'t'",
    },
    ("imported_owners", "imported_owners_account_id_fkey"): NOBODY,
    ("key_buckets", "key_buckets_bucket_fkey"): {"bucket": "9"},
    ("movement_types", "movement_types_returns_fkey"): {"returns": "'nothing'"},
    ("owner_buckets", "owner_buckets_bucket_fkey"): {"bucket": "9"},
    ("payments", "payments_account_id_fkey"): NOBODY,
    ("provider_buckets", "provider_buckets_bucket_fkey"): {"bucket": "9"},
    ("sign_in_links", "sign_in_links_token_id_fkey"): {"token_id": NONE},
    ("sign_ins", "sign_ins_token_id_fkey"): {"token_id": NONE},
    ("store_api_keys", "store_api_keys_store_id_fkey"): {"store_id": NONE},
    ("stores", "stores_store_id_owner_kind_fkey"): {"store_id": NONE},
    ("subscription_charges", "overage_bills_account_id_fkey"): NOBODY,
    ("subscriptions", "subscriptions_account_id_fkey"): NOBODY,
    ("subscriptions", "subscriptions_checkout_id_fkey"): {"checkout_id": NONE},
    ("top_ups", "top_ups_account_id_fkey"): NOBODY,
    ("transfer_ends", "transfer_ends_account_id_fkey"): NOBODY,
    ("users", "users_user_id_owner_kind_fkey"): {"user_id": NONE},
    ("webhook_secrets", "webhook_secrets_endpoint_id_fkey"): {"endpoint_id": NONE},
}
VALUES: Final = {
    "uuid": ("gen_random_uuid()", "gen_random_uuid()"),
    "timestamp with time zone": ("'2026-01-01'", "'2026-01-02'"),
}
THERE: Final = """
    SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint
    WHERE connamespace = 'storecredit'::regnamespace AND contype::text = $1 AND conparentid = 0"""
NOT_NULLS: Final = """
    SELECT a.attname AS column, a.atttypid::regtype::text AS type,
        EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = a.attrelid AND c.contype = 'p'
                AND a.attnum = ANY (c.conkey)) AS is_of_key
    FROM pg_attribute a
    WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND a.attnotnull AND NOT a.attisdropped
      AND a.attidentity = ''"""
CHECKS: Final = """
    SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'"""


async def bared(books: Connection, table: str, named: dict[str, str]) -> tuple[str, str, str]:
    """Let all else of a table's columns be null; the columns to be named, and two rows of them.

    What is in its primary key and is not named differs.
    """
    one, two = dict(named), dict(named)
    for row in await books.fetch(NOT_NULLS, f"storecredit.{table}"):
        column = row["column"]
        if not row["is_of_key"]:
            await books.execute(
                f'ALTER TABLE storecredit.{table} ALTER COLUMN "{column}" DROP NOT NULL'
            )
        elif column not in named:
            one[column], two[column] = VALUES.get(row["type"], ("'1'", "'2'"))
    for row in await books.fetch(CHECKS, f"storecredit.{table}"):
        await books.execute(f'ALTER TABLE storecredit.{table} DROP CONSTRAINT "{row["conname"]}"')
    return (
        ", ".join(f'"{column}"' for column in one),
        f"({', '.join(one.values())})",
        f"({', '.join(two.values())})",
    )


@pytest.mark.parametrize("key", ONCE, ids=lambda key: f"{key[0]}-{key[1]}")
async def test_what_is_there_once_is_refused_a_second_time(
    books: Connection, key: tuple[str, str]
) -> None:
    table, name = key
    transaction = books.transaction()
    await transaction.start()
    columns, one, two = await bared(books, table, ONCE[key])

    with pytest.raises(asyncpg.UniqueViolationError) as told:
        await books.execute(f"INSERT INTO storecredit.{table} ({columns}) VALUES {one}, {two}")

    assert told.value.constraint_name == name
    await transaction.rollback()


@pytest.mark.parametrize("key", BELONGS, ids=lambda key: f"{key[0]}-{key[1]}")
async def test_nothing_belongs_to_what_is_not_there(
    books: Connection, key: tuple[str, str]
) -> None:
    table, name = key
    transaction = books.transaction()
    await transaction.start()
    columns, one, _ = await bared(books, table, BELONGS[key])

    with pytest.raises(asyncpg.ForeignKeyViolationError) as told:
        await books.execute(f"INSERT INTO storecredit.{table} ({columns}) VALUES {one}")

    assert told.value.constraint_name == name
    await transaction.rollback()


@pytest.mark.parametrize("kind, known", [("u", ONCE), ("f", BELONGS)])
async def test_every_key_is_looked_at(
    books: Connection, kind: str, known: dict[tuple[str, str], dict[str, str]]
) -> None:
    rows = await books.fetch(THERE, kind)

    assert {(row["table"].split(".")[-1], row["name"]) for row in rows} == known.keys()
