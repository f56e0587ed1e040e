"""What the CHECKs of all other tables let through, and what they refuse."""

from typing import Final

from tests.sql.table_rules import ONE_ROW, Rule, at_least, between, one_of, sha256, text

DOORS: Final = {
    "a_portal_is_a_stores": Rule(
        ("door = 'portal', store_id = gen_random_uuid()", "door = 'console'"),
        ("door = 'portal'", "door = 'console', store_id = gen_random_uuid()"),
    ),
    "admin_mark_is_sha256": sha256("admin_mark"),
    "at_most_one_vouches": Rule(
        ("token_id = gen_random_uuid()", "key_id = gen_random_uuid()"),
        (
            "token_id = gen_random_uuid(), key_id = gen_random_uuid()",
            "token_id = gen_random_uuid(), admin_mark = decode(repeat('00', 32), 'hex')",
            "key_id = gen_random_uuid(), admin_mark = decode(repeat('00', 32), 'hex')",
        ),
    ),
    "door_is_known": Rule(("door = 'console'",), ("door = 'api'", "door = ''")),
}

OTHER_RULES: Final[dict[str, dict[str, Rule]]] = {
    "admin_tokens": {
        "name_has_a_length": text("name", 1, 100),
        "name_is_free": Rule(("name = 'administrator'",), ("name = 'admin'",)),
        "scopes_are_known": Rule(
            ("scopes = '{read}'", "scopes = '{read,credits,keys,all}'"),
            ("scopes = '{}'", "scopes = '{read,write}'", "scopes = '{read,read,read,read,all}'"),
        ),
        "token_hash_is_sha256": sha256("token_hash"),
        "token_start_has_a_length": text("token_start", 1, 20),
    },
    "archiving": {"there_is_one_archiving": ONE_ROW},
    "audit_log": {
        "action_has_a_length": text("action", 1, 50),
        "actor_has_a_length": text("actor", 1, 100),
        "door_is_known": one_of("door", "api", "command", "console", "portal"),
        "idempotency_key_has_a_length": text("idempotency_key", 1, 200),
        "other_account_beside_the_first": Rule(
            ("account_id = 1, other_account_id = 2", "account_id = 1"), ("other_account_id = 2",)
        ),
        "reason_has_a_length": text("reason", 0, 500),
        "request_id_has_a_length": text("request_id", 1, 200),
        "subject_has_a_length": text("subject", 0, 200),
    },
    "buckets": {"number_not_negative": at_least("number", 0)},
    "chained_accounts": {"position_not_negative": at_least("position", 0)},
    "checkpoints": {"number_from_one": at_least("number", 1)},
    "deliveries": {
        "delivery_status_is_known": Rule(
            ("status = 'delivered', ended_at = now()", "status = 'failed', ended_at = now()"),
            ("status = 'lost', ended_at = now()",),
        ),
        "pending_deliveries_are_due": Rule(
            ("status = 'pending', next_attempt_at = now()",),
            (
                "status = 'pending'",
                "status = 'failed'",
                "status = 'failed', next_attempt_at = now(), ended_at = now()",
                "status = 'pending', next_attempt_at = now(), ended_at = now()",
            ),
        ),
    },
    "proving": {"there_is_one_proving": ONE_ROW},
    "schema_version": {"there_is_one_row": ONE_ROW},
    "sign_in_links": {
        **DOORS,
        "code_hash_is_sha256": sha256("code_hash"),
        "issued_by_has_a_length": text("issued_by", 1, 100),
        "sign_in_seconds_are_some": between("sign_in_seconds", 1, 86_400),
    },
    "sign_ins": {
        **DOORS,
        "actor_has_a_length": text("actor", 1, 100),
        "secret_hash_is_sha256": sha256("secret_hash"),
    },
    "store_api_keys": {
        "allowed_origins_are_few": Rule(
            ("allowed_origins = array_fill('o'::text, ARRAY[100])", "allowed_origins = '{}'"),
            ("allowed_origins = array_fill('o'::text, ARRAY[101])",),
        ),
        "key_hash_is_sha256": sha256("key_hash"),
        "key_start_has_a_length": text("key_start", 12, 12),
        "label_has_a_length": text("label", 0, 100),
    },
    "stores": {
        "name_has_a_length": text("name", 1, 200),
        "shop_domain_has_a_length": text("shop_domain", 1, 253),
        "status_is_known": one_of("status", "active", "suspended"),
        "tier_has_a_length": text("tier", 1, 50),
    },
    "summing": {"there_is_one_summing": ONE_ROW},
    "users": {
        "erasures_are_due_to_the_erased": Rule(
            ("blocked_at = now(), erased_at = now(), erasure_due_at = now()",),
            ("erasure_due_at = now()",),
        ),
        "who_is_erased_is_blocked": Rule(
            ("blocked_at = now(), erased_at = now()", "blocked_at = now()"), ("erased_at = now()",)
        ),
    },
    "webhook_endpoints": {
        "description_has_a_length": text("description", 0, 200),
        "disabled_endpoints_have_a_time": Rule(
            (
                "status = 'disabled', disabled_at = now(), disabled_reason = 'gone'",
                "status = 'enabled'",
            ),
            (
                "status = 'disabled', disabled_at = now()",
                "status = 'disabled', disabled_reason = 'gone'",
                "status = 'enabled', disabled_at = now()",
                "status = 'enabled', disabled_reason = 'gone'",
            ),
        ),
        "disabled_reason_is_known": one_of(
            *("disabled_reason", "requested", "gone", "failing"),
            beside=", status = 'disabled', disabled_at = now()",
        ),
        "endpoint_status_is_known": Rule(("status = 'enabled'",), ("status = 'on'", "status = ''")),
        "event_types_are_few": Rule(
            ("event_types = '{e}'", "event_types = array_fill('e'::text, ARRAY[100])"),
            ("event_types = '{}'", "event_types = array_fill('e'::text, ARRAY[101])"),
        ),
        "url_has_a_length": text("url", 1, 2000),
    },
    "webhook_secrets": {"secret_is_long": sha256("secret")},
}
