"""Options and arguments of `storecredit webhook`, and what is wrong with them."""

from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

from storecredit.cli.problems import Failed

if TYPE_CHECKING:
    from storecredit.ledger.owners import Owner

DESCRIPTION_MAX: Final = 200


def description_text(text: str) -> str:
    """What an endpoint is for."""
    if len(text) > DESCRIPTION_MAX:
        raise typer.BadParameter(f"at most {DESCRIPTION_MAX} characters, not {len(text)}")
    return text


def event_type(text: str) -> str:
    """A type of event that can be told."""
    from storecredit.webhooks.catalogue import EVENT_TYPES, EVERY

    if text != EVERY and text not in EVENT_TYPES:
        raise typer.BadParameter(
            f"there is no event {text!r}; there are {', '.join(EVENT_TYPES)}, and * for all"
        )
    return text


def told_event_type(text: str) -> str:
    """A type of event that can have been told."""
    from storecredit.webhooks.catalogue import EVENT_TYPES, TEST

    if text not in (*EVENT_TYPES, TEST):
        raise typer.BadParameter(
            f"there is no event {text!r}; there are {', '.join((*EVENT_TYPES, TEST))}"
        )
    return text


OfStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="STORE",
        help="Of a store, by its id, name or domain.",
        show_default="the operator's own",
    ),
]
EndpointId = Annotated[
    UUID,
    typer.Argument(metavar="ENDPOINT_ID", help="As `storecredit webhook list` lists it."),
]
EventTypes = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        parser=event_type,
        metavar="TYPE",
        help="A type of event to be told, as credits.low, or * for all; repeatable.",
    ),
]


def of_store(store_id: UUID | None) -> "Owner | None":
    """The store whose endpoints are meant; None: the operator, who is nobody in the ledger."""
    from storecredit.ledger.owners import Owner

    return None if store_id is None else Owner.store(store_id)


def unknown_endpoint(endpoint_id: UUID, store: str | None) -> Failed:
    """The operator, or the store that is meant, has no such endpoint."""
    if store is None:
        return Failed(
            f"The operator has no endpoint {endpoint_id}. `storecredit webhook list` lists them; "
            "with --store it lists a store's."
        )
    return Failed(
        f"The store has no endpoint {endpoint_id}. `storecredit webhook list --store STORE` lists "
        "its endpoints."
    )
