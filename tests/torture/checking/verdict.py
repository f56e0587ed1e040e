"""Everything that is judged of a run, and what was found."""

import json
from collections.abc import Iterator

from tests.torture.checking import conservation, effects, ends, telling
from tests.torture.checking.history import History
from tests.torture.checking.tables import Tables
from tests.torture.checking.violations import Rule, Violation
from tests.torture.linearizability.histories import Ledger, Operations
from tests.torture.linearizability.search import check


def violations(history: History, tables: Tables, verified: str) -> list[Violation]:
    """All but of the order of an owner's operations."""
    return [
        *effects.violations(history, tables),
        *ends.violations(history, tables),
        *conservation.violations(tables),
        *telling.violations(history, tables),
        *_of_verify(verified),
    ]


def order_of(history: History, tables: Tables, owner: str) -> tuple[int, list[Violation]]:
    """How many operations an owner has, and whether they have an order.

    Of one whose credits move by requests that are in the record, and by nothing else.
    """
    operations = Operations(history, Ledger.of(tables, owner), owner)
    verdict = check(operations.found, operations.begin)
    if verdict.is_linearizable:
        return len(operations.found), []
    why = "no order was found" if verdict.is_decided else "it was given up"
    stuck = [operation.what for operation in verdict.stuck]
    what = (
        f"{owner}: {why}; {verdict.most_done} were in order, up to {verdict.state},"
        f" and none of {stuck} could come next"
    )
    return len(operations.found), [Violation(Rule.LINEARIZABLE, what)]


def _of_verify(verified: str) -> Iterator[Violation]:
    report = json.loads(verified)
    if report["clean"] is not True or not report["movements"]:
        yield Violation(Rule.VERIFIED, verified)
