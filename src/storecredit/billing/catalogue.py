"""What is on sale: subscriptions and single credits for stores, packs for end users.

And what a generation costs in credits, whether or not anything is sold here.

Hides the file it is read from (TOML; `plans.toml` beside this module is the default). Promises
that a catalogue, once loaded, makes sense: whole positive amounts, no name twice, nothing that
Paddle would not charge. Amounts are in the currency's smallest unit and without tax, which Paddle
adds.
"""

import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from storecredit.billing.generation_prices import PRICE_MAX, GenerationEntry, GenerationPrices

CATALOGUE_FILE = Path(__file__).with_name("plans.toml")
PAY_AS_YOU_GO = "pay_as_you_go"
"""Stands where a plan's name would: single credits. No plan may be called so."""

LEAST_CHARGE = 70
"""What Paddle charges at least, in US cents, now and at each renewal
(https://developer.paddle.com/errors/transactions/transaction_balance_less_than_charge_limit and
…/transaction_recurring_balance_less_than_charge_limit). In another currency it is the
`minimum_payment_amount` of https://developer.paddle.com/api-reference/currencies, which the file
can name; where it does not, the number of cents is taken, and Paddle's own refusal is the last
word."""

AMOUNT_MAX = 100_000_000
CREDITS_MAX = 1_000_000
ENTRIES_MAX = 100
DAYS_MAX = 3650

_Amount = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
_Credits = Annotated[int, msgspec.Meta(ge=1, le=CREDITS_MAX)]
_Days = Annotated[int, msgspec.Meta(ge=1, le=DAYS_MAX)]
_Key = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_-]{1,50}$")]
_Title = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_PriceId = Annotated[str, msgspec.Meta(pattern=r"^pri_[a-z0-9]{1,64}\Z")]
_Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]


Rollover = Literal["none", "all"] | int
"""How many of a month's credits live on into the next one."""


class CatalogueError(Exception):
    """The catalogue cannot be used; the message is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A subscription of a store: so many credits each month.

    `paddle_price_ids`: prices in Paddle's catalogue that are this plan, by which a subscription
    can be changed to it at Paddle. `rollover_max`: how many credits of a month live on into the
    next one; None: all, they do not expire.
    """

    name: str
    credits: int
    amount: int
    currency: str
    overage_unit_amount: int
    paddle_price_ids: tuple[str, ...] = ()
    rollover_max: int | None = None

    @property
    def rollover(self) -> Rollover:
        """The same, as the file has it."""
        if self.rollover_max is None:
            return "all"
        return self.rollover_max or "none"


@dataclass(frozen=True, slots=True)
class Pack:
    """Credits that an end user buys once. `expires_after_days`: None: they do not expire."""

    pack_id: str
    name: str
    credits: int
    amount: int
    currency: str
    expires_after_days: int | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything on sale, in one currency, and the prices of generations, in credits."""

    plans: tuple[Plan, ...]
    packs: tuple[Pack, ...]
    credit_unit_amount: int = 18
    credits_min: int = 4
    credits_max: int = 5000
    currency: str = "USD"
    least_charge: int = LEAST_CHARGE
    credits_expire_after_days: int | None = None
    generation: GenerationPrices = field(default_factory=GenerationPrices)

    def plan(self, name: str) -> Plan | None:
        """The plan of that name; None: there is none."""
        return next((plan for plan in self.plans if plan.name == name), None)

    def plan_of_price(self, price_id: str) -> Plan | None:
        """The plan that a price in Paddle's catalogue is; None: it is none."""
        return next((plan for plan in self.plans if price_id in plan.paddle_price_ids), None)

    def pack(self, pack_id: str) -> Pack | None:
        """The pack of that id; None: there is none."""
        return next((pack for pack in self.packs if pack.pack_id == pack_id), None)

    def overage_unit_amount(self, plan_name: str | None) -> int:
        """Price of one credit of overage; without a plan (or one on sale) that of a single one."""
        plan = None if plan_name is None else self.plan(plan_name)
        return self.credit_unit_amount if plan is None else plan.overage_unit_amount


def load_catalogue(path: Path | None = None) -> Catalogue:
    """The catalogue in that file, or the one that comes with storecredit.

    Raises CatalogueError.
    """
    file = CATALOGUE_FILE if path is None else path
    try:
        return _catalogue(_read(file))
    except msgspec.ValidationError as error:
        raise CatalogueError(f"The catalogue {file} cannot be used: {_sentence(error)}") from None
    except CatalogueError as error:
        raise CatalogueError(f"The catalogue {file} cannot be used: {error}") from None


class _PayAsYouGo(msgspec.Struct, forbid_unknown_fields=True):
    unit_amount: _Amount
    credits_min: _Credits | None = None
    credits_max: _Credits = 5000
    expires_after_days: _Days | None = None


class _PlanEntry(msgspec.Struct, forbid_unknown_fields=True):
    name: _Key
    credits: _Credits
    amount: _Amount
    overage_unit_amount: _Amount
    paddle_price_ids: Annotated[list[_PriceId], msgspec.Meta(max_length=ENTRIES_MAX)] = []
    rollover: Literal["none", "all"] | _Credits = "all"


class _PackEntry(msgspec.Struct, forbid_unknown_fields=True):
    pack_id: _Key
    name: _Title
    credits: _Credits
    amount: _Amount
    expires_after_days: _Days | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    currency: _Currency
    pay_as_you_go: _PayAsYouGo
    least_charge: _Amount = LEAST_CHARGE
    generation: GenerationEntry = msgspec.field(default_factory=GenerationEntry)
    plans: Annotated[list[_PlanEntry], msgspec.Meta(max_length=ENTRIES_MAX)] = []
    packs: Annotated[list[_PackEntry], msgspec.Meta(max_length=ENTRIES_MAX)] = []


def _read(file: Path) -> _File:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise CatalogueError(f"it could not be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise CatalogueError("it is no UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"it is no TOML: {error}.") from None
    return msgspec.convert(content, _File)


def _catalogue(file: _File) -> Catalogue:
    _refuse_twice("plan", (plan.name for plan in file.plans))
    _refuse_twice("pack", (pack.pack_id for pack in file.packs))
    _refuse_twice("price", (price for plan in file.plans for price in plan.paddle_price_ids))
    if any(plan.name == PAY_AS_YOU_GO for plan in file.plans):
        raise CatalogueError(f'no plan may be called "{PAY_AS_YOU_GO}".')
    _refuse_too_little(file)
    return Catalogue(
        plans=tuple(
            Plan(
                name=plan.name,
                credits=plan.credits,
                amount=plan.amount,
                currency=file.currency,
                overage_unit_amount=plan.overage_unit_amount,
                paddle_price_ids=tuple(plan.paddle_price_ids),
                rollover_max=_rollover_max(plan.rollover),
            )
            for plan in file.plans
        ),
        packs=tuple(
            Pack(
                *(pack.pack_id, pack.name, pack.credits, pack.amount, file.currency),
                expires_after_days=pack.expires_after_days,
            )
            for pack in file.packs
        ),
        credit_unit_amount=file.pay_as_you_go.unit_amount,
        credits_min=_credits_min(file),
        credits_max=file.pay_as_you_go.credits_max,
        currency=file.currency,
        least_charge=file.least_charge,
        credits_expire_after_days=file.pay_as_you_go.expires_after_days,
        generation=_generation_prices(file.generation),
    )


def _rollover_max(rollover: Rollover) -> int | None:
    match rollover:
        case "all":
            return None
        case "none":
            return 0
        case count:
            return count


def _generation_prices(entry: GenerationEntry) -> GenerationPrices:
    prices = GenerationPrices(entry.credits, entry.options)
    if prices.dearest > PRICE_MAX:
        raise CatalogueError(
            f"a generation with the dearest options costs {prices.dearest:,} credits, "
            f"and none may cost more than {PRICE_MAX:,}."
        )
    return prices


def _refuse_too_little(file: _File) -> None:
    """Whatever is sold can be charged."""
    sold = [
        *((f'the plan "{plan.name}"', plan.amount) for plan in file.plans),
        *((f'the pack "{pack.pack_id}"', pack.amount) for pack in file.packs),
    ]
    for what, amount in sold:
        if amount < file.least_charge:
            raise CatalogueError(
                f"{what} costs {amount}, and Paddle charges no less than {file.least_charge}."
            )


def _credits_min(file: _File) -> int:
    """The fewest single credits to sell: what the file says, or as few as can be charged."""
    single = file.pay_as_you_go
    least = -(-file.least_charge // single.unit_amount)
    too_little = f"Paddle charges no less than {file.least_charge}, the price of {least:,}."
    if least > single.credits_max:
        raise CatalogueError(f"pay_as_you_go.credits_max is {single.credits_max}: {too_little}")
    if single.credits_min is None:
        return least
    if single.credits_min < least:
        raise CatalogueError(f"pay_as_you_go.credits_min is {single.credits_min}: {too_little}")
    if single.credits_min > single.credits_max:
        raise CatalogueError("pay_as_you_go.credits_min is more than credits_max.")
    return single.credits_min


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise CatalogueError(f'the {what} "{name}" is there {count} times.')


def _sentence(error: msgspec.ValidationError) -> str:
    """From "what - at `$.where`" to "where: what."."""
    what, _, where = str(error).partition(" - at `$")
    place = where.rstrip("`").lstrip(".")
    return f"{place}: {what}." if place else f"{what}."
