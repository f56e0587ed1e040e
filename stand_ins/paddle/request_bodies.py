"""What Paddle's API takes in the bodies of requests, and how it refuses the rest.

Unknown fields and catalogue prices are refused: nothing of ours sends any.
https://developer.paddle.com/api-reference/transactions/create-transaction
https://developer.paddle.com/api-reference/subscriptions/create-subscription-charge
https://developer.paddle.com/errors/shared/invalid_field
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from stand_ins.paddle.account import Refusal
from stand_ins.paddle.entities import Entity

T = TypeVar("T")

QUANTITY_MAX = 999_999_999

_Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAX)]


class _Money(msgspec.Struct, forbid_unknown_fields=True):
    amount: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,12}$")]
    currency_code: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]


class _Bounds(msgspec.Struct, forbid_unknown_fields=True):
    minimum: _Quantity = 1
    maximum: _Quantity = 100


class _Cycle(msgspec.Struct, forbid_unknown_fields=True):
    interval: Literal["day", "week", "month", "year"]
    frequency: Annotated[int, msgspec.Meta(ge=1)]


class _Product(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    tax_category: Literal["standard", "saas", "digital-goods"]
    description: str | None = None
    image_url: str | None = None
    custom_data: dict[str, Any] | None = None


class _Price(msgspec.Struct, forbid_unknown_fields=True):
    description: Annotated[str, msgspec.Meta(min_length=2, max_length=500)]
    unit_price: _Money
    product: _Product
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=150)] | None = None
    billing_cycle: _Cycle | None = None
    trial_period: _Cycle | None = None
    tax_mode: Literal["account_setting", "external", "internal", "location"] = "account_setting"
    unit_price_overrides: list[Any] = []
    quantity: _Bounds = msgspec.field(default_factory=_Bounds)
    custom_data: dict[str, Any] | None = None


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """So many of what has that price."""

    quantity: _Quantity
    price: _Price


_Items = Annotated[list[Item], msgspec.Meta(min_length=1, max_length=100)]


class NewTransaction(msgspec.Struct, forbid_unknown_fields=True):
    """What a checkout is opened with."""

    items: _Items
    custom_data: dict[str, Any] | None = None
    currency_code: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    collection_mode: Literal["automatic"] = "automatic"


class Charge(msgspec.Struct, forbid_unknown_fields=True):
    """What a subscription is charged with, once."""

    effective_from: Literal["immediately"]
    items: _Items
    on_payment_failure: Literal["prevent_change", "apply_change"] = "prevent_change"


class Adjustment(msgspec.Struct, forbid_unknown_fields=True):
    """What is given back of a transaction."""

    action: Literal["refund", "credit"]
    transaction_id: str
    reason: str
    type: Literal["full"] = "full"


def priced_items(items: list[Item], what: str) -> list[Entity]:
    """The items as plain values; `what` begins the code of an error."""
    for item in items:
        least, most = item.price.quantity.minimum, item.price.quantity.maximum
        if not least <= item.quantity <= most:
            raise Refusal(
                400,
                f"{what}_item_quantity_out_of_range",
                f"Item quantity {item.quantity} is not within the range of {least} and {most}",
            )
        check_custom_data(item.price.custom_data)
    return [msgspec.to_builtins(item) for item in items]


def check_custom_data(custom_data: dict[str, Any] | None) -> None:
    """Paddle wants at least one key in it."""
    if custom_data == {}:
        raise invalid("custom_data", "must have at least one key")


def decoded(body: bytes, type_: type[T]) -> T:
    """A request's body, or the refusal that Paddle answers."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        raise invalid(path.rstrip("`") or "body", message) from None
    except msgspec.DecodeError:
        raise Refusal(400, "bad_request", "Invalid request.") from None


def invalid(field: str, message: str) -> Refusal:
    """A field does not pass validation."""
    wrong = {"field": field, "message": message}
    return Refusal(400, "invalid_field", "Request does not pass validation.", [wrong])
