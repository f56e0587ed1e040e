"""What is told of a request that several buckets have a part in."""

from contextlib import closing
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from storecredit.generation.results.store import open_results
from storecredit.ledger.credits import Cause, Credits
from storecredit.ledger.outcomes import AdditionType
from storecredit.ledger.owners import Owner
from storecredit.operator.actions import OperatorActions
from storecredit.operator.audit import ActionContext
from storecredit.operator.credits import Transferred
from storecredit.operator.records import RequestRecord
from storecredit.operator.requests import Requests
from storecredit.postgres.buckets import Buckets
from storecredit.settings import Settings
from storecredit.stores.stores import Stores
from storecredit.webhooks.capacity import Capacity
from storecredit.webhooks.endpoints import OPERATOR_ACCOUNT, Endpoints, IssuedSecret
from storecredit.webhooks.relay import Relay, heard_everywhere

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


async def test_webhooks_are_told_of_their_own_request_with_what_the_operator_was_sent(
    buckets: Buckets,
) -> None:
    owners = await stores_apart(buckets)
    ours = await Endpoints(buckets).create(OPERATOR_ACCOUNT, url="https://ours.example/")
    assert isinstance(ours, IssuedSecret)
    await heard_everywhere(buckets)
    theirs = []
    for owner in owners:
        account_id = await Credits(buckets).account_id(owner)
        made = await Endpoints(buckets).create(account_id, url="https://theirs.example/")
        assert isinstance(made, IssuedSecret)
        theirs.append(made.endpoint.endpoint_id)
        # Both have a request of this name.
        await Credits(buckets).add(owner, 3, AdditionType.GRANT, Cause("order-1"))
    settings = Settings()
    parts = Capacity(settings, len(buckets.all)).parts
    for is_brought in (False, True):
        if is_brought:
            for database, part in zip(buckets.all[1:], parts[1:], strict=True):
                assert await Relay(buckets.home, database, part).bring() == 1
        sent_to = [[ours.endpoint.endpoint_id] * is_brought + [each] for each in theirs]
        with closing(Requests(buckets)) as requests:
            found = await requests.find("order-1")
            assert found.told == []
            assert [record.owner for record in found.requests] == list(owners)
            assert [deliveries_of(record) for record in found.requests] == sent_to
            for owner, endpoints in zip(owners, sent_to, strict=True):
                [record] = (await requests.find("order-1", owner)).requests
                assert deliveries_of(record) == endpoints
                [told] = record.told
                by_id = await requests.find(told.webhook_id)
                assert by_id.requests == [
                    msgspec.structs.replace(record, found_as=by_id.requests[0].found_as)
                ]


def deliveries_of(record: RequestRecord) -> list[UUID]:
    """To which endpoints the one webhook about a request is sent."""
    [told] = record.told
    return [delivery.endpoint_id for delivery in told.deliveries]
