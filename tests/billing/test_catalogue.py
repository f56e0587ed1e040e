"""The file that says what is on sale."""

from pathlib import Path

import pytest

from storecredit.billing.catalogue import Catalogue, CatalogueError, Pack, Plan, load_catalogue
from storecredit.billing.generation_prices import GenerationPrices
from tests.e2e.page_commands import Page

GOOD = """
currency = "EUR"

[pay_as_you_go]
unit_amount = 20

[[plans]]
name = "basic"
credits = 10
amount = 500
overage_unit_amount = 30

[[packs]]
pack_id = "few"
name = "A few"
credits = 5
amount = 199
"""


def loaded(tmp_path: Path, text: str | bytes) -> Catalogue:
    file = tmp_path / "plans.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_catalogue(file)


def test_the_default_sells_what_the_product_sells() -> None:
    catalogue = load_catalogue()
    assert catalogue.plans == (
        Plan("starter", 350, 4900, "USD", 16),
        Plan("growth", 800, 9900, "USD", 14),
        Plan("scale", 1800, 19900, "USD", 12),
    )
    assert (catalogue.credit_unit_amount, catalogue.currency) == (18, "USD")
    assert (catalogue.credits_min, catalogue.credits_max) == (4, 5000)
    assert len(catalogue.packs) == 3


def test_a_file_of_the_operators_own(tmp_path: Path) -> None:
    assert loaded(tmp_path, GOOD) == Catalogue(
        plans=(Plan("basic", 10, 500, "EUR", 30),),
        packs=(Pack("few", "A few", 5, 199, "EUR"),),
        credit_unit_amount=20,
        credits_min=4,
        credits_max=5000,
        currency="EUR",
    )


def test_plans_and_packs_are_found_by_their_names(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path, GOOD)
    assert catalogue.plan("basic") == catalogue.plans[0]
    assert catalogue.pack("few") == catalogue.packs[0]
    assert catalogue.plan("few") is None
    assert catalogue.pack("basic") is None


def test_overage_costs_what_the_plan_says_or_a_single_credit(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path, GOOD)
    assert catalogue.overage_unit_amount("basic") == 30
    assert catalogue.overage_unit_amount(None) == 20
    assert catalogue.overage_unit_amount("no longer sold") == 20


def test_an_operator_may_sell_single_credits_only(tmp_path: Path) -> None:
    catalogue = loaded(tmp_path, 'currency = "USD"\n[pay_as_you_go]\nunit_amount = 1')
    assert (catalogue.plans, catalogue.packs) == ((), ())


def test_a_generation_costs_one_credit_unless_the_file_says_more(tmp_path: Path) -> None:
    for prices in (load_catalogue().generation, loaded(tmp_path, GOOD).generation):
        assert (prices, prices.price({})) == (GenerationPrices(1, {}), 1)
    prices = loaded(tmp_path, f"{GOOD}[generation]\ncredits = 7").generation
    assert prices.price({}) == 7


def test_options_multiply_what_a_generation_costs(tmp_path: Path) -> None:
    (page,) = Page("docs/prices.md").blocks("toml")
    prices = loaded(tmp_path, GOOD + page).generation
    assert prices.price({}) == 2
    assert prices.price({"size": "1536x1024"}) == 4
    assert prices.price({"quality": "high"}) == 6
    assert prices.price({"quality": "high", "size": "1536x1024"}) == prices.dearest == 12


@pytest.mark.parametrize(
    "prices, told",
    [
        ("credits = 0", "generation.credits"),
        ("credits = 1.5", "generation.credits"),
        ("credits = 1_000_001", "generation.credits"),
        ("price = 1", "generation"),
        ("options = { size = { big = 0 } }", "generation.options"),
        ("options = { size = {} }", "generation.options"),
        ("options = { size = 2 }", "generation.options"),
        ("options = { Size = { big = 2 } }", "generation.options"),
        ("options = { size = { 'very big' = 2 } }", "generation.options"),
        ("options = { a = { x = 1000 }, b = { x = 1, y = 1001 } }", "costs 1,001,000 credits"),
    ],
)
def test_a_price_that_nobody_could_mean_is_refused(tmp_path: Path, prices: str, told: str) -> None:
    with pytest.raises(CatalogueError, match=told):
        loaded(tmp_path, f"{GOOD}[generation]\n{prices}")


@pytest.mark.parametrize(
    "rollover, kept, shown",
    [('"all"', None, "all"), ('"none"', 0, "none"), ("0", None, None), ("250", 250, 250)],
)
def test_a_plan_says_what_of_a_month_lives_on(
    tmp_path: Path, rollover: str, kept: int | None, shown: object
) -> None:
    text = GOOD.replace(
        "overage_unit_amount = 30", f"overage_unit_amount = 30\nrollover = {rollover}"
    )
    if shown is None:
        with pytest.raises(CatalogueError, match=r"plans\[0\].rollover"):
            loaded(tmp_path, text)
        return
    (plan,) = loaded(tmp_path, text).plans
    assert (plan.rollover_max, plan.rollover) == (kept, shown)


def test_what_is_bought_once_can_expire(tmp_path: Path) -> None:
    text = GOOD.replace("amount = 199", "amount = 199\nexpires_after_days = 30")
    text = text.replace("unit_amount = 20", "unit_amount = 20\nexpires_after_days = 365")
    catalogue = loaded(tmp_path, text)
    assert catalogue.packs == (Pack("few", "A few", 5, 199, "EUR", 30),)
    assert catalogue.credits_expire_after_days == 365
    with pytest.raises(CatalogueError, match="expires_after_days"):
        loaded(tmp_path, text.replace("= 365", "= 0"))


def test_what_costs_just_enough_is_sold(tmp_path: Path) -> None:
    text = GOOD.replace("amount = 199", "amount = 70").replace("amount = 500", "amount = 70")

    catalogue = loaded(tmp_path, text)

    assert (catalogue.plans[0].amount, catalogue.packs[0].amount) == (70, 70)
    assert catalogue.least_charge == 70


@pytest.mark.parametrize(
    "unit_amount, least, credits_min",
    [(1, 70, 70), (69, 70, 2), (70, 70, 1), (71, 70, 1), (20, 9, 1)],
)
def test_single_credits_are_sold_from_as_few_as_paddle_charges(
    tmp_path: Path, unit_amount: int, least: int, credits_min: int
) -> None:
    text = f'currency = "USD"\nleast_charge = {least}\n[pay_as_you_go]\nunit_amount = {unit_amount}'

    assert loaded(tmp_path, text).credits_min == credits_min


MISTAKES = [
    ("amount = 500", "amount = 5.0", "plans[0].amount: Expected `int`, got `float`."),
    ("amount = 500", "amount = 0", "plans[0].amount: Expected `int` >= 1."),
    ("amount = 500", "amount = -500", "plans[0].amount: Expected `int` >= 1."),
    ("amount = 500", "amount = true", "plans[0].amount: Expected `int`, got `bool`."),
    ("amount = 500", 'amount = "500"', "plans[0].amount: Expected `int`, got `str`."),
    ("amount = 500", "amount = 100000001", "plans[0].amount: Expected `int` <= 100000000."),
    ("amount = 500", "", "plans[0]: Object missing required field `amount`."),
    ("amount = 500", "amount = 500\nprice = 1", "plans[0]: Object contains unknown field `price`."),
    ("credits = 10", "credits = 0", "plans[0].credits: Expected `int` >= 1."),
    ("= 30", "= 0", "plans[0].overage_unit_amount: Expected `int` >= 1."),
    ('"basic"', '"Basic!"', "plans[0].name: Expected `str` matching regex "),
    ('"basic"', '"pay_as_you_go"', 'no plan may be called "pay_as_you_go".'),
    ("unit_amount = 20", "unit_amount = -1", "pay_as_you_go.unit_amount: Expected `int` >= 1."),
    (
        "unit_amount = 20",
        "unit_amount = 20\ncredits_min = 9\ncredits_max = 8",
        "pay_as_you_go.credits_min is more than credits_max.",
    ),
    (
        "unit_amount = 20",
        "unit_amount = 20\ncredits_min = 3",
        "pay_as_you_go.credits_min is 3: Paddle charges no less than 70, the price of 4.",
    ),
    (
        "unit_amount = 20",
        "unit_amount = 1\ncredits_max = 69",
        "pay_as_you_go.credits_max is 69: Paddle charges no less than 70, the price of 70.",
    ),
    (
        "amount = 500",
        "amount = 69",
        'the plan "basic" costs 69, and Paddle charges no less than 70.',
    ),
    (
        "amount = 199",
        "amount = 1",
        'the pack "few" costs 1, and Paddle charges no less than 70.',
    ),
    (
        'currency = "EUR"',
        'currency = "JPY"\nleast_charge = 200',
        'the pack "few" costs 199, and Paddle charges no less than 200.',
    ),
    (
        'currency = "EUR"',
        'currency = "EUR"\nleast_charge = 0',
        "least_charge: Expected `int` >= 1.",
    ),
    ("[pay_as_you_go]\nunit_amount = 20", "", "Object missing required field `pay_as_you_go`."),
    ('"EUR"', '"euro"', "currency: Expected `str` matching regex "),
    ('"A few"', '""', "packs[0].name: Expected `str` of length >= 1."),
    ("amount = 199", "amount = nan", "packs[0].amount: Expected `int`, got `float`."),
    ("[[packs]]", "[[pack]]", "Object contains unknown field `pack`."),
    ("[[packs]]", "[packs", "it is no TOML: "),
]


@pytest.mark.parametrize("right, wrong, sentence", MISTAKES)
def test_each_mistake_is_named(tmp_path: Path, right: str, wrong: str, sentence: str) -> None:
    assert GOOD.count(right) == 1 or right == "amount = 500"
    with pytest.raises(CatalogueError) as error:
        loaded(tmp_path, GOOD.replace(right, wrong, 1))
    assert str(error.value).startswith(
        f"The catalogue {tmp_path / 'plans.toml'} cannot be used: {sentence}"
    )


@pytest.mark.parametrize("what, name", [("plan", "basic"), ("pack", "few")])
def test_no_name_stands_twice(tmp_path: Path, what: str, name: str) -> None:
    entry = GOOD[GOOD.index(f"[[{what}s]]") :].partition("\n\n")[0]
    with pytest.raises(CatalogueError, match=f'the {what} "{name}" is there 2 times'):
        loaded(tmp_path, f"{GOOD}\n{entry}\n")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"could not be read \(No such file or directory\)"):
        load_catalogue(tmp_path / "missing.toml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no UTF-8 text"):
        loaded(tmp_path, b"\xff")
