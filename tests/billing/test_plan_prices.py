"""What lines of a transaction are worth: by our record, in parts of a period, rounded once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storecredit.billing.catalogue import Catalogue, CatalogueError, load_catalogue
from storecredit.billing.paddle.messages import Item, Price, Transaction
from storecredit.billing.paddle.plan_prices import PlanPrices, Terms, Worth
from storecredit.billing.paddle.reading import read_transaction
from storecredit.postgres.servers import Record
from tests.billing.paddle_changes import PLANS_FILE

OWN = "pri_01own"
YEARLY = {"interval": "year", "frequency": 1}
MONTHLY = {"interval": "month", "frequency": 1}


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    file = tmp_path / "plans.toml"
    file.write_text(PLANS_FILE)
    return load_catalogue(file)


@pytest.fixture
def sold() -> dict[str, Any]:
    """A checkout that sold an older growth, for 700 credits."""
    return {
        "provider_price_id": OWN,
        "rollover_max": None,
        "plan": "growth",
        "credits": 700,
        "amount": 8900,
        "currency": "USD",
    }


@pytest.fixture
def prices(catalogue: Catalogue, sold: Any) -> PlanPrices:
    """Those of a subscription that the checkout began."""
    return PlanPrices(catalogue, sold)


def billed(
    *lines: tuple[str | None, int, str | None, int], cycle: dict[str, Any] | None = None
) -> Transaction:
    """A transaction of such lines: price, quantity, part of the period, subtotal."""
    return read_transaction(
        {
            "id": "txn_1",
            "origin": "subscription_update",
            "currency_code": "USD",
            "items": [
                {"price": {"id": price, "billing_cycle": cycle or MONTHLY}, "quantity": quantity}
                for price, quantity, _, _ in lines
            ],
            "details": {
                "totals": {"subtotal": str(sum(line[3] for line in lines))},
                "line_items": [
                    {
                        "price_id": price,
                        "quantity": quantity,
                        "proration": None if rate is None else {"rate": rate},
                        "totals": {"subtotal": str(subtotal)},
                    }
                    for price, quantity, rate, subtotal in lines
                ],
            },
        }
    )


SCALE, GROWTH, STARTER, OTHER = (
    "pri_01scale",
    "pri_01growth",
    "pri_01starter",
    "pri_01other",
)
CASES: tuple[tuple[tuple[tuple[str | None, int, str | None, int], ...], Worth], ...] = (
    (((OWN, 1, None, 8900),), Worth(700, "growth", (), is_open=False)),
    (((SCALE, 3, None, 59700),), Worth(5400, "scale", (), is_open=False)),
    # 1800/3 - 700/3 = 366.66…
    (
        ((SCALE, 1, "0.3333333", 6633), (OWN, -1, "0.3333333", -2966)),
        Worth(366, "scale", (), is_open=False),
    ),
    # Either sign says that a line is given back, and both together say it no louder.
    (
        ((STARTER, 1, "0.5", 2450), (SCALE, 1, "0.5", -9950)),
        Worth(-725, "starter", (), is_open=False),
    ),
    # -0.35 + 0.8 is not a credit, nor is 0.35 - 0.8 one less.
    (((STARTER, -1, "0.001", -4), (GROWTH, 1, "0.001", 9)), Worth(0, "growth", (), is_open=False)),
    (((STARTER, 1, "0.001", 4), (GROWTH, -1, "0.001", -9)), Worth(0, "starter", (), is_open=False)),
    (((OTHER, 1, None, 500),), Worth(0, None, (OTHER,), is_open=False)),
    (
        ((SCALE, 1, None, 19900), (OTHER, 1, None, 500), (None, 1, None, 5)),
        Worth(1800, "scale", ("a price without an id", OTHER), is_open=False),
    ),
    (
        ((SCALE, 1, "0.5", 9950), (OTHER, -1, "0.5", -250)),
        Worth(900, "scale", (OTHER,), is_open=True),
    ),
    (((SCALE, 0, None, 0),), Worth(0, None, (), is_open=False)),
)


@pytest.mark.parametrize("lines, worth", CASES)
def test_the_sum_of_its_lines_is_what_a_transaction_is_worth(
    prices: PlanPrices, lines: tuple[Any, ...], worth: Worth
) -> None:
    assert prices.worth(billed(*lines)) == worth


def test_a_price_that_is_not_billed_each_month_is_no_plan(prices: PlanPrices) -> None:
    line = (SCALE, 1, None, 199900)
    assert prices.worth(billed(line, cycle=YEARLY)).plan is None
    assert prices.worth(billed(line, cycle={"interval": "month", "frequency": 3})).plan is None


def test_what_a_subscription_is_of_are_its_recurring_items(prices: PlanPrices) -> None:
    items = msgspec.convert(
        [
            {"price": {"id": STARTER}, "quantity": 3},
            {"price": {"id": OWN}, "recurring": True},
            {"price": {"id": SCALE}, "quantity": 1, "recurring": False},
            {"price": {"id": OTHER}, "quantity": 9},
            {"price": None},
        ],
        type=tuple[Item, ...],
    )
    assert prices.terms_of_items(items) == Terms("growth", 1750, 3 * 4900 + 8900, "USD")
    assert prices.terms_of_items(items[2:]) is None


@pytest.mark.parametrize("kept", [None, 0, 7])
def test_what_lives_on_is_as_it_was_sold_or_as_the_catalogue_says_of_another_plan(
    catalogue: Catalogue, sold: dict[str, Any], kept: int | None
) -> None:
    plans = tuple(replace(plan, rollover_max=100) for plan in catalogue.plans)
    record: Any = sold | {"rollover_max": kept}
    prices = PlanPrices(replace(catalogue, plans=plans), record)

    assert prices.worth(billed((OWN, 1, None, 8900))).rollover_max == kept
    assert prices.worth(billed((SCALE, 1, None, 19900))).rollover_max == 100
    both = billed((SCALE, 1, "0.5", 9950), (OWN, -1, "0.5", -4450))
    assert prices.worth(both).rollover_max == 100


def test_without_a_checkout_the_catalogue_alone_names_prices(catalogue: Catalogue) -> None:
    sold: Record | None = None
    prices = PlanPrices(catalogue, sold)
    assert prices.worth(billed((OWN, 1, None, 8900))).plan is None
    assert prices.worth(billed((GROWTH, 1, None, 9900))).credits == 800


@pytest.mark.parametrize(
    "told, is_known",
    [
        ({}, True),
        ({"unit_price": {"amount": "8900", "currency_code": "usd"}}, True),
        ({"unit_price": {"amount": "8901", "currency_code": "USD"}}, False),
        ({"unit_price": {"amount": "8900", "currency_code": "EUR"}}, False),
        ({"unit_price": None}, False),
        ({"billing_cycle": YEARLY}, False),
        ({"billing_cycle": None}, False),
    ],
)
@pytest.mark.parametrize("own", [None, OWN])
def test_an_amount_is_asked_only_where_a_checkout_knows_no_price(
    catalogue: Catalogue, own: str | None, told: dict[str, Any], is_known: bool
) -> None:
    sold: Any = {
        "provider_price_id": own,
        "rollover_max": None,
        "plan": "growth",
        "credits": 700,
        "amount": 8900,
        "currency": "USD",
    }
    usual = {
        "id": OTHER,
        "unit_price": {"amount": "8900", "currency_code": "USD"},
        "billing_cycle": MONTHLY,
    }
    terms = PlanPrices(catalogue, sold).terms(msgspec.convert(usual | told, type=Price))
    assert (terms is not None) == (is_known and own is None)


@pytest.mark.parametrize(
    "text, said",
    [
        (PLANS_FILE.replace("pri_01scale", "pri_01growth"), "pri_01growth"),
        (PLANS_FILE.replace("pri_01scale", "Scale"), "paddle_price_ids"),
        (PLANS_FILE.replace('["pri_01scale"]', '"pri_01scale"'), "paddle_price_ids"),
    ],
)
def test_a_catalogue_that_names_a_price_twice_or_wrongly_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(CatalogueError, match=said):
        load_catalogue(file)
