"""What is done to overage and to records of money, and what must be named (see tampering.py)."""

from storecredit.ledger.discrepancies import DiscrepancyKind
from tests.sql.tampering import MISSING, Tampering

K = DiscrepancyKind

# Another row at the end of the ledger of a store with overage: {row} is its type, amount, and what
# stands after it; {request} its request id.
ANOTHER_ROW = """
    INSERT INTO movements (account_id, seq, type, amount, balance_after, overage_used_after,
        spent_after, clawed_back_after, request_id)
    VALUES ({{account_id}}, 18, {row}, 3, 2, {request})"""

# What is done to a store with overage, and what is then named.
IN_OVERAGE: dict[str, Tampering] = {
    "overage used": (
        """UPDATE movements SET overage_used_after = overage_used_after - 1
           WHERE {account} AND seq = 17""",
        {(K.OVERAGE_USED, 17, "queued")},
    ),
    "given back as overage, which it was not": (
        "UPDATE movements SET request_id = 'x' WHERE {account} AND seq = 8",
        {(K.OVERAGE_REFUND_WITHOUT_OVERAGE, 8, "x")},
    ),
    "credited as billed overage, which it was not": (
        "UPDATE movements SET request_id = 'x' WHERE {account} AND seq = 13",
        {(K.OVERAGE_REFUND_WITHOUT_OVERAGE, 13, "x")},
    ),
    "overage refunded as a deduction": (
        """UPDATE movements SET type = 'refund' WHERE {account} AND seq = 13;
           UPDATE movements SET spent_after = spent_after - 2 WHERE {account} AND seq >= 13""",
        {(K.REFUND_WITHOUT_DEDUCTION, 13, "later"), (K.GRANT_WITHOUT_MOVEMENT, 13, None)},
    ),
    "a generation's overage refunded as a deduction": (
        """UPDATE movements SET type = 'refund' WHERE {account} AND seq = 12;
           UPDATE movements SET spent_after = spent_after - 1 WHERE {account} AND seq >= 12""",
        {(K.REFUND_WITHOUT_DEDUCTION, 12, "late"), (K.GRANTS_LEFT, 12, "late")},
    ),
    "more overage given back than was used": (
        ANOTHER_ROW.format(row="'overage_refund', 4, 0, NULL", request="'open'"),
        {(K.REFUND_EXCEEDS_DEDUCTION, 18, "open")},
    ),
    "deducted, and overage as well": (
        ANOTHER_ROW.format(row="'overage', 1, 0, 5", request="'rest'"),
        {(K.CHARGED_TWICE, 18, "rest")},
    ),
    "overage given back before its bill and after it": (
        ANOTHER_ROW.format(row="'overage_credit', 2, 2, 4", request="'returned'"),
        {(K.REFUNDED_TWICE, 18, "returned"), (K.MOVEMENT_WITHOUT_GRANT, 18, "returned")},
    ),
    "billed overage taken off what is used": (
        ANOTHER_ROW.format(row="'overage_refund', 2, 0, 2", request="'direct'"),
        {(K.REFUNDED_THOUGH_BILLED, 18, "direct")},
    ),
    "credits for overage that nobody billed": (
        ANOTHER_ROW.format(row="'overage_credit', 3, 3, 4", request="'open'"),
        {(K.CREDITED_THOUGH_UNBILLED, 18, "open"), (K.MOVEMENT_WITHOUT_GRANT, 18, "open")},
    ),
    "overage beside a balance": (
        """UPDATE movements SET balance_after = balance_after + 1, clawed_back_after = 1
           WHERE {account} AND seq >= 14;
           UPDATE movements SET amount = 1 WHERE {account} AND seq = 14""",
        {(K.IMPOSSIBLE_MOVEMENT, 16, "open"), (K.IMPOSSIBLE_MOVEMENT, 17, "queued")},
    ),
    "overage put before the deduction that emptied the balance, all written anew": (
        """UPDATE movements SET seq = CASE seq WHEN 15 THEN 116 ELSE 115 END
           WHERE {account} AND seq IN (15, 16);
           UPDATE movements SET seq = 15, balance_after = 1, spent_after = 2
           WHERE {account} AND seq = 115;
           UPDATE movements SET seq = 16, overage_used_after = 3
           WHERE {account} AND seq = 116""",
        {(K.IMPOSSIBLE_MOVEMENT, 15, "open")},
    ),
    "overage given back before it was used, all written anew": (
        """UPDATE movements SET seq = CASE seq WHEN 7 THEN 108 ELSE 107 END
           WHERE {account} AND seq IN (7, 8);
           UPDATE movements SET seq = 7, overage_used_after = 1 WHERE {account} AND seq = 107;
           UPDATE movements SET seq = 8, overage_used_after = 3 WHERE {account} AND seq = 108""",
        {(K.REFUND_BEFORE_DEDUCTION, 7, "returned")},
    ),
    "a session of overage deleted": (
        "DELETE FROM sessions WHERE {account} AND request_id = 'done'",
        {(K.DEDUCTION_WITHOUT_SESSION, 3, "done")},
    ),
    "overage of two for a generation": (
        """UPDATE movements SET amount = 2, overage_used_after = 5
           WHERE {account} AND seq = 17""",
        {(K.GENERATION_AMOUNT, 17, "queued")},
    ),
    "overage of a generation that failed, not given back": (
        "UPDATE sessions SET status = 'failed' WHERE {account} AND request_id = 'done'",
        {(K.FAILED_BUT_NOT_REFUNDED, 3, "done")},
    ),
    "overage of a generation that completed, given back": (
        """UPDATE sessions SET status = 'completed'
           WHERE {account} AND request_id IN ('failed', 'late')""",
        {(K.COMPLETED_BUT_REFUNDED, 5, "failed"), (K.COMPLETED_BUT_REFUNDED, 12, "late")},
    ),
    "billed for more than was used": (
        """UPDATE movements SET amount = 7 WHERE {account} AND seq = 11;
           UPDATE subscription_charges SET credits = 7 WHERE {account}""",
        {(K.BILL_AMOUNT, 11, "overage-2026-10")},
    ),
    "billed for less than was used, and the rest left": (
        """UPDATE movements SET amount = 5 WHERE {account} AND seq = 11;
           UPDATE movements SET overage_used_after = coalesce(overage_used_after, 0) + 1
           WHERE {account} AND seq >= 11;
           UPDATE subscription_charges SET credits = 5 WHERE {account}""",
        {(K.BILL_AMOUNT, 11, "overage-2026-10")},
    ),
    "a bill of other credits": (
        "UPDATE subscription_charges SET credits = 7 WHERE {account}",
        {(K.BILL_MISMATCH, 11, "overage-2026-10")},
    ),
    "a bill of another month": (
        "UPDATE subscription_charges SET period = '2026-09-01' WHERE {account}",
        {(K.BILL_MISMATCH, 11, "overage-2026-10")},
    ),
    "two bills whose months are exchanged": (
        """SELECT close_overage({account_id}, '2026-11-01', 18, 'USD');
           UPDATE subscription_charges SET period = '2026-12-01', request_id = 'x'
           WHERE {account} AND seq = 11;
           UPDATE subscription_charges SET period = '2026-10-01', request_id = 'overage-2026-10'
           WHERE {account} AND seq = 18;
           UPDATE subscription_charges SET period = '2026-11-01', request_id = 'overage-2026-11'
           WHERE {account} AND seq = 11;
           UPDATE movements SET request_id = 'x' WHERE {account} AND seq = 11;
           UPDATE movements SET request_id = 'overage-2026-10' WHERE {account} AND seq = 18;
           UPDATE movements SET request_id = 'overage-2026-11' WHERE {account} AND seq = 11""",
        {(K.BILL_OUT_OF_ORDER, 11, "overage-2026-11")},
    ),
    "a bill that closes nothing": (
        """INSERT INTO subscription_charges
               (account_id, period, seq, credits, amount, currency, request_id, provider)
           VALUES ({account_id}, '2026-11-01', 99, 4, 0, 'USD', 'overage-2026-11', 'paddle')""",
        {(K.BILL_WITHOUT_MOVEMENT, 99, "overage-2026-11")},
    ),
    "a bill's movement and all after it deleted": (
        "DELETE FROM movements WHERE {account} AND seq >= 11",
        {
            (K.BILL_WITHOUT_MOVEMENT, 11, "overage-2026-10"),
            (K.FAILED_BUT_NOT_REFUNDED, 9, "late"),
            (K.SESSION_WITHOUT_DEDUCTION, None, "queued"),
            (K.GRANT_WITHOUT_MOVEMENT, 12, None),
            (K.GRANT_WITHOUT_MOVEMENT, 13, None),
            MISSING,
        },
    ),
    "a bill deleted": (
        "DELETE FROM subscription_charges WHERE {account}",
        {
            (K.MOVEMENT_WITHOUT_BILL, 11, "overage-2026-10"),
            (K.CREDITED_THOUGH_UNBILLED, 12, "late"),
            (K.CREDITED_THOUGH_UNBILLED, 13, "later"),
        },
    ),
}

# What is done to a buyer who paid, got money back and was booked, and what is then named.
IN_MONEY: dict[str, Tampering] = {
    "a top-up that was charged and never paid": (
        """INSERT INTO subscription_charges
               (account_id, number, credits, amount, currency, request_id, provider, charged_at,
                provider_transaction_id)
           VALUES ({account_id}, 1, 10, 180, 'USD', 'top-up-1', 'paddle', now(), 'txn_unpaid')""",
        {(K.TOP_UP_WITHOUT_PAYMENT, None, "top-up-1")},
    ),
    "a payment for other credits": (
        "UPDATE payments SET credits = 11 WHERE {account} AND kind = 'purchase'",
        {(K.PAYMENT_NOT_BOOKED, 2, "order")},
    ),
    "a payment that nobody booked": (
        """INSERT INTO payments (provider, provider_transaction_id, account_id, paid_at, kind,
               credits, amount, currency, request_id)
           VALUES ('paddle', 'txn_x', {account_id}, now(), 'purchase', 5, 90, 'USD', 'x')""",
        {(K.PAYMENT_NOT_BOOKED, None, "x")},
    ),
    "a payment of another kind": (
        "UPDATE payments SET kind = 'overage' WHERE {account} AND kind = 'purchase'",
        {(K.PAYMENT_NOT_BOOKED, None, "order")},
    ),
    "a purchase under another request": (
        "UPDATE movements SET request_id = 'x' WHERE {account} AND type = 'purchase'",
        {(K.PAYMENT_NOT_BOOKED, None, "order")},
    ),
    "a purchase deleted, and its clawback": (
        "DELETE FROM movements WHERE {account} AND seq >= 2",
        {
            (K.PAYMENT_NOT_BOOKED, None, "order"),
            (K.CLAWBACK_NOT_BOOKED, None, "{adjustment}"),
            (K.GRANT_WITHOUT_MOVEMENT, 2, None),
            MISSING,
        },
    ),
    "a clawback deleted, the newest movement": (
        "DELETE FROM movements WHERE {account} AND seq = 3",
        {(K.CLAWBACK_NOT_BOOKED, None, "{adjustment}"), MISSING},
    ),
    "a clawback that took more": (
        "UPDATE clawbacks SET taken = taken + 1 WHERE adjustment_id = '{adjustment}'",
        {(K.CLAWBACK_NOT_BOOKED, 3, "{adjustment}")},
    ),
    "a clawback that took nothing, it says": (
        "UPDATE clawbacks SET taken = 0 WHERE adjustment_id = '{adjustment}'",
        {(K.CLAWBACK_NOT_BOOKED, 3, "{adjustment}")},
    ),
    "a clawback under another request": (
        "UPDATE movements SET request_id = 'x' WHERE {account} AND type = 'clawback'",
        {(K.CLAWBACK_NOT_BOOKED, None, "{adjustment}")},
    ),
}
