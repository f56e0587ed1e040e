"""What the CHECKs of what has to do with credits let through, and what they refuse."""

from typing import Final

from tests.sql.table_rules import ONE_ROW, Rule, at_least, one_of, text

POSITIVE_AMOUNT: Final = {"amount_is_positive": at_least("amount", 1)}
POSITIVE_CREDITS: Final = {"credits_are_positive": at_least("credits", 1)}
NO_NEGATIVE_SUMS: Final = {
    "amount_not_negative": at_least("amount", 0),
    "credits_not_negative": at_least("credits", 0),
}
CURRENCY: Final = {
    "currency_is_a_code": Rule(
        ("currency = 'EUR'",),
        tuple(f"currency = '{it}'" for it in ("eur", "EU", "EURO", "E1R", " EUR", "")),
    )
}
DAYS: Final = {"days_are_positive": at_least("expires_after_days", 1)}
WITHOUT_EFFECT: Final = ("added", "clawed_back", "overage_used", "held", "expired", "removed")
MONEY_RULES: Final[dict[str, dict[str, Rule]]] = {
    "accounts": {
        "low_threshold_not_negative": at_least("low_threshold", 0),
        "only_stores_go_beyond": Rule(
            ("owner_kind = 'store', overage_limit = 5", "owner_kind = 'user', overage_limit = 0"),
            ("owner_kind = 'user', overage_limit = 1",),
        ),
        "overage_limit_not_negative": at_least("overage_limit", 0),
        "owner_kind_is_known": one_of("owner_kind", "store", "user"),
    },
    "checkouts": {
        **POSITIVE_AMOUNT,
        **POSITIVE_CREDITS,
        **CURRENCY,
        **DAYS,
        "purchase_type_is_known": one_of("purchase_type", "credits", "subscription"),
        "request_id_has_a_length": text("request_id", 1, 200),
        "rollover_not_negative": at_least("rollover_max", 0),
    },
    "clawbacks": {
        **NO_NEGATIVE_SUMS,
        "action_is_known": one_of("action", "refund", "chargeback", "downgrade"),
        "taken_at_most_what_was_asked": Rule(
            ("credits = 5, taken = 0", "credits = 5, taken = 5"),
            ("credits = 5, taken = -1", "credits = 5, taken = 6"),
        ),
    },
    "grants": {
        "grace_not_negative": Rule(("grace = '0'",), ("grace = '-1 microsecond'",)),
        "grant_kind_is_known": one_of("kind", "paid", "promo"),
        "only_what_expires_rolls_over": Rule(
            (
                "rollover_max = 1, expires_at = '2026-01-01', rollover_until = '2026-01-02'",
                "expires_at = '2026-01-01'",
            ),
            ("rollover_max = 1, expires_at = '2026-01-01', rollover_until = '2026-01-01'",),
        ),
        "rollover_has_an_end": Rule(
            ("rollover_max = 1, rollover_until = now()",),
            ("rollover_max = 1", "rollover_until = now()"),
        ),
        "rollover_not_negative": Rule(
            ("rollover_max = 0, rollover_until = now()",),
            ("rollover_max = -1, rollover_until = now()",),
        ),
    },
    "holds": {
        "captured_is_of_the_hold": Rule(
            (
                "status = 'held'",
                "status = 'captured', amount = 5, captured = 1, ended_at = now()",
                "status = 'captured', amount = 5, captured = 5, ended_at = now()",
                "status = 'released', amount = 5, captured = 0, ended_at = now()",
            ),
            (
                "status = 'held', captured = 0",
                "status = 'captured', amount = 5, captured = 0, ended_at = now()",
                "status = 'captured', amount = 5, captured = 6, ended_at = now()",
                "status = 'expired', amount = 5, captured = 1, ended_at = now()",
            ),
        ),
        "ended_holds_have_a_time": Rule(
            ("status = 'held'", "status = 'expired', captured = 0, ended_at = now()"),
            ("status = 'held', ended_at = now()", "status = 'released', captured = 0"),
        ),
        "hold_status_is_known": Rule(
            tuple(
                f"status = '{status}', ended_at = now(), captured = {captured}, amount = 1"
                for status, captured in (("captured", 1), ("released", 0), ("expired", 0))
            ),
            ("status = 'ended', ended_at = now(), captured = 0, amount = 1",),
        ),
    },
    "imported_owners": {"balance_not_negative": at_least("balance", 0)},
    "last_verification": {
        "last_verification_discrepancies_check": at_least("discrepancies", 0),
        "settled_movements_have_a_time": Rule(
            ("settled_at = now(), settled_movements = 0",),
            ("settled_at = now()", "settled_movements = 0"),
        ),
        "there_is_one_verification": ONE_ROW,
    },
    "movement_types": {
        "additions_are_paid_or_promo": Rule(
            (
                "role = 'addition', credit_kind = 'paid'",
                "role = 'addition', credit_kind = 'promo'",
                "role = 'charge'",
            ),
            (
                "role = 'addition'",
                "role = 'addition', credit_kind = 'free'",
                "role = 'charge', credit_kind = 'paid'",
            ),
        ),
        "returns_return_something": Rule(
            ("role = 'return', returns = 'deduction'", "role = 'charge'"),
            ("role = 'return'", "role = 'charge', returns = 'deduction'"),
        ),
        "role_is_known": one_of(
            "role",
            *("charge", "clawback", "bill", "hold", "capture", "release", "expiry", "reissue"),
            *("removal", "receipt"),
        ),
        "what_is_spent_comes_off_the_balance": Rule(
            (
                "spent = 1, held = -1",
                "spent = 0, held = 1",
                "spent = 1" + "".join(f", {each} = 0" for each in WITHOUT_EFFECT),
            ),
            ("spent = 1, held = 1, added = 0", "spent = 1, held = 0, added = 1"),
        ),
    },
    "movements": {
        **POSITIVE_AMOUNT,
        "balance_not_negative": at_least("balance_after", 0),
        "overage_used_positive_or_null": at_least("overage_used_after", 1),
    },
    "payments": {
        **NO_NEGATIVE_SUMS,
        "kind_is_known": one_of("kind", "purchase", "subscription", "overage"),
    },
    "provider_events": {
        "settled_events_have_a_time": Rule(
            ("status = 'processed', settled_at = now()", "status = 'failing'"),
            (
                *(f"status = '{status}'" for status in ("processed", "ignored", "set_aside")),
                *(f"status = '{status}', settled_at = now()" for status in ("received", "failing")),
            ),
        ),
        "status_is_known": one_of("status", "received", "failing"),
    },
    "session_archives": {
        "archives_are_not_empty": at_least("bytes", 1),
        "archives_have_sessions": at_least("sessions", 1),
    },
    "sessions": {
        "ended_sessions_have_a_time": Rule(
            (
                "status = 'completed', completed_at = now()",
                "status = 'failed', completed_at = now(), error_code = 'E'",
                "status = 'queued'",
            ),
            (
                "status = 'completed'",
                "status = 'failed', error_code = 'E'",
                "status = 'processing', completed_at = now()",
            ),
        ),
        "only_failed_sessions_have_an_error": Rule(
            ("status = 'failed', completed_at = now(), error_code = 'E'", "status = 'queued'"),
            (
                "status = 'failed', completed_at = now()",
                "status = 'completed', completed_at = now(), error_code = 'E'",
            ),
        ),
    },
    "subscription_charges": {
        **POSITIVE_AMOUNT,
        **POSITIVE_CREDITS,
        **CURRENCY,
        **DAYS,
        "begun_charges_name_their_subscription": Rule(
            ("charge_begun_at = now(), provider_subscription_id = 'sub'",),
            ("charge_begun_at = now()",),
        ),
        "charges_are_overage_or_top_ups": Rule(
            ("number = NULL, period = '2026-01-01', seq = 5", "number = 2"),
            (
                "number = NULL, period = '2026-01-01'",
                "number = NULL, seq = 5",
                "number = NULL",
                "number = 2, seq = 5",
                "number = 2, period = '2026-01-01'",
            ),
        ),
        "charges_end_once": Rule(
            ("charged_at = now(), provider_transaction_id = 'txn'", "dropped_at = now()"),
            (
                "charged_at = now()",
                "provider_transaction_id = 'txn'",
                "charged_at = now(), provider_transaction_id = 'txn', dropped_at = now()",
            ),
        ),
        "number_is_positive": at_least("number", 1),
        "period_is_a_month": Rule(
            ("number = NULL, seq = 5, period = '2026-02-01'",),
            ("number = NULL, seq = 5, period = '2026-02-02'",),
        ),
    },
    "subscriptions": {
        **POSITIVE_AMOUNT,
        **POSITIVE_CREDITS,
        **CURRENCY,
        "status_is_known": one_of("status", "active", "trialing", "past_due", "paused", "canceled"),
    },
    "top_ups": {
        **POSITIVE_CREDITS,
        "day_has_a_limit": at_least("max_per_day", 1),
        "month_has_a_limit": at_least("max_per_month", 1),
        "pause_reason_is_known": one_of(
            "pause_reason", "declined", "no_subscription", beside=", status = 'paused'"
        ),
        "paused_top_ups_say_why": Rule(
            ("status = 'paused', pause_reason = 'declined'", "status = 'on', due_at = now()"),
            (
                "status = 'paused'",
                "status = 'on', pause_reason = 'declined'",
                "status = 'paused', pause_reason = 'declined', due_at = now()",
            ),
        ),
        "threshold_not_negative": at_least("threshold", 0),
        "top_up_status_is_known": Rule(("status = 'on'",), ("status = 'off'", "status = ''")),
    },
    "transfer_ends": {
        **POSITIVE_AMOUNT,
        "type_is_an_end": one_of("type", "transfer_out", "transfer_in"),
    },
}
BASES: Final = {"subscription_charges": "(number) VALUES (1)"}
"""What a row of a table has to have, whichever of its rules is looked at."""
