"""Every checkpoint is compared with the chains as they stood, and not the newest one alone."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storecredit.ledger.checkpoints import merkle
from storecredit.ledger.checkpoints.past_trees import PastTrees
from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.owners import Account, OwnerKind
from tests.sql.checkpoints.conftest import Signed
from tests.sql.full_accounts import allow_anything
from tests.sql.ledgers import open_account

NEWEST = 5
# What no look at the newest checkpoint alone, nor at the chains as they are now, finds.
TAMPERED = {
    "a link is said to be of a later checkpoint": (
        "UPDATE chain_links SET number = 4 WHERE number = 2",
        "checkpoint 2 was signed of other chains than there are: 1 movements fewer; so were 1 ",
    ),
    "two owners' links change their checkpoints": (
        """UPDATE chain_links SET number = 5 - number
           WHERE (position, number) IN ((0, 2), (1, 3))""",
        "checkpoint 2 was signed of other chains than there are: first at the places from 0 on",
    ),
    "an owner comes later": (
        "UPDATE checkpoints SET owners = owners - 1 WHERE number = 3",
        "checkpoint 3 was signed of other chains than there are: first at the places from 0 on",
    ),
    "what an old one keeps of its tree": (
        "UPDATE checkpoints SET chunks = sha256(chunks) WHERE number = 3",
        "checkpoint 3 was signed of other chains than there are: first at the places from 0 on",
    ),
    "how many movements an old one is of": (
        "UPDATE checkpoints SET movements = movements - 2 WHERE number = 4",
        "checkpoint 4 was signed of other chains than there are: 2 movements more",
    ),
}


@pytest.fixture
async def history(signed: Signed, store: Account) -> Signed:
    """Five checkpoints; owners come with the first, the third and the fifth."""
    other = await open_account(signed.superuser, OwnerKind.USER, 100)
    await signed.sign()
    await signed.spend(store, "second")
    await signed.sign()
    for _ in range(3):
        await open_account(signed.superuser, OwnerKind.STORE, 10)
    await signed.spend(other, "third")
    await signed.sign()
    await signed.spend(store, "fourth")
    await signed.spend(other, "fourth")
    await signed.sign()
    await open_account(signed.superuser, OwnerKind.USER, 10)
    assert (await signed.sign()).number == NEWEST
    return signed


async def test_the_trees_of_a_history_are_made_anew(history: Signed) -> None:
    past = PastTrees()
    await past.look(history.database, NEWEST)
    assert past.differing == {}
    assert (await history.look()).found == ()


@pytest.mark.parametrize("what", TAMPERED)
async def test_an_old_checkpoint_of_other_chains_is_found(what: str, history: Signed) -> None:
    statements, detail = TAMPERED[what]
    await allow_anything(history.superuser)
    await history.superuser.execute(statements)
    found = (await history.look()).found
    mismatches = [each for each in found if each.kind is DiscrepancyKind.CHECKPOINT_MISMATCH]
    assert [each.detail[: len(detail)] for each in mismatches] == [detail]


async def test_an_account_that_lost_its_place_is_told_once(history: Signed) -> None:
    await allow_anything(history.superuser)
    await history.superuser.execute(
        "UPDATE chained_accounts SET position = 1000000000000 WHERE position = 1"
    )
    kinds = {each.kind for each in (await history.look()).found}
    assert DiscrepancyKind.CHAIN_REWRITTEN in kinds


CHANGES = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=12), max_size=12)


@given(CHANGES)
def test_a_tree_that_changes_is_the_tree_of_its_leaves(changes: list[list[int]]) -> None:
    tree, leaves = merkle.ChangingTree(), list[bytes]()
    assert tree.root == merkle.root([])
    for places in changes:
        # Those beyond the last leaf follow it without gaps.
        chosen = {min(place, len(leaves) + number) for number, place in enumerate(sorted(places))}
        fresh = {place: merkle.leaf(uuid4().bytes) for place in _without_gaps(chosen, len(leaves))}
        tree.change(fresh)
        for place in sorted(fresh):
            leaves[place : place + 1] = [fresh[place]]
        assert (len(tree), tree.root) == (len(leaves), merkle.root(leaves))
        for size in (1, 4, 16):
            parts = [leaves[start : start + size] for start in range(0, len(leaves), size)]
            expected = parts if len(leaves) > size else [leaves]
            assert tree.level(size) == b"".join(merkle.root(part) for part in expected)


def _without_gaps(places: set[int], size: int) -> list[int]:
    found: list[int] = []
    for place in sorted(places):
        if place > size:
            break
        found.append(place)
        size = max(size, place + 1)
    return found
