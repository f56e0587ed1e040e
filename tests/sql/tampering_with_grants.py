"""What is done to grants, holds and spends, and what must be named (see tampering.py)."""

from storecredit.ledger.discrepancies import DiscrepancyKind
from tests.sql.tampering import Tampering

K = DiscrepancyKind

# What is done to an owner whose credits come and go in every way, and what is then named.
IN_GRANTS: dict[str, Tampering] = {
    "more held than is": (
        "UPDATE movements SET held_after = held_after + 1 WHERE {account} AND seq = 21",
        {(K.CREDITS_HELD, 21, "last"), (K.HELD_MISMATCH, None, None)},
    ),
    "nothing held": (
        "UPDATE movements SET held_after = NULL WHERE {account} AND seq = 17",
        {(K.CREDITS_HELD, 17, "error"), (K.CREDITS_HELD, 18, "grant:2")},
    ),
    "less expired than did": (
        "UPDATE movements SET expired_after = NULL WHERE {account} AND seq = 21",
        {(K.TOTAL_EXPIRED, 21, "last")},
    ),
    "more removed than was": (
        "UPDATE movements SET removed_after = removed_after + 1 WHERE {account} AND seq = 21",
        {(K.TOTAL_REMOVED, 21, "last")},
    ),
    "expired credits exchanged for removed ones": (
        """UPDATE movements SET expired_after = removed_after, removed_after = expired_after
           WHERE {account} AND seq = 21""",
        {(K.TOTAL_EXPIRED, 21, "last"), (K.TOTAL_REMOVED, 21, "last")},
    ),
    "a grant has more left, another one less": (
        """UPDATE movements SET grants_after = ARRAY[18, 15, 16, 1, 1, 11]
           WHERE {account} AND seq = 21""",
        {(K.SPENDING_ORDER, 21, "last")},
    ),
    "grants have more left than the balance": (
        """UPDATE movements SET grants_after = ARRAY[18, 16, 16, 1, 1, 11]
           WHERE {account} AND seq = 21""",
        {(K.GRANTS_LEFT, 21, "last")},
    ),
    "grants that are no pairs": (
        "UPDATE movements SET grants_after = ARRAY[18, 16, 16] WHERE {account} AND seq = 21",
        {(K.GRANTS_LEFT, 21, "last")},
    ),
    "a spend took what was to be spent last": (
        """UPDATE movements SET grants_after = ARRAY[18, 17, 16, 1, 1, 9]
           WHERE {account} AND seq = 21""",
        {(K.SPENDING_ORDER, 21, "last")},
    ),
    "a removal took what was to be spent last": (
        """UPDATE movements SET grants_after = ARRAY[2, 19, 14, 3, 16, 1, 1, 9]
           WHERE {account} AND seq = 17""",
        {(K.SPENDING_ORDER, 17, "error"), (K.GRANTS_LEFT, 18, "grant:2")},
    ),
    "grants stand in another order": (
        """UPDATE movements SET grants_after = ARRAY[1, 10, 16, 1, 18, 16]
           WHERE {account} AND seq = 21""",
        {(K.SPENDING_ORDER, 21, "last")},
    ),
    "a refund came back to another grant": (
        """UPDATE movements SET grants_after = ARRAY[3, 8, 2, 20, 1, 11]
           WHERE {account} AND seq = 5""",
        {
            (K.GRANTS_LEFT, 5, "part"),
            (K.SPENDING_ORDER, 6, "captured"),
            (K.GRANTS_LEFT, 8, "captured"),
        },
    ),
    "a clawback took from another grant than its payment's": (
        "UPDATE movements SET origin_seq = 18 WHERE {account} AND seq = 19",
        {(K.GRANTS_LEFT, 19, "goods")},
    ),
    "what each grant has left is told no more": (
        "UPDATE movements SET grants_after = NULL WHERE {account} AND seq = 21",
        {(K.GRANTS_UNTOLD, 21, "last")},
    ),
    "an addition does not tell its expiry": (
        "UPDATE movements SET grants_after = NULL WHERE {account} AND seq = 2",
        {(K.GRANTS_UNTOLD, 2, "dated")},
    ),
    "another amount of a grant": (
        "UPDATE grants SET amount = amount + 1 WHERE {account} AND seq = 18",
        {(K.GRANT_AMOUNT, 18, "grant:2")},
    ),
    "a priority that would have been spent first": (
        "UPDATE grants SET priority = 1 WHERE {account} AND seq = 16",
        {
            (K.SPENDING_ORDER, 16, "late"),
            (K.SPENDING_ORDER, 18, "grant:2"),
            (K.GRANTS_LEFT, 19, "goods"),
        },
    ),
    "the terms of a grant deleted": (
        "DELETE FROM grants WHERE {account} AND seq = 16",
        {
            (K.MOVEMENT_WITHOUT_GRANT, 16, "late"),
            (K.GRANTS_LEFT, 16, "late"),
            (K.GRANTS_LEFT, 18, "grant:2"),
            (K.GRANTS_LEFT, 19, "goods"),
        },
    ),
    "terms of a grant that nobody began": (
        """INSERT INTO grants (account_id, seq, amount, kind)
           VALUES ({account_id}, 21, 1, 'paid')""",
        {(K.GRANT_WITHOUT_MOVEMENT, 21, None)},
    ),
    "a grant of a kind nobody knows": (
        "UPDATE grants SET kind = 'free' WHERE {account} AND seq = 16",
        {(K.IMPOSSIBLE_GRANT, 16, "late")},
    ),
    "a grant that expired before its time": (
        "UPDATE grants SET expires_at = now() + interval '1 hour' WHERE {account} AND seq = 3",
        {(K.EXPIRED_EARLY, 14, "grant:3"), (K.EXPIRED_EARLY, 15, "grant:3")},
    ),
    "a grant that had expired when it was spent": (
        """UPDATE grants SET expires_at = expires_at - interval '1 hour 1 minute'
           WHERE {account} AND seq = 3""",
        {
            (K.USED_THOUGH_EXPIRED, 4, "work"),
            (K.GRANTS_LEFT, 5, "part"),
            (K.USED_THOUGH_EXPIRED, 6, "captured"),
            (K.USED_THOUGH_EXPIRED, 7, "captured"),
            (K.GRANTS_LEFT, 8, "captured"),
            (K.USED_THOUGH_EXPIRED, 9, "expired"),
            (K.USED_THOUGH_EXPIRED, 10, "released"),
            (K.GRANTS_LEFT, 11, "released"),
            (K.USED_THOUGH_EXPIRED, 12, "open"),
            (K.GRANTS_LEFT, 13, "expired"),
        },
    ),
    "the next expiry put off": (
        "UPDATE accounts SET next_expiry = next_expiry + interval '1 year' WHERE {account}",
        {(K.EXPIRY_NOT_EXPECTED, None, None)},
    ),
    "the next expiry forgotten": (
        "UPDATE accounts SET next_expiry = NULL WHERE {account}",
        {(K.EXPIRY_NOT_EXPECTED, None, None)},
    ),
    "an expiry under another request": (
        "UPDATE movements SET request_id = 'grant:2' WHERE {account} AND seq = 15",
        {(K.IMPOSSIBLE_MOVEMENT, 15, "grant:2")},
    ),
    "an expiry of another grant": (
        """UPDATE movements SET request_id = 'grant:2', origin_seq = 2
           WHERE {account} AND seq = 15""",
        {(K.GRANTS_LEFT, 15, "grant:2")},
    ),
    "a spend that names where it comes from": (
        "UPDATE movements SET origin_seq = 1 WHERE {account} AND seq = 21",
        {(K.IMPOSSIBLE_MOVEMENT, 21, "last")},
    ),
    "parts of a refund that are more than was taken": (
        """UPDATE movements SET amount = 1 WHERE {account} AND seq = 4;
           UPDATE movements SET amount = 2, origin_seq = 4 WHERE {account} AND seq = 5""",
        {
            (K.REFUND_EXCEEDS_DEDUCTION, 5, "part"),
            (K.RUNNING_BALANCE, 4, "work"),
            (K.RUNNING_BALANCE, 5, "part"),
            (K.TOTAL_SPENT, 4, "work"),
            (K.TOTAL_SPENT, 5, "part"),
        },
    ),
    "a part of a refund of what was no spend": (
        "UPDATE movements SET origin_seq = 3 WHERE {account} AND seq = 5",
        {(K.REFUND_WITHOUT_DEDUCTION, 5, "part"), (K.GRANTS_LEFT, 5, "part")},
    ),
    "a spend for which nothing was taken": (
        "UPDATE spends SET request_id = 'x' WHERE {account} AND request_id = 'work'",
        {(K.SPEND_WITHOUT_DEDUCTION, None, "x")},
    ),
    "a transfer into nowhere": (
        "UPDATE movements SET request_id = 'x' WHERE {account} AND seq = 20",
        {
            # Another owner's transfer has the same request id: any of them may be the one.
            (K.TRANSFER_MISMATCH, 20, "x"),
            (K.TRANSFER_MISMATCH, 2, "moved"),
            (K.TRANSFER_MISMATCH, 20, "moved"),
        },
    ),
}
IN_HOLDS: dict[str, Tampering] = {
    "a hold of other credits": (
        "UPDATE holds SET amount = amount + 1 WHERE {account} AND request_id = 'open'",
        {(K.HOLD_MISMATCH, 12, "open"), (K.HELD_MISMATCH, None, None)},
    ),
    "a hold at another place": (
        "UPDATE holds SET seq = 1 WHERE {account} AND request_id = 'open'",
        {(K.HOLD_MISMATCH, 1, "open")},
    ),
    "a hold that set nothing aside": (
        """INSERT INTO holds (account_id, hold_id, seq, amount, expires_at, request_id, fingerprint,
               ended_at, status, captured)
           VALUES ({account_id}, gen_random_uuid(), 21, 1, now() + interval '1 day', 'x', '', now(),
               'released', 0)""",
        {(K.HOLD_WITHOUT_MOVEMENT, 21, "x"), (K.HOLD_END_MISMATCH, 21, "x")},
    ),
    "an open hold deleted": (
        "DELETE FROM holds WHERE {account} AND request_id = 'open'",
        {(K.MOVEMENT_WITHOUT_HOLD, 12, "open"), (K.HELD_MISMATCH, None, None)},
    ),
    "an ended hold deleted": (
        "DELETE FROM holds WHERE {account} AND request_id = 'released'",
        {(K.MOVEMENT_WITHOUT_HOLD, 10, "released"), (K.MOVEMENT_WITHOUT_HOLD, 11, "released")},
    ),
    "more captured than its movement says": (
        "UPDATE holds SET captured = 4 WHERE {account} AND request_id = 'captured'",
        {(K.HOLD_END_MISMATCH, 6, "captured")},
    ),
    "a captured hold made released": (
        """UPDATE holds SET status = 'released', captured = 0
           WHERE {account} AND request_id = 'captured'""",
        {(K.HOLD_END_MISMATCH, 6, "captured")},
    ),
    "an expired hold opened again": (
        """UPDATE holds SET status = 'held', captured = NULL, ended_at = NULL
           WHERE {account} AND request_id = 'expired'""",
        {
            (K.HOLD_END_MISMATCH, 9, "expired"),
            (K.HELD_MISMATCH, None, None),
            (K.EXPIRY_NOT_EXPECTED, None, None),
        },
    ),
    "an open hold made released": (
        """UPDATE holds SET status = 'released', captured = 0, ended_at = now()
           WHERE {account} AND request_id = 'open'""",
        {(K.HOLD_END_MISMATCH, 12, "open"), (K.HELD_MISMATCH, None, None)},
    ),
    "a status that no function leaves": (
        "UPDATE holds SET status = 'paused' WHERE {account} AND request_id = 'open'",
        {(K.IMPOSSIBLE_HOLD, 12, "open"), (K.HOLD_END_MISMATCH, 12, "open")},
    ),
    "a hold that expired at another time than its own": (
        """UPDATE holds SET ended_at = ended_at - interval '1 microsecond'
           WHERE {account} AND request_id = 'expired'""",
        {(K.IMPOSSIBLE_HOLD, 9, "expired")},
    ),
    "a hold captured after its time": (
        """UPDATE movements SET created_at = created_at + interval '1 hour'
           WHERE {account} AND seq = 7""",
        {(K.USED_THOUGH_EXPIRED, 7, "captured")},
    ),
    "a hold that expired before its time": (
        """UPDATE movements SET created_at = created_at - interval '2 hours'
           WHERE {account} AND seq = 13""",
        {(K.EXPIRED_EARLY, 13, "expired")},
    ),
    "a release of another hold": (
        "UPDATE movements SET origin_seq = 9 WHERE {account} AND seq = 11",
        {(K.HOLD_END_MISMATCH, 10, "released")},
    ),
    "a release made the expiry of a hold": (
        "UPDATE movements SET type = 'hold_expiry' WHERE {account} AND seq = 11",
        {(K.HOLD_END_MISMATCH, 10, "released"), (K.EXPIRED_EARLY, 11, "released")},
    ),
}
