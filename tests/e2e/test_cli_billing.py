"""The billing commands that sell: what they print, give as JSON, and say of mistakes."""

import re
from collections.abc import Sequence

import pytest

from storecredit.billing.catalogue import CATALOGUE_FILE
from storecredit.cli.output import money
from tests.e2e.conftest import Storecredit
from tests.e2e.page_commands import Page
from tests.e2e.seller import NOBODY, Seller, fields, named, row_of

# What is on sale


def test_plans_shows_what_is_on_sale_without_a_database(new_storecredit: Storecredit) -> None:
    shown = new_storecredit("billing", "plans")
    assert shown.errors.startswith("Billing is off here")
    assert row_of(shown, "starter").split() == ["starter", "350", "49.00", "USD", "0.16", "USD"]
    assert row_of(shown, "scale").split() == ["scale", "1800", "199.00", "USD", "0.12", "USD"]
    assert re.search(r"single credits, 4 to 5,000 at a time, for 0\.18 USD each", shown.output)
    assert "25 credits" in row_of(shown, "small")
    assert row_of(shown, "small").rstrip().endswith(" 4.99 USD")
    assert "A generation costs 1 credit.\n" in shown.output

    in_json = new_storecredit("billing", "plans", "--json").json()
    assert set(in_json) == fields("CatalogueView") | {"packs"}
    assert set(in_json["plans"][0]) == fields("PlanView")
    assert in_json["credits"] == {"unit_amount": 18, "min": 4, "max": 5000}
    assert in_json["packs"][0] == {
        "pack_id": "small",
        "name": "25 credits",
        "credits": 25,
        "amount": 499,
        "currency": "USD",
    }
    assert not new_storecredit.data_dir.exists()


def test_plans_shows_a_catalogue_of_your_own(new_storecredit: Storecredit) -> None:
    own = new_storecredit.directory / "own.toml"
    text = CATALOGUE_FILE.read_text()
    (prices,) = Page("docs/prices.md").blocks("toml")
    text = text.replace("[generation]\ncredits = 1\n", prices)
    text = text.replace('"starter"\n', '"starter"\nrollover = "none"\n')
    text = text.replace('"scale"\n', '"scale"\nrollover = 1000\n')
    text = text.replace("= 499\n", "= 499\nexpires_after_days = 90\n")
    own.write_text(text.replace('"USD"', '"JPY"').replace('"growth"', '"big"'))

    shown = new_storecredit("billing", "plans", STORECREDIT_PLANS_FILE="own.toml")

    assert row_of(shown, "big").split() == ["big", "800", "9,900", "JPY", "14", "JPY"]
    assert "growth" not in shown.output
    assert "A month's credits of starter expire with it, all of them." in shown.output
    assert "of scale expire with it, but for 1,000 that live on for another." in shown.output
    assert "Credits of the pack small expire after 90 days." in shown.output
    assert "A generation costs 2 credits; " in shown.output
    assert row_of(shown, "1536x1024").split() == ["size", "1536x1024", "2", "4"]
    assert row_of(shown, "high").split() == ["quality", "high", "3", "6"]


@pytest.mark.parametrize(
    "content, told",
    [
        (None, "could not be read"),
        ("currency = ", "no TOML"),
        ('currency = "dollars"\n[pay_as_you_go]\nunit_amount = 18', "currency"),
        ('currency = "USD"\n[pay_as_you_go]\nunit_amount = 0.18', "pay_as_you_go.unit_amount"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_named_with_what_is_wrong(
    new_storecredit: Storecredit, content: str | None, told: str
) -> None:
    if content is not None:
        (new_storecredit.directory / "own.toml").write_text(content)
    sentence = new_storecredit("billing", "plans", STORECREDIT_PLANS_FILE="own.toml").sentence(2)
    assert "own.toml" in sentence
    assert told in sentence


@pytest.mark.parametrize("command", ["billing problems", "serve --port 0", "worker"])
def test_nothing_runs_with_a_catalogue_that_cannot_be_used(seller: Seller, command: str) -> None:
    told = seller(*command.split(), STORECREDIT_PLANS_FILE="own.toml").sentence(2)
    assert "own.toml" in told


@pytest.mark.parametrize(
    "amount, currency, text",
    [
        (4900, "USD", "49.00 USD"),
        (5, "EUR", "0.05 EUR"),
        (123_456_789, "USD", "1,234,567.89 USD"),
        (4900, "JPY", "4,900 JPY"),
        (123_456, "HUF", "1,234.56 HUF"),
        (-150, "USD", "-1.50 USD"),
    ],
)
def test_amounts_are_written_as_people_write_them(amount: int, currency: str, text: str) -> None:
    assert money(amount, currency) == text


# Checkouts


def test_checkout_opens_a_purchase_of_credits_that_can_be_repeated(seller: Seller) -> None:
    order = ("billing", "checkout", seller.store_id, "--credits", 500, "--request-id", "order-7")

    opened = seller(*order, "--json")
    again = seller(*order)

    view = opened.json()
    assert set(view) == fields("CheckoutView")
    assert (view["purchase_type"], view["plan"]) == ("credits", "pay_as_you_go")
    assert (view["credits"], view["amount"], view["currency"]) == (500, 9000, "USD")
    assert opened.errors == ""
    assert view["transaction_id"] in view["checkout_url"]
    shown = named(again)
    assert (shown["price"], shown["request_id"]) == ("90.00 USD", "order-7")
    assert shown["transaction_id"] == view["transaction_id"]
    assert "nothing new was begun" in again.errors
    (sold,) = [
        t for t in seller.paddle.state()["transactions"] if t["id"] == view["transaction_id"]
    ]
    assert sold["custom_data"]["store_id"] == seller.store_id


def test_checkout_of_a_plan_names_a_request_id_of_its_own(seller: Seller) -> None:
    shown = named(seller("billing", "checkout", seller.store_id, "--plan", "growth"))
    assert (shown["plan"], shown["credits"], shown["price"]) == ("growth", "800", "99.00 USD")
    assert shown["purchase_type"] == "subscription"
    assert re.fullmatch(r"req_[0-9a-f-]{36}", shown["request_id"])


@pytest.mark.parametrize(
    "order, told",
    [
        ((), "--plan or --credits, one of the two"),
        (("--plan", "growth", "--credits", 5), "--plan or --credits, one of the two"),
        (("--plan", "gold"), "starter, growth, scale"),
        (("--credits", 5001), "4 to 5,000"),
    ],
)
def test_an_order_that_makes_no_sense_sells_nothing(
    seller: Seller, order: Sequence[object], told: str
) -> None:
    before = len(seller.paddle.state()["transactions"])
    sentence = seller("billing", "checkout", seller.store_id, *order).sentence(2)
    assert told in sentence
    assert sentence.endswith("Nothing was sold.")
    assert len(seller.paddle.state()["transactions"]) == before


@pytest.mark.parametrize(
    "arguments, wrong",
    [
        (("billing", "checkout", NOBODY, "--credits", 0), "--credits"),
        (("billing", "checkout", NOBODY, "--credits", 5, "--request-id", "é"), "--request-id"),
        (("billing", "retry"), "EVENT_ID"),
        (("billing", "dismiss"), "PROBLEM_ID"),
        (("store", "overage", NOBODY), "--limit"),
        (("store", "overage", NOBODY, "--limit", -1), "--limit"),
        (("store", "top-up", NOBODY, "--threshold", 5), "--credits"),
        (("store", "top-up", NOBODY, "--threshold", 5, "--credits", 5, "--off"), "--off"),
        (("store", "top-up", NOBODY, "--max-per-day", 5), "--threshold"),
        (("store", "top-up", NOBODY, "--off", "--max-per-month", 5), "--threshold"),
    ],
)
def test_a_wrong_argument_is_named(
    new_storecredit: Storecredit, arguments: Sequence[object], wrong: str
) -> None:
    done = new_storecredit(*arguments)
    assert (done.status, done.output) == (2, "")
    assert "Traceback" not in done.errors
    assert wrong in done.errors
    assert not new_storecredit.data_dir.exists()


def test_a_request_id_sells_one_thing(seller: Seller) -> None:
    name = ("billing", "checkout", seller.store_id, "--request-id", "order-7")
    assert seller(*name, "--credits", 5).status == 0
    assert "Nothing was sold" in seller(*name, "--credits", 6).sentence()
    granted = ("credits", "add", seller.store_id, 5, "--request-id", "gift")
    assert seller(*granted).status == 0
    told = seller("billing", "checkout", seller.store_id, "--credits", 5, "--request-id", "gift")
    assert "used for something else" in told.sentence()


@pytest.mark.parametrize(
    "arguments",
    [
        ("billing", "checkout", NOBODY, "--credits", 5),
        ("billing", "subscriptions", NOBODY),
        ("store", "overage", NOBODY, "--limit", 5),
        ("store", "top-up", NOBODY),
    ],
)
def test_an_unknown_store_is_named(seller: Seller, arguments: Sequence[object]) -> None:
    assert NOBODY in seller(*arguments).sentence()


@pytest.mark.parametrize("unset", ["API_KEY", "WEBHOOK_SECRET"])
def test_with_billing_off_a_checkout_says_what_to_set(seller: Seller, unset: str) -> None:
    variables = {f"STORECREDIT_PADDLE_{unset}": ""}
    told = seller("billing", "checkout", seller.store_id, "--credits", 5, **variables).sentence(2)
    assert "Billing is off" in told
    assert "STORECREDIT_PADDLE_API_KEY" in told
    assert "STORECREDIT_PADDLE_WEBHOOK_SECRET" in told


def test_where_paddle_cannot_be_reached_the_same_request_may_be_repeated(seller: Seller) -> None:
    order = ("billing", "checkout", seller.store_id, "--credits", 5)
    seller.paddle.tell("fail", failures=["DO_THEN_BREAK_OFF"])

    told = seller(*order).sentence()

    (request_id,) = re.findall(r"--request-id (req_[0-9a-f-]{36})\.$", told)
    repeated = seller(*order, "--request-id", request_id, "--json")
    assert repeated.json()["request_id"] == request_id


def test_what_paddle_refuses_is_told_without_the_key(seller: Seller) -> None:
    order = ("billing", "checkout", seller.store_id, "--credits", 5)
    told = seller(*order, STORECREDIT_PADDLE_API_KEY="pdl_sdbx_apikey_another").sentence()
    assert "Paddle refuses" in told
    assert "invalid_token" in told
    assert "apikey_another" not in told


@pytest.mark.parametrize(
    "variables, named_variables",
    [
        ({"JWT_SECRET": ""}, ["STORECREDIT_JWT_SECRET"]),
        (
            {"PADDLE_WEBHOOK_TOLERANCE_SECONDS": "301"},
            ["STORECREDIT_PADDLE_WEBHOOK_TOLERANCE_SECONDS"],
        ),
        ({"PADDLE_API_URL": "paddle"}, ["STORECREDIT_PADDLE_API_URL"]),
        (
            {"CHARGE_SETTLE_SECONDS": "1"},
            ["STORECREDIT_CHARGE_SETTLE_SECONDS", "STORECREDIT_PADDLE_TIMEOUT_SECONDS"],
        ),
    ],
)
def test_wrong_settings_are_told_by_their_variables(
    seller: Seller, variables: dict[str, str], named_variables: Sequence[str]
) -> None:
    given = {f"STORECREDIT_{name}": value for name, value in variables.items()}
    told = seller("serve", "--port", 0, **given).sentence(2)
    for name in named_variables:
        assert name in told
    assert "sesame" not in told
