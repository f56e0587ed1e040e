"""`storecredit user`: find, help, block and erase end users."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never
from uuid import UUID

import typer
from typer.core import TyperGroup

from storecredit.cli import output
from storecredit.cli.additions import (
    Description,
    ExpiresAt,
    ExpiresIn,
    Kind,
    Priority,
    added,
    addition_of,
    show_added,
)
from storecredit.cli.credits import history_page, show_history
from storecredit.cli.database import Rooms, against, credits_view
from storecredit.cli.options import (
    CREDITS_MAX,
    PAGE_DEFAULT,
    Actor,
    BeforeSeq,
    Below,
    Cursor,
    DatabaseUrl,
    DataDir,
    Json,
    Limit,
    OfRequest,
    Reason,
    RequestId,
    UserId,
    context_of,
    search_text,
    settings_of,
)
from storecredit.cli.problems import Failed, unknown_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storecredit.users.directory import User

COLUMNS = ("user_id", "status", "balance", "total_purchased", "total_spent", "created_at")

# As the rooms list them; named here so that `--help` loads none of them.
SortName = Literal["balance", "created"]
StatusName = Literal["active", "blocked", "erased"]
AdditionName = Literal["grant", "purchase"]
MovementName = Literal[
    "deduction",
    "refund",
    "purchase",
    "grant",
    "signup_bonus",
    "clawback",
    "hold",
    "capture",
    "release",
    "hold_expiry",
    "expiry",
    "rollover",
    "reissue",
    "removal",
    "transfer_out",
    "transfer_in",
]


class BalanceUnlessSaid(TyperGroup):
    """`user credits USER` is `user credits balance USER`: no id is the name of a command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of these words."""
        if args and args[0] not in self.commands:
            args = ["balance", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(help="End users, whom your app signs in.", no_args_is_help=True)
credits = typer.Typer(
    cls=BalanceUnlessSaid,
    help="An end user's credits: `user credits USER` shows them, `user credits add USER AMOUNT` "
    "adds some.",
    no_args_is_help=True,
)
app.add_typer(credits, name="credits")


@app.command("list")
def list_users(
    below: Below = None,
    sort: Annotated[
        SortName,
        typer.Option("--sort", help="balance: the lowest first; created: the newest first."),
    ] = "created",
    status: Annotated[
        StatusName | None, typer.Option("--status", help="Only those of this status.")
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search", parser=search_text, metavar="TEXT", help="Only those with this in their id."
        ),
    ] = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: Cursor = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """List end users and their credits."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.owner_pages import OwnerFilter
        from storecredit.ledger.owners import OwnerKind

        wanted = OwnerFilter(below=below, status=status, search=search)
        page = await rooms.page(OwnerKind.USER, wanted, sort=sort, limit=limit, cursor=cursor)
        items = await _views(rooms, await rooms.users.several(page.owner_ids))
        return {"items": items, "next_cursor": page.next_cursor}

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
    nothing = "There are no such end users. A user's first call makes the account."
    output.listing(found, COLUMNS, nothing=nothing, json=json)


@app.command("show")
def show(
    user_id: UserId,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show an end user and its credits."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        return await _view(rooms, user_id)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act, may_only_read=True), json=json)


@credits.command("balance")
def balance(
    user_id: UserId,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show what an end user has, was given and has spent (deductions less refunds)."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.owners import Owner

        await _known(rooms, user_id)
        return credits_view(await rooms.credits.balance(Owner.user(user_id)))

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


# A negative amount is no unknown option, but one that is out of range: that is what is to be said.
@credits.command("add", context_settings={"ignore_unknown_options": True})
def add(
    user_id: UserId,
    amount: Annotated[
        int, typer.Argument(metavar="AMOUNT", min=1, max=CREDITS_MAX, help="How many credits.")
    ],
    type_: Annotated[AdditionName, typer.Option("--type", help="How they come in.")] = "grant",
    request_id: RequestId = None,
    description: Description = "",
    expires_at: ExpiresAt = None,
    expires_in: ExpiresIn = None,
    kind: Kind = None,
    priority: Priority = None,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Add credits to an end user, once per request id."""
    addition = addition_of(
        amount,
        type_,
        request_id,
        description,
        expires_at,
        expires_in,
        kind,
        priority,
        actor,
        reason,
    )

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.owners import Owner

        return await added(rooms, Owner.user(user_id), addition)

    outcome = against(settings_of(data_dir=data_dir, database_url=database_url), act)
    show_added(outcome, addition, json=json)


@app.command("history")
def history(
    user_id: UserId,
    limit: Limit = PAGE_DEFAULT,
    type_: Annotated[
        MovementName | None, typer.Option("--type", help="Only movements of this type.")
    ] = None,
    request_id: OfRequest = None,
    cursor: BeforeSeq = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Show an end user's ledger, newest first."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.ledger.owners import Owner

        await _known(rooms, user_id)
        return await history_page(rooms, Owner.user(user_id), type_, request_id, limit, cursor)

    found = against(
        settings_of(data_dir=data_dir, database_url=database_url), act, may_only_read=True
    )
    show_history(found, json=json)


@app.command("block")
def block(
    user_id: UserId,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Refuse all that an end user asks for, within a second; credits stay, generations end."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        if not await rooms.operator.users.block(context_of(actor, reason), user_id):
            raise unknown_user(user_id)
        return await _view(rooms, user_id)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("unblock")
def unblock(
    user_id: UserId,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Let a blocked end user in again, within a second."""

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.users.directory import Unblocking

        outcome = await rooms.operator.users.unblock(context_of(actor, reason), user_id)
        match outcome:
            case Unblocking.UNBLOCKED:
                return await _view(rooms, user_id)
            case Unblocking.ERASED:
                raise Failed("This end user was erased, and stays blocked. Nothing was changed.")
            case Unblocking.NOT_FOUND:
                raise unknown_user(user_id)
            case _:
                assert_never(outcome)

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    output.record(against(settings, act), json=json)


@app.command("erase")
def erase(
    user_id: UserId,
    actor: Actor = None,
    reason: Reason = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Remove what is personal of an end user, for ever, and block the user; the ledger stays.

    What had not ended is ended, and its credits given back.
    """
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    # Files are where the service runs, which need not be here.
    has_results = settings.database_url is None or settings.results is not None
    left: list[UUID] = []

    async def act(rooms: Rooms) -> dict[str, Any]:
        from storecredit.generation.erasure import Erasing

        context = context_of(actor, reason)
        if await rooms.operator.users.erase(context, user_id) is Erasing.NOT_FOUND:
            raise unknown_user(user_id)
        if not has_results or not await _settled(rooms, user_id):
            left.append(user_id)
        return await _view(rooms, user_id)

    output.record(against(settings, act), json=json)
    if left:
        output.note("The service deletes the user's result images at its next sweep.")


async def _settled(rooms: Rooms, user_id: UUID) -> bool:
    """Whether the user's results are deleted; if not, why is told."""
    from storecredit.generation.results.store import reason_of

    try:
        await rooms.erasure.settle(user_id)
    except OSError as error:
        output.note(reason_of(error))
        return False
    return True


async def _known(rooms: Rooms, user_id: UUID) -> "User":
    user = await rooms.users.get(user_id)
    if user is None:
        raise unknown_user(user_id)
    return user


async def _view(rooms: Rooms, user_id: UUID) -> dict[str, Any]:
    """An end user as the operator's API shows it."""
    return (await _views(rooms, [await _known(rooms, user_id)]))[0]


async def _views(rooms: Rooms, users: "Sequence[User]") -> list[dict[str, Any]]:
    from storecredit.ledger.owners import OwnerKind

    balances = await rooms.credits.balances(OwnerKind.USER, [user.user_id for user in users])
    return [
        {
            "user_id": user.user_id,
            "status": user.status,
            **credits_view(balances[user.user_id]),
            "created_at": user.created_at,
            "blocked_at": user.blocked_at,
            "erased_at": user.erased_at,
        }
        for user in users
    ]
