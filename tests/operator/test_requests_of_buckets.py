"""What is told of a request that several buckets have a part in."""

from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from storecredit.generation.results.store import open_results
from storecredit.ledger.owners import Owner
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import ActionContext
from storecredit.operator.credits import Transferred
from storecredit.operator.requests import Requests
from storecredit.postgres.buckets import Buckets
from storecredit.settings import Settings
from storecredit.stores.stores import Stores

pytestmark = pytest.mark.parametrize(
    "bucket_count", [3], ids=["3_buckets"], indirect=True, scope="session"
)


async def stores_apart(buckets: Buckets) -> tuple[Owner, Owner]:
    """Two stores with ten credits each, neither of which lives in the first bucket."""
    made: dict[int, UUID] = {}
    while not {1, 2} <= made.keys():
        store = await Stores(buckets).create(
            name="Hats", shop_domain="a.example", credit_count=10, request_id="opening"
        )
        made[buckets.all.index(await buckets.of_store(store.store_id))] = store.store_id
    return Owner.store(made[1]), Owner.store(made[2])


async def test_a_transfer_between_buckets_is_told_of_both_with_who_did_it(
    buckets: Buckets, data_dir: Path
) -> None:
    giver, taker = await stores_apart(buckets)
    settings = Settings(data_dir=data_dir)
    actions = OperatorActions.over(buckets, open_results(settings), settings)
    context = ActionContext("ann", "api", "moving-1", "One owner")
    assert isinstance(await actions.credits.transfer(context, giver, taker, 4), Transferred)
    with closing(Requests(buckets)) as requests:
        of_all = await requests.find("moving-1")
        of_each = [await requests.find("moving-1", owner) for owner in (giver, taker)]
    assert [record.owner for record in of_all.requests] == [giver, taker]
    assert of_all.actions == []
    for record, alone in zip(of_all.requests, of_each, strict=True):
        assert alone.requests == [record]
        [action] = record.actions
        assert (action.actor, action.reason) == ("ann", "One owner")
        assert (action.store_id, action.other_store_id) == (giver.id, taker.id)
        [moment] = [each for each in record.time_line if each.title == "Operator: credits.transfer"]
        told = {detail.label: detail.text for detail in moment.details}
        assert (told["From"], told["To"]) == (str(giver.id), str(taker.id))
