"""What is done to sound books, and what `storecredit verify` must then name: that, and no more."""

import re

from storecredit.ledger.discrepancies import DiscrepancyKind

K = DiscrepancyKind
Named = tuple[DiscrepancyKind, int | None, str | None]
"""A kind, a seq and a request id."""
Tampering = tuple[str, set[Named]]

# What is done to a store with everything, and what is then named.
IN_A_LEDGER: dict[str, Tampering] = {
    "balance": (
        "UPDATE store_credits SET balance = balance + 1 WHERE {store}",
        {(K.BALANCE, None, None)},
    ),
    "total purchased": (
        "UPDATE store_credits SET total_purchased = total_purchased - 1 WHERE {store}",
        {(K.TOTAL_PURCHASED, None, None)},
    ),
    "total spent": (
        "UPDATE store_credits SET total_spent = total_spent + 1 WHERE {store}",
        {(K.TOTAL_SPENT, None, None)},
    ),
    "credits from nowhere, by a row consistent in itself": (
        """UPDATE store_credits SET balance = balance + 5, total_purchased = total_purchased + 5
           WHERE {store}""",
        {(K.BALANCE, None, None), (K.TOTAL_PURCHASED, None, None)},
    ),
    "totals inflated alike, the balance untouched": (
        """UPDATE store_credits
           SET total_purchased = total_purchased + 5, total_spent = total_spent + 5
           WHERE {store}""",
        {(K.TOTAL_PURCHASED, None, None), (K.TOTAL_SPENT, None, None)},
    ),
    "total clawed back": (
        "UPDATE store_credits SET total_clawed_back = total_clawed_back + 1 WHERE {store}",
        {(K.TOTAL_CLAWED_BACK, None, None)},
    ),
    "bought and clawed back alike, the balance untouched": (
        """UPDATE store_credits SET total_purchased = total_purchased + 5,
               total_clawed_back = total_clawed_back + 5
           WHERE {store}""",
        {(K.TOTAL_PURCHASED, None, None), (K.TOTAL_CLAWED_BACK, None, None)},
    ),
    "last seq": (
        "UPDATE store_credits SET last_seq = last_seq + 1 WHERE {store}",
        {(K.LAST_SEQ, None, None)},
    ),
    "store deleted": (
        "DELETE FROM stores WHERE {store}",
        {(K.CREDITS_WITHOUT_STORE, None, None)},
    ),
    "credit row and store deleted": (
        "DELETE FROM stores WHERE {store}; DELETE FROM store_credits WHERE {store}",
        {(K.MOVEMENTS_WITHOUT_CREDITS, None, None)},
    ),
    "credit row deleted": (
        "DELETE FROM store_credits WHERE {store}",
        {(K.MOVEMENTS_WITHOUT_CREDITS, None, None), (K.STORE_WITHOUT_CREDITS, None, None)},
    ),
    "a gap": (
        """UPDATE store_credit_transactions SET seq = 11 WHERE {store} AND seq = 10;
           UPDATE store_credits SET last_seq = 11 WHERE {store}""",
        {(K.SEQ_GAP, 11, "bought")},
    ),
    "a ledger that does not begin with 1": (
        """UPDATE store_credit_transactions SET seq = seq + 100 WHERE {store};
           UPDATE store_credits SET last_seq = 110 WHERE {store}""",
        {(K.SEQ_GAP, 101, "opening")},
    ),
    "a movement deleted": (
        "DELETE FROM store_credit_transactions WHERE {store} AND seq = 7",
        {(K.SEQ_GAP, 8, "returned"), (K.BALANCE, None, None), (K.TOTAL_SPENT, None, None)},
    ),
    "running balance": (
        """UPDATE store_credit_transactions SET balance_after = balance_after + 1
           WHERE {store} AND seq = 7""",
        {(K.RUNNING_BALANCE, 7, "direct"), (K.RUNNING_BALANCE, 8, "returned")},
    ),
    "first running balance": (
        """UPDATE store_credit_transactions SET balance_after = balance_after + 7 WHERE {store};
           UPDATE store_credits SET balance = balance + 7 WHERE {store}""",
        {(K.RUNNING_BALANCE, 1, "opening"), (K.BALANCE, None, None)},
    ),
    "an amount below one": (
        """UPDATE store_credit_transactions SET amount = 0, balance_after = 94
           WHERE {store} AND seq = 10;
           UPDATE store_credits SET balance = 94, total_purchased = 100 WHERE {store}""",
        {(K.IMPOSSIBLE_MOVEMENT, 10, "bought")},
    ),
    "a grant for a session": (
        """UPDATE store_credit_transactions SET session_id = gen_random_uuid()
           WHERE {store} AND seq = 1""",
        {(K.IMPOSSIBLE_MOVEMENT, 1, "opening")},
    ),
    "a type nobody knows": (
        "UPDATE store_credit_transactions SET type = 'gift' WHERE {store} AND seq = 10",
        {
            (K.IMPOSSIBLE_MOVEMENT, 10, "bought"),
            (K.BALANCE, None, None),
            (K.TOTAL_PURCHASED, None, None),
        },
    ),
    "a refund of nothing": (
        "UPDATE store_credit_transactions SET request_id = 'x' WHERE {store} AND seq = 9",
        {(K.REFUND_WITHOUT_DEDUCTION, 9, "x")},
    ),
    "a generation's refund of nothing": (
        "UPDATE store_credit_transactions SET request_id = 'x' WHERE {store} AND seq = 6",
        {(K.REFUND_WITHOUT_DEDUCTION, 6, "x"), (K.FAILED_BUT_NOT_REFUNDED, 3, "failed")},
    ),
    "a refund too large": (
        """UPDATE store_credit_transactions SET amount = 3 WHERE {store} AND seq = 9;
           UPDATE store_credit_transactions SET balance_after = balance_after + 1
           WHERE {store} AND seq >= 9;
           UPDATE store_credits SET balance = balance + 1, total_spent = total_spent - 1
           WHERE {store}""",
        {(K.REFUND_EXCEEDS_DEDUCTION, 9, "returned")},
    ),
    "a completed session deleted": (
        "DELETE FROM store_generation_sessions WHERE {store} AND request_id = 'done'",
        {(K.DEDUCTION_WITHOUT_SESSION, 2, "done")},
    ),
    "a failed session deleted": (
        "DELETE FROM store_generation_sessions WHERE {store} AND request_id = 'failed'",
        {(K.DEDUCTION_WITHOUT_SESSION, 3, "failed")},
    ),
    "two credits for a generation": (
        """UPDATE store_credit_transactions SET amount = 2 WHERE {store} AND seq = 2;
           UPDATE store_credit_transactions SET balance_after = balance_after - 1
           WHERE {store} AND seq >= 2;
           UPDATE store_credits SET balance = balance - 1, total_spent = total_spent + 1
           WHERE {store}""",
        {(K.GENERATION_AMOUNT, 2, "done")},
    ),
    "a deduction for another session": (
        """UPDATE store_credit_transactions SET session_id = gen_random_uuid()
           WHERE {store} AND seq = 2""",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a generation's deduction for no session": (
        "UPDATE store_credit_transactions SET session_id = NULL WHERE {store} AND seq = 2",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a refund for no session": (
        "UPDATE store_credit_transactions SET session_id = NULL WHERE {store} AND seq = 6",
        {(K.SESSION_MISMATCH, 6, "failed")},
    ),
    "two sessions exchanged": (
        """UPDATE store_credit_transactions t SET session_id = s.session_id
           FROM store_generation_sessions s
           WHERE t.{store} AND s.store_id = t.store_id AND t.type = 'deduction'
             AND (t.request_id, s.request_id) IN (('queued', 'working'), ('working', 'queued'))""",
        {(K.SESSION_MISMATCH, 4, "queued"), (K.SESSION_MISMATCH, 5, "working")},
    ),
    "a session of another request": (
        """UPDATE store_generation_sessions SET request_id = 'x'
           WHERE {store} AND request_id = 'done'""",
        {(K.SESSION_MISMATCH, 2, "done"), (K.SESSION_WITHOUT_DEDUCTION, None, "x")},
    ),
    "a second session of one request": (
        """INSERT INTO store_generation_sessions
               (store_id, session_id, request_id, fingerprint, status, completed_at)
           SELECT store_id, gen_random_uuid(), request_id, fingerprint, status, completed_at
           FROM store_generation_sessions WHERE {store} AND request_id = 'done'""",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a completed generation refunded by hand": (
        "SELECT refund_store_credits(store_id, 1, 'done') FROM stores WHERE {store}",
        {(K.COMPLETED_BUT_REFUNDED, 11, "done")},
    ),
    "a failed session made completed": (
        """UPDATE store_generation_sessions SET status = 'completed'
           WHERE {store} AND request_id = 'failed'""",
        {(K.COMPLETED_BUT_REFUNDED, 6, "failed")},
    ),
    "a queued generation refunded by hand": (
        "SELECT refund_store_credits(store_id, 1, 'queued') FROM stores WHERE {store}",
        {(K.OPEN_BUT_REFUNDED, 11, "queued")},
    ),
    "a generation under way refunded by hand": (
        "SELECT refund_store_credits(store_id, 1, 'working') FROM stores WHERE {store}",
        {(K.OPEN_BUT_REFUNDED, 11, "working")},
    ),
    "a free session": (
        """INSERT INTO store_generation_sessions (store_id, session_id, request_id, fingerprint)
           SELECT store_id, gen_random_uuid(), 'free', '' FROM stores WHERE {store}""",
        {(K.SESSION_WITHOUT_DEDUCTION, None, "free")},
    ),
    "failed without a refund": (
        """UPDATE store_generation_sessions SET status = 'failed'
           WHERE {store} AND request_id = 'done'""",
        {(K.FAILED_BUT_NOT_REFUNDED, 2, "done")},
    ),
    "a status nobody knows": (
        """UPDATE store_generation_sessions SET status = 'paused'
           WHERE {store} AND request_id = 'queued'""",
        {(K.IMPOSSIBLE_SESSION, 4, "queued")},
    ),
}

# What is called otherwise in the ledger of the end users.
AT_USERS = {
    "store_credit_transactions": "credit_transactions",
    "store_generation_sessions": "generation_sessions",
    "store_credits": "user_credits",
    "refund_store_credits": "refund_credits",
    "stores": "users",
    "store_id": "user_id",
    "store": "user",
    "total_purchased": "total_earned",
    "deduction": "generation",
    "opening": "signup",
    "credits_without_store": "credits_without_user",
    "store_without_credits": "user_without_credits",
}


def at_users(tampering: Tampering) -> Tampering:
    """The same done to an end user."""
    statement, named = tampering

    def renamed(text: str) -> str:
        return re.sub(r"\w+", lambda word: AT_USERS.get(word[0], word[0]), text)

    return renamed(statement), {
        (DiscrepancyKind(renamed(kind)), seq, request_id and renamed(request_id))
        for kind, seq, request_id in named
    }


# Another row at the end of the ledger of a store with overage: {row} is its type, amount,
# balance_after and request id.
ANOTHER_ROW = """
    INSERT INTO store_credit_transactions
        (store_id, seq, type, amount, balance_after, request_id)
    SELECT store_id, 18, {row} FROM stores WHERE {{store}};
    UPDATE store_credits SET last_seq = 18, {credits} WHERE {{store}}"""

# What is done to a store with overage, and what is then named.
IN_OVERAGE: dict[str, Tampering] = {
    "overage used": (
        "UPDATE store_credits SET overage_used = overage_used - 1 WHERE {store}",
        {(K.OVERAGE_USED, None, None)},
    ),
    "given back as overage, which it was not": (
        "UPDATE store_credit_transactions SET request_id = 'x' WHERE {store} AND seq = 8",
        {(K.OVERAGE_REFUND_WITHOUT_OVERAGE, 8, "x")},
    ),
    "credited as billed overage, which it was not": (
        "UPDATE store_credit_transactions SET request_id = 'x' WHERE {store} AND seq = 13",
        {(K.OVERAGE_REFUND_WITHOUT_OVERAGE, 13, "x")},
    ),
    "overage refunded as a deduction": (
        """UPDATE store_credit_transactions SET type = 'refund' WHERE {store} AND seq = 13;
           UPDATE store_credits
           SET total_purchased = total_purchased - 2, total_spent = total_spent - 2
           WHERE {store}""",
        {(K.REFUND_WITHOUT_DEDUCTION, 13, "later")},
    ),
    "a generation's overage refunded as a deduction": (
        """UPDATE store_credit_transactions SET type = 'refund' WHERE {store} AND seq = 12;
           UPDATE store_credits
           SET total_purchased = total_purchased - 1, total_spent = total_spent - 1
           WHERE {store}""",
        {(K.REFUND_WITHOUT_DEDUCTION, 12, "late")},
    ),
    "more overage given back than was used": (
        ANOTHER_ROW.format(row="'overage_refund', 4, 0, 'open'", credits="overage_used = 0"),
        {(K.REFUND_EXCEEDS_DEDUCTION, 18, "open")},
    ),
    "deducted, and overage as well": (
        ANOTHER_ROW.format(row="'overage', 1, 0, 'rest'", credits="overage_used = 5"),
        {(K.CHARGED_TWICE, 18, "rest")},
    ),
    "overage given back before its bill and after it": (
        ANOTHER_ROW.format(
            row="'overage_credit', 2, 2, 'returned'",
            credits="balance = 2, total_purchased = total_purchased + 2",
        ),
        {(K.REFUNDED_TWICE, 18, "returned")},
    ),
    "billed overage taken off what is used": (
        ANOTHER_ROW.format(row="'overage_refund', 2, 0, 'direct'", credits="overage_used = 2"),
        {(K.REFUNDED_THOUGH_BILLED, 18, "direct")},
    ),
    "credits for overage that nobody billed": (
        ANOTHER_ROW.format(
            row="'overage_credit', 3, 3, 'open'",
            credits="balance = 3, total_purchased = total_purchased + 3",
        ),
        {(K.CREDITED_THOUGH_UNBILLED, 18, "open")},
    ),
    "overage beside a balance": (
        """UPDATE store_credit_transactions SET balance_after = 1 WHERE {store} AND seq >= 16;
           UPDATE store_credit_transactions SET balance_after = 1, amount = 1
           WHERE {store} AND seq = 14;
           UPDATE store_credit_transactions SET balance_after = 1
           WHERE {store} AND seq = 15;
           UPDATE store_credit_transactions SET balance_after = 2 WHERE {store} AND seq = 14;
           UPDATE store_credits SET balance = 1, total_clawed_back = 1 WHERE {store}""",
        {(K.IMPOSSIBLE_MOVEMENT, 16, "open"), (K.IMPOSSIBLE_MOVEMENT, 17, "queued")},
    ),
    "a session of overage deleted": (
        "DELETE FROM store_generation_sessions WHERE {store} AND request_id = 'done'",
        {(K.DEDUCTION_WITHOUT_SESSION, 3, "done")},
    ),
    "overage of two for a generation": (
        """UPDATE store_credit_transactions SET amount = 2 WHERE {store} AND seq = 17;
           UPDATE store_credits SET overage_used = 5 WHERE {store}""",
        {(K.GENERATION_AMOUNT, 17, "queued")},
    ),
    "overage of a generation that failed, not given back": (
        """UPDATE store_generation_sessions SET status = 'failed'
           WHERE {store} AND request_id = 'done'""",
        {(K.FAILED_BUT_NOT_REFUNDED, 3, "done")},
    ),
    "overage of a generation that completed, given back": (
        """UPDATE store_generation_sessions SET status = 'completed'
           WHERE {store} AND request_id IN ('failed', 'late')""",
        {(K.COMPLETED_BUT_REFUNDED, 5, "failed"), (K.COMPLETED_BUT_REFUNDED, 12, "late")},
    ),
    "billed for more than was used": (
        """UPDATE store_credit_transactions SET amount = 7 WHERE {store} AND seq = 11;
           UPDATE store_overage_bills SET credits = 7 WHERE {store};
           UPDATE store_credits SET overage_used = 3 WHERE {store}""",
        {(K.BILL_AMOUNT, 11, "overage-2026-10")},
    ),
    "a bill of other credits": (
        "UPDATE store_overage_bills SET credits = 7 WHERE {store}",
        {(K.BILL_MISMATCH, 11, "overage-2026-10")},
    ),
    "a bill of another month": (
        "UPDATE store_overage_bills SET period = '2026-09-01' WHERE {store}",
        {(K.BILL_MISMATCH, 11, "overage-2026-10")},
    ),
    "a bill that closes nothing": (
        """INSERT INTO store_overage_bills
               (store_id, period, seq, credits, amount, currency, request_id)
           SELECT store_id, '2026-11-01', 99, 4, 0, 'USD', 'overage-2026-11'
           FROM stores WHERE {store}""",
        {(K.BILL_WITHOUT_MOVEMENT, 99, "overage-2026-11")},
    ),
    "a bill deleted": (
        "DELETE FROM store_overage_bills WHERE {store}",
        {
            (K.MOVEMENT_WITHOUT_BILL, 11, "overage-2026-10"),
            (K.CREDITED_THOUGH_UNBILLED, 12, "late"),
            (K.CREDITED_THOUGH_UNBILLED, 13, "later"),
        },
    ),
}

# What is done to a buyer who paid, got money back and was booked, and what is then named.
IN_MONEY: dict[str, Tampering] = {
    "a payment for other credits": (
        "UPDATE payments SET credits = 11 WHERE {buyer} AND kind = 'purchase'",
        {(K.PAYMENT_NOT_BOOKED, 2, "order")},
    ),
    "a payment that nobody booked": (
        """INSERT INTO payments (paddle_transaction_id, {buyer_id}, paid_at, kind, credits,
               amount, currency, request_id)
           SELECT 'txn_x', {buyer_id}, now(), 'purchase', 5, 90, 'USD', 'x'
           FROM payments WHERE {buyer} AND kind = 'purchase'""",
        {(K.PAYMENT_NOT_BOOKED, None, "x")},
    ),
    "a payment of another kind": (
        "UPDATE payments SET kind = 'overage' WHERE {buyer} AND kind = 'purchase'",
        {(K.PAYMENT_NOT_BOOKED, None, "order")},
    ),
    "a purchase under another request": (
        "UPDATE {ledger} SET request_id = 'x' WHERE {buyer} AND type = 'purchase'",
        {(K.PAYMENT_NOT_BOOKED, None, "order")},
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
        "UPDATE {ledger} SET request_id = 'x' WHERE {buyer} AND type = 'clawback'",
        {(K.CLAWBACK_NOT_BOOKED, None, "{adjustment}")},
    ),
}
