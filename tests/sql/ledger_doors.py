"""The doors of the ledger, called with what `ledger_growth` has written, and with what is new."""

from collections.abc import Iterator
from uuid import uuid4

from tests.sql.ledger_growth import EVERY, hold_of, session_of
from tests.sql.statement_costs import Call

PRINT = b"f" * 32
CREATE = "SELECT * FROM create_generations($1, $2, $3, $4, $5, $6, $6, 'generation', $7)"
SPEND = "SELECT * FROM spend_credits($1, $2, $3, $4, $5, NULL)"
REFUND = "SELECT * FROM refund_spends($1, $2, $3, $4)"
HOLD = "SELECT * FROM hold_credits($1, $2, $3, $4, $5, $6, $7, NULL)"
END = "SELECT * FROM end_holds($1, $2, $3, $4)"


def one_each(accounts: list[int], name: str) -> Iterator[Call]:
    """Each plural door, by one request of each place: new ones, known ones, and beyond."""
    places = [accounts[:place].count(each) for place, each in enumerate(accounts)]
    yield from _generations(accounts, places, name)
    yield from _credits(accounts, places, name)


def _known(places: list[int], kind: int) -> list[str]:
    """The request of one kind at each place of its account."""
    return [f"r{place * EVERY + kind}" for place in places]


def _generations(accounts: list[int], places: list[int], name: str) -> Iterator[Call]:
    nothing: list[None] = [None] * len(accounts)
    ones, prints = [1] * len(accounts), [PRINT] * len(accounts)
    new = [f"{name} {place}" for place in range(len(accounts))]
    taken, beyond = _known(places, 2), _known(places, EVERY)
    deduct, refund = (
        f"SELECT * FROM {door}($1, $2, $3, $4)"
        for door in ("deduct_from_accounts", "refund_to_accounts")
    )
    for requests in (new, taken, beyond):
        yield deduct, (accounts, ones, requests, nothing)
        yield refund, (accounts, ones, requests, nothing)
        ids = [uuid4() for _ in accounts]
        yield CREATE, (accounts, ids, requests, ones, prints, nothing, nothing)
    for requests in (taken, beyond):
        sessions = [session_of(*item) for item in zip(accounts, requests, strict=True)]
        yield "SELECT * FROM start_generations($1, $2)", (accounts, sessions)
        yield "SELECT * FROM complete_generations($1, $2, $3)", (accounts, sessions, new)
        yield (
            "SELECT * FROM fail_generations($1, $2, $3, $3, $4)",
            (accounts, sessions, new, nothing),
        )


def _credits(accounts: list[int], places: list[int], name: str) -> Iterator[Call]:
    """Spends and holds: new ones, and those that are there."""
    nothing: list[None] = [None] * len(accounts)
    ones, prints = [1] * len(accounts), [PRINT] * len(accounts)
    new = [f"{name} spent {place}" for place in range(len(accounts))]
    spent, held, given_back = (_known(places, kind) for kind in (3, 4, 5))
    for requests in (new, spent, held):
        yield SPEND, (accounts, ones, requests, prints, nothing)
        ids = [uuid4() for _ in accounts]
        yield HOLD, (accounts, ids, ones, requests, prints, [60] * len(accounts), nothing)
    for requests in (new, given_back):
        yield REFUND, (accounts, spent, requests, ones)
        yield REFUND, (accounts, held, requests, nothing)
    holds = [hold_of(*item) for item in zip(accounts, held, strict=True)]
    for action in ("capture", "release"):
        yield END, (accounts, holds, [action] * len(accounts), nothing)
    yield "SELECT expire_credits($1)", (accounts,)


def singular(account: int, other: int, name: str) -> Iterator[Call]:
    """Each door for one account; `other` is where credits go."""
    session, hold = session_of(account, "r2"), hold_of(account, "r4")
    for request in (name, "r2"):
        yield "SELECT add_to_account($1, 1, 'grant', $2)", (account, request)
        yield "SELECT claw_back_from_account($1, 1, $2)", (account, request)
        yield "SELECT remove_from_account($1, 1, $2, '', 'ann')", (account, request)
        yield "SELECT transfer_credits($1, $2, 1, $3, '', 'ann')", (account, other, request)
    for terms in ("p_kind => 'promo'", "p_expires_at => now() + '1 day'"):
        yield f"SELECT add_to_account($1, 1, 'grant', $2, {terms})", (account, name)
    for seq in (0, 6):
        ends = "now() + interval '1 day'"
        yield f"SELECT * FROM set_grant_expiry($1, $2, {ends}, '', 'ann')", (account, seq)
    yield "SELECT * FROM extend_hold($1, $2, 60, 'longer')", (account, hold)
    yield "SELECT * FROM state_of_account($1)", (account,)
    yield "SELECT set_overage_limit($1, 5)", (account,)
    yield "SELECT close_overage($1, '2026-01-01', 16, 'USD')", (account,)
    yield "SELECT * FROM postpone_generation($1, $2, 'busy', false)", (account, session)
    yield "SELECT forget_result($1, $2)", (account, session)
    yield "SELECT forget_generator_message($1, $2)", (account, session)
