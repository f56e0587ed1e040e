"""Credits are conserved: every ledger is added up anew, by what each type of movement does.

What a type does is written down here once more, not read from the product.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from tests.torture.checking.tables import Row, Tables
from tests.torture.checking.violations import Rule, Violation

TOTALS: Final = ("added", "spent", "clawed_back", "overage_used", "held", "expired", "removed")
EFFECTS: Final[dict[str, tuple[int, ...]]] = {
    "purchase": (1, 0, 0, 0, 0, 0, 0),
    "subscription": (1, 0, 0, 0, 0, 0, 0),
    "grant": (1, 0, 0, 0, 0, 0, 0),
    "signup_bonus": (1, 0, 0, 0, 0, 0, 0),
    "transfer_in": (1, 0, 0, 0, 0, 0, 0),
    "overage_credit": (1, 0, 0, 0, 0, 0, 0),
    "deduction": (0, 1, 0, 0, 0, 0, 0),
    "refund": (0, -1, 0, 0, 0, 0, 0),
    "clawback": (0, 0, 1, 0, 0, 0, 0),
    "overage": (0, 0, 0, 1, 0, 0, 0),
    "overage_bill": (0, 0, 0, -1, 0, 0, 0),
    "overage_refund": (0, 0, 0, -1, 0, 0, 0),
    "hold": (0, 0, 0, 0, 1, 0, 0),
    "capture": (0, 1, 0, 0, -1, 0, 0),
    "release": (0, 0, 0, 0, -1, 0, 0),
    "hold_expiry": (0, 0, 0, 0, -1, 0, 0),
    "expiry": (0, 0, 0, 0, 0, 1, 0),
    "removal": (0, 0, 0, 0, 0, 0, 1),
    "transfer_out": (0, 0, 0, 0, 0, 0, 1),
    "rollover": (0, 0, 0, 0, 0, 0, 0),
    "reissue": (0, 0, 0, 0, 0, 0, 0),
}
TAKING: Final = {"deduction", "hold", "expiry", "removal", "transfer_out", "clawback"}
REARRANGING: Final = {"rollover", "reissue"}


def balance_of(totals: Sequence[int]) -> int:
    """What can be spent, of what came in and what became of it."""
    added, spent, clawed_back, _, held, expired, removed = totals
    return added - spent - clawed_back - held - expired - removed


def violations(tables: Tables) -> Iterator[Violation]:
    """Of every owner's ledger, of what went from one to the other, and of its grants."""
    owners, everything, balances = tables.owners(), [0] * len(TOTALS), 0
    grants = tables.of_account("grants")
    for account_id, movements in tables.of_account("movements").items():
        owner, totals = owners[account_id], [0] * len(TOTALS)
        for place, movement in enumerate(movements, 1):
            effect = EFFECTS[movement["type"]]
            for number, share in enumerate(effect):
                totals[number] += share * movement["amount"]
                everything[number] += share * movement["amount"]
            yield from _of_movement(owner, place, movement, totals)
        if movements:
            balances += movements[-1]["balance_after"]
        terms = {grant["seq"]: grant for grant in grants.get(account_id, ())}
        yield from _of_grants(owner, movements, terms)
    if balances != balance_of(everything):
        yield Violation(
            Rule.CONSERVED, f"all owners have {balances}, and {everything} was moved: {TOTALS}"
        )
    yield from _of_transfers(tables)


def _of_movement(
    owner: str, place: int, movement: Row, totals: Sequence[int]
) -> Iterator[Violation]:
    where = f"movement {place} of {owner} ({movement['type']} {movement['request_id']})"
    if movement["seq"] != place:
        yield Violation(Rule.CONSERVED, f"{where} has seq {movement['seq']}")
    if movement["amount"] < 1:
        yield Violation(Rule.CONSERVED, f"{where} moves {movement['amount']}")
    told = [movement[f"{name}_after"] or 0 for name in TOTALS if name != "added"]
    if told != list(totals[1:]) or movement["balance_after"] != balance_of(totals):
        yield Violation(
            Rule.CONSERVED,
            f"{where} tells {movement['balance_after']}, {told}; it comes to"
            f" {balance_of(totals)}, {list(totals[1:])}",
        )
    if balance_of(totals) < 0:
        yield Violation(Rule.CONSERVED, f"{where} leaves {balance_of(totals)}")


def _of_grants(owner: str, movements: Sequence[Row], terms: dict[int, Row]) -> Iterator[Violation]:
    for movement in movements:
        left = _left(movement)
        where = f"after movement {movement['seq']} of {owner}"
        if left is None:
            continue
        if sum(left.values()) != movement["balance_after"]:
            yield Violation(
                Rule.CONSERVED, f"{where} the grants {left} are not {movement['balance_after']}"
            )
        for seq, credits in left.items():
            if seq not in terms or not 0 < credits <= terms[seq]["amount"]:
                yield Violation(Rule.CONSERVED, f"{where} grant {seq} has {credits}")
    for before, after in pairwise(movements):
        yield from _of_step(owner, before, after)


def _of_step(owner: str, before: Row, after: Row) -> Iterator[Violation]:
    """What takes credits takes them from grants that had them; what gives takes none from any."""
    first, then = _left(before), _left(after)
    if first is None or then is None or after["type"] in REARRANGING:
        return
    changes = {seq: then.get(seq, 0) - first.get(seq, 0) for seq in first.keys() | then.keys()}
    is_taking = after["type"] in TAKING
    if any(change > 0 if is_taking else change < 0 for change in changes.values()):
        yield Violation(
            Rule.CONSERVED,
            f"movement {after['seq']} of {owner}, a {after['type']}, changes grants by {changes}",
        )


def _left(movement: Row) -> dict[int, int] | None:
    told = movement["grants_after"]
    return None if told is None else dict(zip(told[::2], told[1::2], strict=True))


def _of_transfers(tables: Tables) -> Iterator[Violation]:
    out: Counter[str] = Counter()
    into: Counter[str] = Counter()
    for movement in tables["movements"]:
        if movement["type"] == "transfer_out":
            out[movement["request_id"]] += movement["amount"]
        elif movement["type"] == "transfer_in":
            into[movement["request_id"]] += movement["amount"]
    for request_id in out.keys() | into.keys():
        if out[request_id] != into[request_id]:
            yield Violation(
                Rule.CONSERVED,
                f"transfer {request_id}: {out[request_id]} went, {into[request_id]} came",
            )
