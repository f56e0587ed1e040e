"""What is done to webhook endpoints: a store's, at either door, and the operator's own."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import uuid4

from playwright.async_api import expect

from storecredit.operator.audit import Action
from tests.browser.acting.person import CONSOLE, PORTAL, STORE, Person, performs
from tests.browser.furnished.furnishing import until
from tests.web.doors import StoreClient, data_of

SECRETS: Final = "SELECT count(*) FROM storecredit.webhook_secrets WHERE endpoint_id::text = $1"
ENDPOINTS: Final = "SELECT count(*) FROM storecredit.webhook_endpoints WHERE url = $1"
WHOSE: Final = (CONSOLE, STORE, PORTAL)
GIVEN_UP: Final = """
    UPDATE storecredit.deliveries SET status = 'failed', next_attempt_at = NULL, ended_at = now()
    WHERE endpoint_id::text = $1"""


def whose(person: Person) -> StoreClient | None:
    """Of the operator's own pages nobody's."""
    return None if person.place is CONSOLE else person.store


async def stands(person: Person, endpoint_id: str) -> dict[str, Any]:
    """How an endpoint is now, by the API."""
    at = f"{person.world.endpoints_of(whose(person))}/{endpoint_id}"
    found: dict[str, Any] = data_of(await person.world.operator.get(at))
    return found


async def opens_one(person: Person) -> tuple[str, str]:
    """Goes to the page of a new endpoint; its id, and its name."""
    endpoint_id, name = await person.world.endpoint(whose(person))
    await person.opens("Webhooks")
    await person.follows(name)
    return endpoint_id, name


@performs("/webhooks/new", Action.WEBHOOK_CREATE, *WHOSE)
async def registers_an_endpoint(person: Person) -> None:
    url = person.world.receiver.server.url(f"/{uuid4()}")
    await person.opens("Webhooks")
    # The operator has few of them, and a store none.
    link = "Register an endpoint" if person.place is CONSOLE else "Register the first"
    await person.follows(link)
    fields = {"All there are, and will be": False, "credits.low": True}
    await person.does("Register the endpoint", {"URL": url, **fields})
    assert (await person.is_shown()).startswith("whsec_")
    assert await person.world.count(ENDPOINTS, url) == 1
    await person.follows("The endpoint's page")
    await expect(person.page.get_by_text(url)).to_be_visible()


@performs("/webhooks/{endpoint_id:uuid}/change", Action.WEBHOOK_UPDATE, *WHOSE)
async def changes_an_endpoint(person: Person) -> None:
    endpoint_id, _ = await opens_one(person)
    await person.follows("Change…")
    await person.does("Save", {"What it is for": f"changed {endpoint_id}"})
    await person.is_told("The endpoint is changed.")
    assert (await stands(person, endpoint_id))["description"] == f"changed {endpoint_id}"


@performs("/webhooks/{endpoint_id:uuid}/rotate", Action.WEBHOOK_ROTATE, *WHOSE)
async def replaces_a_secret(person: Person) -> None:
    endpoint_id, _ = await opens_one(person)
    await person.follows("Replace the secret…")
    await person.does("Replace the secret", {"The old secret signs along": "3600"})
    assert (await person.is_shown()).startswith("whsec_")
    assert await person.world.count(SECRETS, endpoint_id) == 2


@performs("/webhooks/{endpoint_id:uuid}/test", Action.WEBHOOK_TEST, *WHOSE)
async def has_an_endpoint_told(person: Person) -> None:
    _, name = await opens_one(person)
    await person.does("Send a test event")
    await person.is_told("The test event is on its way.")
    await until(lambda: person.world.was_told(name))
    assert len(person.world.receiver.ids(name)) == 1


@performs("/webhooks/{endpoint_id:uuid}/disable", Action.WEBHOOK_DISABLE, *WHOSE)
async def disables_an_endpoint(person: Person) -> None:
    endpoint_id, _ = await opens_one(person)
    await person.follows("Disable…")
    await person.does("Disable it")
    await person.is_told("Nothing is sent to it any more.")
    assert (await stands(person, endpoint_id))["status"] == "disabled"


@performs("/webhooks/{endpoint_id:uuid}/enable", Action.WEBHOOK_ENABLE, *WHOSE)
async def enables_an_endpoint(person: Person) -> None:
    endpoint_id, name = await person.world.endpoint(whose(person))
    at = f"{person.world.endpoints_of(whose(person))}/{endpoint_id}/disable"
    data_of(await person.world.operator.post(at))
    await person.opens("Webhooks")
    await person.follows(name)
    await person.does("Enable it")
    await person.is_told("Events are sent to it from now on.")
    assert (await stands(person, endpoint_id))["status"] == "enabled"


@performs("/webhooks/{endpoint_id:uuid}/delete", Action.WEBHOOK_DELETE, *WHOSE)
async def deletes_an_endpoint(person: Person) -> None:
    _, name = await opens_one(person)
    await person.follows("Delete…")
    await person.does("Delete it")
    await person.is_told("The endpoint is deleted")
    assert await person.world.count(ENDPOINTS, person.world.receiver.server.url(f"/{name}")) == 0


@performs(
    "/webhooks/{endpoint_id:uuid}/deliveries/{event_id:str}/resend", Action.WEBHOOK_RESEND, *WHOSE
)
async def sends_an_event_again(person: Person) -> None:
    """And sees what comes of it: what was refused at first is taken now."""
    endpoint_id, name = await person.world.endpoint(whose(person))
    person.world.receiver.down.add(name)
    event_id = await person.world.told(whose(person), endpoint_id)
    # Or the service sends it again by itself.
    await person.world.admin.execute(GIVEN_UP, endpoint_id)
    person.world.receiver.down.remove(name)
    await person.opens("Webhooks")
    await person.follows(name, "webhook.test")
    attempts = person.page.get_by_role("table", name="Attempts, newest first").locator("tbody tr")
    await expect(attempts).to_have_count(1)
    await expect(attempts.first).to_contain_text("503")
    await person.does("Send it again")
    await person.is_told("It is on its way again.")
    await until(lambda: person.world.was_asked(whose(person), endpoint_id, event_id, 2))
    await person.page.reload()
    await expect(attempts).to_have_count(2)
    await expect(attempts.first).to_contain_text("200")
    await expect(person.page.get_by_text("Delivered")).to_be_visible()
    # One event, told twice: whoever receives it knows it by its id.
    assert person.world.receiver.ids(name) == [event_id] * 2


@performs("/webhooks/{endpoint_id:uuid}/resend", Action.WEBHOOK_RESEND, *WHOSE)
async def sends_again_what_was_given_up(person: Person) -> None:
    endpoint_id, name = await person.world.endpoint(whose(person))
    person.world.receiver.down.add(name)
    events = [await person.world.told(whose(person), endpoint_id) for _ in range(2)]
    await person.world.admin.execute(GIVEN_UP, endpoint_id)
    person.world.receiver.down.remove(name)
    await person.opens("Webhooks")
    await person.follows(name)
    not_delivered = person.page.get_by_role("heading", name="Not delivered")
    await expect(not_delivered).to_be_visible()
    await person.follows("Send events again…")
    since = datetime.now(UTC) - timedelta(hours=1)
    await person.does("Send them again", {"Since": person.typed(since)})
    await person.is_told("They are on their way again.")
    for event_id in events:
        await until(partial(person.world.was_asked, whose(person), endpoint_id, event_id, 2))
    await person.page.reload()
    told = person.page.get_by_role("table", name="Deliveries, newest event first")
    await expect(told.get_by_text("Delivered", exact=True)).to_have_count(2)
    await expect(not_delivered).to_have_count(0)
