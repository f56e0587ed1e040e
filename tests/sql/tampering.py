"""What is done to sound books, and what `storecredit verify` must then name: that, and no more.

In a statement `{account}` stands for `account_id = …`, `{owner}` for `store_id = …` or
`user_id = …`, and `{owners}` for the table of these.
"""

from storecredit.ledger.discrepancies import DiscrepancyKind

K = DiscrepancyKind
Named = tuple[DiscrepancyKind, int | None, str | None]
"""A kind, a seq and a request id."""
Tampering = tuple[str, set[Named]]

MISSING: Named = (K.MOVEMENTS_MISSING, None, None)

# What is done to an owner with everything, and what is then named.
IN_THE_CHAIN: dict[str, Tampering] = {
    "balance": (
        "UPDATE movements SET balance_after = balance_after + 1 WHERE {account} AND seq = 11",
        {(K.RUNNING_BALANCE, 11, "goods")},
    ),
    "total spent": (
        "UPDATE movements SET spent_after = spent_after + 1 WHERE {account} AND seq = 11",
        {(K.TOTAL_SPENT, 11, "goods")},
    ),
    "total clawed back": (
        "UPDATE movements SET clawed_back_after = 5 WHERE {account} AND seq = 11",
        {(K.TOTAL_CLAWED_BACK, 11, "goods")},
    ),
    "nothing clawed back": (
        "UPDATE movements SET clawed_back_after = NULL WHERE {account} AND seq = 11",
        {(K.TOTAL_CLAWED_BACK, 11, "goods")},
    ),
    "overage from nowhere": (
        "UPDATE movements SET overage_used_after = 1 WHERE {account} AND seq = 11",
        {(K.OVERAGE_USED, 11, "goods")},
    ),
    "what was spent, back in the balance, the total added untouched": (
        """UPDATE movements SET balance_after = balance_after + 5, spent_after = spent_after - 5
           WHERE {account} AND seq = 11""",
        {(K.RUNNING_BALANCE, 11, "goods"), (K.TOTAL_SPENT, 11, "goods")},
    ),
    "balance and total spent exchanged": (
        """UPDATE movements SET balance_after = spent_after, spent_after = balance_after
           WHERE {account} AND seq = 11""",
        {(K.RUNNING_BALANCE, 11, "goods"), (K.TOTAL_SPENT, 11, "goods")},
    ),
    "clawed back and kept, the balance consistent with it": (
        """UPDATE movements SET balance_after = balance_after + 4, clawed_back_after = NULL
           WHERE {account} AND seq = 11""",
        {(K.RUNNING_BALANCE, 11, "goods"), (K.TOTAL_CLAWED_BACK, 11, "goods")},
    ),
    "last seq": (
        "UPDATE movements SET seq = 12 WHERE {account} AND seq = 11",
        {(K.SEQ_GAP, 12, "goods")},
    ),
    "a gap": (
        "UPDATE movements SET seq = seq + 100 WHERE {account} AND seq >= 7",
        {
            (K.SEQ_GAP, 107, "direct"),
            (K.MOVEMENT_WITHOUT_GRANT, 110, "bought"),
            (K.GRANTS_LEFT, 110, "bought"),
            (K.GRANT_WITHOUT_MOVEMENT, 10, None),
        },
    ),
    "a ledger that does not begin with 1": (
        "UPDATE movements SET seq = seq + 100 WHERE {account}",
        {
            (K.SEQ_GAP, 101, "opening"),
            (K.MOVEMENT_WITHOUT_GRANT, 101, "opening"),
            (K.GRANT_WITHOUT_MOVEMENT, 1, None),
            (K.MOVEMENT_WITHOUT_GRANT, 110, "bought"),
            (K.GRANTS_LEFT, 110, "bought"),
            (K.GRANT_WITHOUT_MOVEMENT, 10, None),
        },
    ),
    "a movement deleted": (
        "DELETE FROM movements WHERE {account} AND seq = 7",
        {(K.SEQ_GAP, 8, "returned"), MISSING},
    ),
    "the first movement deleted": (
        "DELETE FROM movements WHERE {account} AND seq = 1",
        {(K.SEQ_GAP, 2, "done"), (K.GRANT_WITHOUT_MOVEMENT, 1, None), MISSING},
    ),
    "the newest movement deleted": (
        "DELETE FROM movements WHERE {account} AND seq = 11",
        {MISSING},
    ),
    "the newest movement deleted, and others after it": (
        """DELETE FROM movements WHERE {account} AND seq = 11;
           SELECT refund_to_accounts(ARRAY[{account_id}], ARRAY[1], ARRAY['direct'], ARRAY['']);
           SELECT deduct_from_accounts(ARRAY[{account_id}], ARRAY[1], ARRAY['new'], ARRAY[''])""",
        {MISSING},
    ),
    "the newest movements deleted, of sessions among them": (
        "DELETE FROM movements WHERE {account} AND seq >= 5",
        {
            (K.SESSION_WITHOUT_DEDUCTION, None, "working"),
            (K.FAILED_BUT_NOT_REFUNDED, 3, "failed"),
            (K.GRANT_WITHOUT_MOVEMENT, 10, None),
            MISSING,
        },
    ),
    "two movements exchanged": (
        """UPDATE movements SET seq = CASE seq WHEN 7 THEN 110 ELSE 107 END
           WHERE {account} AND seq IN (7, 10);
           UPDATE movements SET seq = seq - 100 WHERE {account} AND seq > 100""",
        {
            (K.RUNNING_BALANCE, 7, "bought"),
            (K.RUNNING_BALANCE, 8, "returned"),
            (K.RUNNING_BALANCE, 10, "direct"),
            (K.RUNNING_BALANCE, 11, "goods"),
            (K.TOTAL_SPENT, 7, "bought"),
            (K.TOTAL_SPENT, 10, "direct"),
            (K.MOVEMENT_WITHOUT_GRANT, 7, "bought"),
            (K.GRANTS_UNTOLD, 8, "returned"),
            (K.GRANT_WITHOUT_MOVEMENT, 10, None),
        },
    ),
    "a refund put before its deduction, and all that follows written anew": (
        """UPDATE movements SET seq = CASE seq WHEN 8 THEN 109 ELSE 108 END
           WHERE {account} AND seq IN (8, 9);
           UPDATE movements SET seq = 8, balance_after = 96, spent_after = 4
           WHERE {account} AND seq = 108;
           UPDATE movements SET seq = 9, balance_after = 94, spent_after = 6
           WHERE {account} AND seq = 109""",
        {(K.REFUND_BEFORE_DEDUCTION, 8, "returned")},
    ),
    "running balance": (
        "UPDATE movements SET balance_after = balance_after + 1 WHERE {account} AND seq = 7",
        {(K.RUNNING_BALANCE, 7, "direct"), (K.RUNNING_BALANCE, 8, "returned")},
    ),
    "first running balance": (
        "UPDATE movements SET balance_after = balance_after + 7 WHERE {account}",
        {
            (K.RUNNING_BALANCE, 1, "opening"),
            (K.GRANTS_LEFT, 10, "bought"),
            (K.GRANTS_LEFT, 11, "goods"),
        },
    ),
    "first total spent": (
        "UPDATE movements SET spent_after = spent_after + 7 WHERE {account}",
        {(K.TOTAL_SPENT, 1, "opening")},
    ),
    "an amount below one": (
        """UPDATE movements SET amount = 0 WHERE {account} AND seq = 10;
           UPDATE movements SET balance_after = balance_after - 10 WHERE {account} AND seq >= 10""",
        {
            (K.IMPOSSIBLE_MOVEMENT, 10, "bought"),
            (K.GRANT_AMOUNT, 10, "bought"),
            (K.GRANTS_LEFT, 11, "goods"),
        },
    ),
    "a balance below zero": (
        """UPDATE movements SET amount = 105 WHERE {account} AND seq = 11;
           UPDATE movements SET balance_after = -1, clawed_back_after = 105
           WHERE {account} AND seq = 11""",
        {(K.IMPOSSIBLE_MOVEMENT, 11, "goods"), (K.GRANTS_LEFT, 11, "goods")},
    ),
    "a grant for a session": (
        """UPDATE movements SET session_id = gen_random_uuid() WHERE {account} AND seq = 1""",
        {(K.IMPOSSIBLE_MOVEMENT, 1, "opening")},
    ),
    "a type nobody knows": (
        "UPDATE movements SET type = 'gift' WHERE {account} AND seq = 10",
        {(K.UNKNOWN_TYPE, 10, "bought"), (K.RUNNING_BALANCE, 10, "bought")},
    ),
    "a type that is not for such an owner": (
        "UPDATE movements SET type = '{foreign_type}' WHERE {account} AND seq = 10",
        {(K.TYPE_NOT_OF_OWNER, 10, "bought")},
    ),
}

IN_REQUESTS: dict[str, Tampering] = {
    "a refund of nothing": (
        "UPDATE movements SET request_id = 'x' WHERE {account} AND seq = 9",
        {(K.REFUND_WITHOUT_DEDUCTION, 9, "x")},
    ),
    "a generation's refund of nothing": (
        "UPDATE movements SET request_id = 'x' WHERE {account} AND seq = 6",
        {(K.REFUND_WITHOUT_DEDUCTION, 6, "x"), (K.FAILED_BUT_NOT_REFUNDED, 3, "failed")},
    ),
    "a refund too large": (
        """UPDATE movements SET amount = 3 WHERE {account} AND seq = 9;
           UPDATE movements SET balance_after = balance_after + 1, spent_after = spent_after - 1
           WHERE {account} AND seq >= 9""",
        {
            (K.REFUND_EXCEEDS_DEDUCTION, 9, "returned"),
            (K.GRANTS_LEFT, 10, "bought"),
            (K.GRANTS_LEFT, 11, "goods"),
        },
    ),
    "a completed session deleted": (
        "DELETE FROM sessions WHERE {account} AND request_id = 'done'",
        {(K.DEDUCTION_WITHOUT_SESSION, 2, "done")},
    ),
    "a failed session deleted": (
        "DELETE FROM sessions WHERE {account} AND request_id = 'failed'",
        {(K.DEDUCTION_WITHOUT_SESSION, 3, "failed")},
    ),
    "two credits for a generation": (
        """UPDATE movements SET amount = 2 WHERE {account} AND seq = 2;
           UPDATE movements SET balance_after = balance_after - 1, spent_after = spent_after + 1
           WHERE {account} AND seq >= 2""",
        {
            (K.GENERATION_AMOUNT, 2, "done"),
            (K.GRANTS_LEFT, 10, "bought"),
            (K.GRANTS_LEFT, 11, "goods"),
        },
    ),
    "a generation that was to cost more": (
        "UPDATE sessions SET credits = 2 WHERE {account} AND request_id = 'done'",
        {(K.GENERATION_AMOUNT, 2, "done")},
    ),
    "a generation that failed, and was to cost more": (
        "UPDATE sessions SET credits = 2 WHERE {account} AND request_id = 'failed'",
        {(K.GENERATION_AMOUNT, 3, "failed"), (K.GENERATION_AMOUNT, 6, "failed")},
    ),
    "a deduction for another session": (
        "UPDATE movements SET session_id = gen_random_uuid() WHERE {account} AND seq = 2",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a generation's deduction for no session": (
        "UPDATE movements SET session_id = NULL WHERE {account} AND seq = 2",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a refund for no session": (
        "UPDATE movements SET session_id = NULL WHERE {account} AND seq = 6",
        {(K.SESSION_MISMATCH, 6, "failed")},
    ),
    "two sessions exchanged": (
        """UPDATE movements m SET session_id = s.session_id FROM sessions s
           WHERE m.{account} AND s.account_id = m.account_id AND m.type = 'deduction'
             AND (m.request_id, s.request_id) IN (('queued', 'working'), ('working', 'queued'))""",
        {(K.SESSION_MISMATCH, 4, "queued"), (K.SESSION_MISMATCH, 5, "working")},
    ),
    "a session of another request": (
        "UPDATE sessions SET request_id = 'x' WHERE {account} AND request_id = 'done'",
        {(K.SESSION_MISMATCH, 2, "done"), (K.SESSION_WITHOUT_DEDUCTION, None, "x")},
    ),
    "a second session of one request": (
        """INSERT INTO sessions
               (account_id, session_id, credits, request_id, fingerprint, status, completed_at)
           SELECT account_id, gen_random_uuid(), credits, request_id, fingerprint, status,
               completed_at
           FROM sessions WHERE {account} AND request_id = 'done'""",
        {(K.SESSION_MISMATCH, 2, "done")},
    ),
    "a completed generation refunded by hand": (
        "SELECT refund_to_accounts(ARRAY[{account_id}], ARRAY[1], ARRAY['done'], ARRAY[''])",
        {(K.COMPLETED_BUT_REFUNDED, 12, "done")},
    ),
    "a failed session made completed": (
        "UPDATE sessions SET status = 'completed' WHERE {account} AND request_id = 'failed'",
        {(K.COMPLETED_BUT_REFUNDED, 6, "failed")},
    ),
    "a queued generation refunded by hand": (
        "SELECT refund_to_accounts(ARRAY[{account_id}], ARRAY[1], ARRAY['queued'], ARRAY[''])",
        {(K.OPEN_BUT_REFUNDED, 12, "queued")},
    ),
    "a generation under way refunded by hand": (
        "SELECT refund_to_accounts(ARRAY[{account_id}], ARRAY[1], ARRAY['working'], ARRAY[''])",
        {(K.OPEN_BUT_REFUNDED, 12, "working")},
    ),
    "a free session": (
        """INSERT INTO sessions (account_id, session_id, credits, request_id, fingerprint)
           VALUES ({account_id}, gen_random_uuid(), 1, 'free', '')""",
        {(K.SESSION_WITHOUT_DEDUCTION, None, "free")},
    ),
    "failed without a refund": (
        "UPDATE sessions SET status = 'failed' WHERE {account} AND request_id = 'done'",
        {(K.FAILED_BUT_NOT_REFUNDED, 2, "done")},
    ),
    "a status nobody knows": (
        "UPDATE sessions SET status = 'paused' WHERE {account} AND request_id = 'queued'",
        {(K.IMPOSSIBLE_SESSION, 4, "queued")},
    ),
    "an ended session that keeps its input": (
        """UPDATE sessions SET input = '{{"prompt": "a hat"}}'
           WHERE {account} AND request_id = 'failed'""",
        {(K.IMPOSSIBLE_SESSION, 3, "failed")},
    ),
    "fewer attempts than none": (
        "UPDATE sessions SET attempts = -1 WHERE {account} AND request_id = 'working'",
        {(K.IMPOSSIBLE_SESSION, 5, "working")},
    ),
}

# {kind} is `store` or `user`.
IN_OWNERS: dict[str, tuple[str, set[str]]] = {
    "owner deleted": ("DELETE FROM {owners} WHERE {owner}", {"account_without_{kind}"}),
    "account and owner deleted": (
        "DELETE FROM {owners} WHERE {owner}; DELETE FROM accounts WHERE {account}",
        {"movements_without_account", "sum_mismatch"},
    ),
    "account deleted": (
        "DELETE FROM accounts WHERE {account}",
        {"movements_without_account", "{kind}_without_account", "sum_mismatch"},
    ),
    "everything deleted": (
        """DELETE FROM {owners} WHERE {owner}; DELETE FROM accounts WHERE {account};
           DELETE FROM sessions WHERE {account}; DELETE FROM movements WHERE {account};
           DELETE FROM grants WHERE {account}""",
        {"movements_missing", "sum_mismatch"},
    ),
    "an overage limit below 0": (
        "UPDATE accounts SET overage_limit = -1 WHERE {account}",
        {"impossible_account"},
    ),
}

IN_A_LEDGER: dict[str, Tampering] = IN_THE_CHAIN | IN_REQUESTS
