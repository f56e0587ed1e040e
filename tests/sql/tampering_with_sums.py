"""What is done to the sums of hours and days, and what must be named (see tampering.py)."""

from storecredit.ledger.discrepancies import DiscrepancyKind

K = DiscrepancyKind

_ONE = "(SELECT ctid FROM {table} ORDER BY {order} LIMIT 1)"
_HOUR = _ONE.format(table="hourly_sums", order="hour, type, owner_kind, cause")
_FAILURE = "(SELECT ctid FROM hourly_sums WHERE cause <> '' ORDER BY hour, owner_kind LIMIT 1)"
_DAY_OF_SUMS = _ONE.format(table="daily_sums", order="day, type, owner_kind, cause")
_DAY = _ONE.format(table="daily_money", order="day, currency")

# What is done, and what is then named, in this order.
IN_SUMS: dict[str, tuple[str, list[DiscrepancyKind]]] = {
    "a movement too many": (
        f"UPDATE hourly_sums SET movements = movements + 1 WHERE ctid = {_HOUR}",
        [K.SUM_MISMATCH],
    ),
    "a generation too few": (
        f"UPDATE hourly_sums SET generations = generations - 1 WHERE ctid = {_HOUR}",
        [K.SUM_MISMATCH],
    ),
    "credits too many": (
        f"UPDATE hourly_sums SET credits = credits + 1 WHERE ctid = {_HOUR}",
        [K.SUM_MISMATCH],
    ),
    "an hour removed": (f"DELETE FROM hourly_sums WHERE ctid = {_HOUR}", [K.SUM_MISMATCH]),
    "an hour added": (
        "INSERT INTO hourly_sums VALUES ('2020-01-01', 1, 0, 1, 'store', 'grant')",
        [K.SUM_MISMATCH],
    ),
    "an hour of nothing added": (
        "INSERT INTO hourly_sums VALUES ('2020-01-01', 0, 0, 0, 'store', 'grant')",
        [K.SUM_MISMATCH],
    ),
    "put into another hour": (
        f"UPDATE hourly_sums SET hour = hour - interval '1 year' WHERE ctid = {_HOUR}",
        [K.SUM_MISMATCH] * 2,
    ),
    "said of another kind of owner": (
        f"UPDATE hourly_sums SET owner_kind = 'nobody' WHERE ctid = {_HOUR}",
        [K.SUM_MISMATCH] * 2,
    ),
    "said of another type": (
        f"UPDATE hourly_sums SET type = 'gift' WHERE ctid = {_HOUR}",
        [K.SUM_MISMATCH] * 2,
    ),
    "another cause": (
        f"UPDATE hourly_sums SET cause = 'BAD_LUCK' WHERE ctid = {_FAILURE}",
        [K.SUM_MISMATCH] * 2,
    ),
    "credits too many on a day": (
        f"UPDATE daily_sums SET credits = credits + 1 WHERE ctid = {_DAY_OF_SUMS}",
        [K.SUM_MISMATCH],
    ),
    "a generation too many on a day": (
        f"UPDATE daily_sums SET generations = generations + 1 WHERE ctid = {_DAY_OF_SUMS}",
        [K.SUM_MISMATCH],
    ),
    "the sums of a day removed": (
        f"DELETE FROM daily_sums WHERE ctid = {_DAY_OF_SUMS}",
        [K.SUM_MISMATCH],
    ),
    "put on another day": (
        f"UPDATE daily_sums SET day = day - 365 WHERE ctid = {_DAY_OF_SUMS}",
        [K.SUM_MISMATCH] * 2,
    ),
    "money paid": (
        f"UPDATE daily_money SET paid = paid + 1 WHERE ctid = {_DAY}",
        [K.MONEY_SUM_MISMATCH],
    ),
    "money returned": (
        f"UPDATE daily_money SET returned = returned + 1 WHERE ctid = {_DAY}",
        [K.MONEY_SUM_MISMATCH],
    ),
    "a day removed": (f"DELETE FROM daily_money WHERE ctid = {_DAY}", [K.MONEY_SUM_MISMATCH]),
    "a day added": (
        "INSERT INTO daily_money VALUES ('2020-01-01', 1, 0, 'EUR')",
        [K.MONEY_SUM_MISMATCH],
    ),
    "another currency": (
        f"UPDATE daily_money SET currency = 'JPY' WHERE ctid = {_DAY}",
        [K.MONEY_SUM_MISMATCH] * 2,
    ),
    "a payment of a day that is over": (
        "UPDATE payments SET amount = amount + 1 WHERE created_at < now() - interval '5 days'",
        [K.MONEY_SUM_MISMATCH] * 5,
    ),
    "what went back on a day that is over": (
        "UPDATE clawbacks SET amount = 29",
        [K.MONEY_SUM_MISMATCH],
    ),
}

# What is done to an account with everything, and the kinds that are then named.
IN_SUMS_OF_ACCOUNTS: dict[str, tuple[str, set[DiscrepancyKind]]] = {
    "counted further than there are movements": (
        "UPDATE summed_accounts SET seq = 99 WHERE {account}",
        {K.SUMMED_TOO_FAR},
    ),
    "counted less far": (
        "UPDATE summed_accounts SET seq = seq - 1 WHERE {account}",
        {K.SUM_MISMATCH},
    ),
    "listed with more credits": (
        "UPDATE summed_accounts SET balance = balance + 1 WHERE {account}",
        {K.SUM_MISMATCH},
    ),
    "listed with movements of another time": (
        "UPDATE summed_accounts SET moved_at = moved_at + interval '1 second' WHERE {account}",
        {K.SUM_MISMATCH},
    ),
    "listed as somebody else": (
        "UPDATE summed_accounts SET owner_id = gen_random_uuid() WHERE {account}",
        {K.SUM_MISMATCH},
    ),
    "listed among the others": (
        """UPDATE summed_accounts SET owner_kind = CASE owner_kind
               WHEN 'store' THEN 'user' ELSE 'store' END WHERE {account}""",
        {K.SUM_MISMATCH},
    ),
    "not counted at all": (
        "DELETE FROM summed_accounts WHERE {account}",
        {K.SUM_MISMATCH},
    ),
    "a movement put into another hour": (
        """UPDATE movements SET created_at = created_at - interval '1 hour'
           WHERE {account} AND seq = 7""",
        {K.SUM_MISMATCH},
    ),
    "a generation that failed of something else": (
        "UPDATE sessions SET error_code = 'BAD_LUCK' WHERE {account} AND error_code IS NOT NULL",
        {K.SUM_MISMATCH},
    ),
    "the newest movement removed": (
        "DELETE FROM movements WHERE {account} AND seq = 11",
        {K.SUM_MISMATCH, K.SUMMED_TOO_FAR, K.MOVEMENTS_MISSING},
    ),
}
