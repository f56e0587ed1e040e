"""`/console/look-up`: whatever an id names, its whole life on one time line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.ledger.owners import Owner
from storecredit.operator.identifiers import IdentifierKind
from storecredit.operator.moments import Detail, Moment, MomentKind
from storecredit.operator.owner_names import NAME_MAX
from storecredit.operator.records import RequestRecord, RequestsFound
from storecredit.operator.things import ThingKind, ThingRow
from storecredit.operator.time_line_work import METADATA
from storecredit.operator.time_lines import other_moments
from storecredit.operator.tokens import TOKEN_PREFIX
from storecredit.postgres.errors import StatementCancelled
from storecredit.stores.api_keys import PREFIX
from storecredit.web.console.owners import STORES, USERS
from storecredit.web.http.request_ids import is_request_id
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts
from storecredit.webhooks.messages import SECRET_PREFIX

SECRETS: Final = (PREFIX, TOKEN_PREFIX, SECRET_PREFIX)
"""How secrets begin, which nothing is found by."""
SHOWN_FROM_SECONDS: Final = 0.001
SHOWN_TO_SECONDS: Final = 60.0
SEVERAL: Final = "Several are called that: give the id of the one that is meant."
NOBODY: Final = "There is no store or end user of this name or id."
KINDS: Final[dict[MomentKind, str]] = {
    MomentKind.ANSWER: "Answer",
    MomentKind.ACTION: "Operator",
    MomentKind.MOVEMENT: "Credits",
    MomentKind.GENERATION: "Generation",
    MomentKind.ATTEMPT: "Attempt",
    MomentKind.HOLD: "Hold",
    MomentKind.GRANT: "Grant",
    MomentKind.CHECKOUT: "Checkout",
    MomentKind.CHARGE: "Charge",
    MomentKind.PAYMENT: "Payment",
    MomentKind.PROVIDER_EVENT: "Paddle",
    MomentKind.WEBHOOK: "Webhook",
    MomentKind.DELIVERY: "Delivery",
}
NAMES: Final[dict[IdentifierKind, str]] = {
    IdentifierKind.REQUEST: "a request id",
    IdentifierKind.SESSION: "a generation",
    IdentifierKind.HOLD: "a hold",
    IdentifierKind.CHECKOUT: "a checkout",
    IdentifierKind.TRANSACTION: "a transaction of Paddle",
    IdentifierKind.SUBSCRIPTION: "a subscription of Paddle",
    IdentifierKind.ADJUSTMENT: "an adjustment of Paddle",
    IdentifierKind.EVENT: "an event of Paddle",
    IdentifierKind.WEBHOOK: "a webhook",
    IdentifierKind.MOVEMENT: "a movement of the ledger",
}
"""What the id is of what was found."""
THINGS: Final[dict[ThingKind, str]] = {
    ThingKind.STORE: "Store",
    ThingKind.USER: "End user",
    ThingKind.API_KEY: "API key",
    ThingKind.ENDPOINT: "Webhook endpoint",
    ThingKind.ADMIN_TOKEN: "Admin token",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A moment, and how long after the one before it was; "": at once, or long after."""

    moment: Moment
    later: str = ""

    @property
    def details(self) -> list[Detail]:
        """What is said of it, without the metadata."""
        return [each for each in self.moment.details if each.label != METADATA]

    @property
    def metadata(self) -> dict[str, str]:
        """What the caller sent along, by name."""
        found = (each.text for each in self.moment.details if each.label == METADATA)
        return {
            name: value
            for text in found
            for name, value in msgspec.json.decode(text or "{}", type=dict[str, str]).items()
        }


@dataclass(frozen=True, slots=True)
class Life:
    """A request that was found: its owner's page, what was made, what happened and what comes."""

    record: RequestRecord
    address: str
    named: str
    pictures: tuple[tuple[UUID, str], ...]

    @property
    def happened(self) -> list[Step]:
        """Oldest first."""
        return _steps([moment for moment in self.record.time_line if not moment.is_ahead])

    @property
    def ahead(self) -> list[Step]:
        """The next one first."""
        return [Step(moment) for moment in self.record.time_line if moment.is_ahead]


@get("/look-up")
async def look_up_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """What an `id` names, of everybody or `of` one store or end user; without one, what may be."""
    identifier = request.query_params.get("id", "").strip()
    name = request.query_params.get("of", "").strip()[:NAME_MAX]
    values = {"identifier": identifier, "of": name}
    if not identifier:
        return _page(request, values)
    if identifier.startswith(SECRETS):
        return _page(request, {"identifier": "", "of": name, "fault": "secret"})
    owners = await parts.owner_names.named(name) if name else ()
    if name and len(owners) != 1:
        return _page(request, values | {"wrong": SEVERAL if owners else NOBODY}, status=400)
    if not is_request_id(identifier):
        return _page(request, values, RequestsFound())
    try:
        found = await parts.requests.find(identifier, owners[0] if owners else None)
    except StatementCancelled:
        return _page(request, values | {"fault": "slow"}, status=503)
    return _page(request, values, found, [_life(record) for record in found.requests])


def _page(
    request: Request[Any, Any, Any],
    values: Mapping[str, str],
    found: RequestsFound | None = None,
    lives: Sequence[Life] = (),
    *,
    status: int = 200,
) -> Response[str]:
    return page(
        request,
        "look_up.html",
        status=status,
        **{"fault": "", "wrong": ""} | dict(values),
        found=found,
        lives=lives,
        others=[] if found is None else _steps(other_moments(found)),
        kinds=KINDS,
        things=THINGS,
        address_of=_address_of,
    )


def _life(record: RequestRecord) -> Life:
    address = "" if record.owner is None else _address_of_owner(record.owner)
    return Life(
        record,
        address,
        " and ".join(NAMES[kind] for kind in record.found_as),
        tuple(
            (session.session_id, f"{address}/generations/{session.session_id}/picture")
            for session in record.sessions
            if address and session.status == "completed"
        ),
    )


def _steps(moments: Sequence[Moment]) -> list[Step]:
    gaps = [(after.at - before.at).total_seconds() for before, after in pairwise(moments)]
    return [Step(*each) for each in zip(moments, ["", *map(later, gaps)], strict=False)]


def later(seconds: float) -> str:
    """A time that its clock does not show."""
    if not SHOWN_FROM_SECONDS <= seconds < SHOWN_TO_SECONDS:
        return ""
    return f"{seconds * 1000:.0f} ms later" if seconds < 1 else f"{seconds:.1f} s later"


def _address_of_owner(owner: Owner) -> str:
    return f"{STORES if owner.kind.value == 'store' else USERS}/{owner.id}"


def _address_of(thing: ThingRow) -> str:
    """The page on which it is seen, and may be changed."""
    match thing.kind:
        case ThingKind.STORE:
            return f"{STORES}/{thing.id}"
        case ThingKind.USER:
            return f"{USERS}/{thing.id}"
        case ThingKind.API_KEY:
            return f"{STORES}/{thing.store_id}/keys/{thing.id}"
        case ThingKind.ENDPOINT:
            return f"{STORES}/{thing.store_id}/webhooks" if thing.store_id else "/console/webhooks"
        case ThingKind.ADMIN_TOKEN:
            return "/console/tokens"
