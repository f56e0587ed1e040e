"""Every command in docs/ does what its page says: the blocks are run as they stand.

What a reader is told to replace is replaced here: the key, the store's id, the event's, Paddle's
secrets. Beside that only the ports, which may be taken. What the
app's page installs is what tests/web/test_trpc_types.py compiles its client with, and nothing else.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.conftest import processes_naming, until
from tests.e2e.paddle_process import Paddle, paddle_process
from tests.e2e.page_commands import ROOT, RUN_MAX_SECONDS, Page, as_installed, key_in, run, running
from tests.free_ports import free_port
from tests.process_ends import left_after

B2C = Page("docs/b2c.md")
PADDLE = Page("docs/paddle.md")
TOKEN = "operator"


@contextmanager
def serving(
    commands: str, environment: dict[str, str], directory: Path
) -> Iterator[dict[str, str]]:
    """The service as the page starts it; the environment of a second terminal."""
    with running(commands, environment, directory / "log", directory):
        yield environment


def results(shown: str) -> list[Any]:
    """The answers that were printed, one line each."""
    return [json.loads(line) for line in shown.splitlines() if line.startswith("{")]


def shape(value: Any) -> Any:
    """What remains of an answer when its times are left out."""
    text = json.dumps(value)
    return json.loads(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "(a time)", text))


# docs/b2c.md


@pytest.mark.usefixtures("database_made_before")
def test_the_b2c_page_answers_as_shown(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    with serving(B2C.block("export STORECREDIT_JWT_SECRET"), environment, tmp_path):
        commands = B2C.block("TOKEN=$(").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        first = results(run(commands, environment, tmp_path))
        again = results(run(commands, environment, tmp_path))
        types = B2C.block("curl -s -o").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        run(types, environment, tmp_path)

    kept = Path("docs/trpc.d.ts").read_text(encoding="utf-8")
    assert (tmp_path / "storecredit.d.ts").read_text(encoding="utf-8") == kept
    (shown,) = B2C.blocks("json")
    balance, created, transactions = first
    assert shape(balance) == shape(json.loads(shown))
    queued = created["result"]["data"]["json"]
    assert set(queued) == {"sessionId", "status", "message"}
    (generation, bonus) = transactions["result"]["data"]["json"]
    assert (bonus["type"], bonus["amount"]) == ("signup_bonus", 10)
    assert (generation["type"], generation["amount"]) == ("generation", -1)
    assert set(generation) == {"id", "amount", "type", "description", "created_at"}
    # The same request id: the first generation again, and no second credit.
    assert again[1] == created
    assert again[2] == transactions
    assert again[0]["result"]["data"]["json"]["balance"] == 9


@pytest.mark.usefixtures("database_made_before")
def test_the_b2c_page_helps_a_user_and_erases_one(
    tmp_path: Path, environment: dict[str, str], port: int
) -> None:
    (user_id,) = set(re.findall(r'(?:"sub": "|user erase )([0-9a-f-]{36})', B2C.text))
    with serving(B2C.block("export STORECREDIT_JWT_SECRET"), environment, tmp_path):
        # The page's own token is the user's: who calls is whom the operator helps.
        calls = B2C.block("TOKEN=$(").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        run(calls, environment, tmp_path)
        listing, *helping, block, unblock = B2C.block("storecredit user list").splitlines()
        # Below 1 there is none; with 9 credits it is listed first.
        assert run(listing, environment, tmp_path) == ""
        near = listing.replace("--below 1 ", "--below 10 ")
        assert user_id in run(near, environment, tmp_path)

        show, history, credits, add = (run(each, environment, tmp_path) for each in helping)
        assert re.search(r"^status +active$", show, re.MULTILINE)
        assert re.search(r"^balance +9$", show, re.MULTILINE)
        assert {"deduction", "signup_bonus", "look-1"} <= set(history.split())
        assert re.search(r"^total_spent +1$", credits, re.MULTILINE)
        assert "The balance is 14." in add
        assert "for the trouble" in run(helping[1], environment, tmp_path)

        assert re.search(r"^status +blocked$", run(block, environment, tmp_path), re.MULTILINE)
        until(lambda: is_refused(run(calls, environment, tmp_path)), "the blocked user is refused")
        assert re.search(r"^status +active$", run(unblock, environment, tmp_path), re.MULTILINE)
        until(lambda: not is_refused(run(calls, environment, tmp_path)), "the user is let in")

        erased = run(B2C.block("storecredit user erase"), environment, tmp_path)
        assert re.search(r"^status +erased$", erased, re.MULTILINE)
        until(lambda: is_refused(run(calls, environment, tmp_path)), "the erased user is refused")
        shown = run(helping[0], environment, tmp_path)
        assert re.search(r"^erased_at +\d{4}-", shown, re.MULTILINE)


def is_refused(shown: str) -> bool:
    """Whether each call was refused as forbidden: a change is known within a second."""
    codes = {
        each["error"]["json"]["data"]["code"] if "error" in each else None
        for each in results(shown)
    }
    assert codes <= {"FORBIDDEN", None}, shown
    return codes == {"FORBIDDEN"}


# docs/paddle.md


@contextmanager
def shop(
    environment: dict[str, str], directory: Path, port: int, paddle_port: int
) -> Iterator[Path]:
    """`make shop`, on ports of its own, until Ctrl-C; its log."""
    ports = f" SHOP_PORT={port} PADDLE_PORT={paddle_port}"
    command = as_installed(PADDLE.block("make shop")).rstrip() + ports
    with running(command, environment, directory / "log") as log:
        yield log


def stand_ins(port: int) -> list[psutil.Process]:
    """The processes that stand in for Paddle on this port."""
    return processes_naming(f"--paddle-port {port}")


def lines_to_paste(log: Path) -> str:
    """The lines that the demo prints to be pasted."""
    printed = re.compile(
        r"Paste this into another terminal:\n\n(.*?)\nModeration blocks", re.DOTALL
    )
    until(lambda: printed.search(log.read_text()) is not None, "the lines are printed")
    found = printed.search(log.read_text())
    assert found is not None
    return found[1]


@pytest.fixture
def paddle_port() -> Iterator[int]:
    """A free port for the shop's Paddle; nothing that a test left there outlives it."""
    number = free_port()
    yield number
    for left in stand_ins(number):
        left.kill()


def test_make_shop_sells_as_its_lines_say_and_ctrl_c_leaves_nothing_behind(
    tmp_path: Path, environment: dict[str, str], port: int, paddle_port: int
) -> None:
    with shop(environment, tmp_path, port, paddle_port) as log:
        pasted = subprocess.run(
            ["bash"],
            input=lines_to_paste(log),
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=RUN_MAX_SECONDS,
            check=True,
        )
        begun = [*processes_naming(tmp_path / "data"), *stand_ins(paddle_port)]
        assert len(begun) > 1, "PostgreSQL and the stand-in"

    *_, checkout, ledger, balance = results(pasted.stdout)
    assert pasted.stderr == ""
    assert (checkout["data"]["credits"], checkout["data"]["amount"]) == (50, 900)
    assert str(paddle_port) in checkout["data"]["checkout_url"]
    (purchase,) = [row for row in ledger["data"]["items"] if row["type"] == "purchase"]
    assert (purchase["amount"], purchase["request_id"]) == (50, checkout["data"]["request_id"])
    assert balance["data"]["balance"] == 149

    assert left_after(begun, RUN_MAX_SECONDS) == []
    assert processes_naming(tmp_path / "data") == []
    assert stand_ins(paddle_port) == []
    for each in (port, paddle_port):
        with socket.create_server(("127.0.0.1", each)):
            pass


@pytest.mark.parametrize("taken", ["SHOP_PORT", "PADDLE_PORT"])
def test_make_shop_on_a_taken_port_says_so_in_one_sentence_and_starts_nothing(
    tmp_path: Path, environment: dict[str, str], port: int, paddle_port: int, taken: str
) -> None:
    ports = {"SHOP_PORT": port, "PADDLE_PORT": paddle_port}
    command = as_installed(PADDLE.block("make shop")).split()
    with socket.create_server(("127.0.0.1", ports[taken])):
        refused = subprocess.run(
            [*command, *(f"{name}={number}" for name, number in ports.items())],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=RUN_MAX_SECONDS,
            check=False,
        )
    said, *by_make = refused.stderr.splitlines()
    assert said == (
        f"Cannot listen on 127.0.0.1 port {ports[taken]}: Address already in use."
        f" Choose another with `make shop {taken}=…`."
    )
    assert [line.startswith("make: ***") for line in by_make] == [True]
    assert (refused.stdout, refused.returncode) == ("", 2)
    assert not (tmp_path / "data").exists()
    assert stand_ins(paddle_port) == []


@pytest.mark.usefixtures("database_made_before")
def test_the_line_that_make_shop_prints_lets_a_second_terminal_sell(
    tmp_path: Path, environment: dict[str, str], port: int, paddle_port: int
) -> None:
    checkout = PADDLE.block("storecredit billing checkout")
    with shop(environment, tmp_path, port, paddle_port) as log:
        key_in(log)
        printed = log.read_text()
        (export,) = re.findall(r"^export STORECREDIT_PADDLE_.*$", printed, re.MULTILINE)
        (store_id,) = re.findall(r"The store Demo \(([0-9a-f-]{36})\)", printed)
        sold = run(f"{export}\nSTORE_ID={store_id}\n{checkout}", environment, tmp_path)
    assert f"127.0.0.1:{paddle_port}" in sold
    assert "99.00 USD" in sold


def test_the_shop_has_data_of_its_own_beside_that_of_make_run(
    tmp_path: Path, environment: dict[str, str], port: int, paddle_port: int
) -> None:
    del environment["STORECREDIT_DATA_DIR"]
    run("storecredit demo", environment, tmp_path)
    command = f"{sys.executable} -m stand_ins.shop --port {port} --paddle-port {paddle_port}"
    there = environment | {"PYTHONPATH": str(ROOT)}

    with running(command, there, tmp_path / "log", tmp_path) as log:
        lines_to_paste(log)
        printed = log.read_text()
        (export,) = re.findall(r"^export STORECREDIT_PADDLE_.*$", printed, re.MULTILINE)
        (store_id,) = re.findall(r"The store Demo \(([0-9a-f-]{36})\)", printed)
        assert store_id in run(f"{export}\nstorecredit store list", environment, Path("/"))
    assert "A purchase of 50 credits" in printed
    assert store_id not in run("storecredit store list", environment, tmp_path)


@pytest.mark.usefixtures("database_made_before")
def test_the_checkouts_address_opens_in_a_browser(
    tmp_path: Path, environment: dict[str, str], port: int, paddle_port: int
) -> None:
    with shop(environment, tmp_path, port, paddle_port) as log:
        bought = httpx.post(
            f"http://127.0.0.1:{port}/api/v1/billing/checkout",
            headers={"Authorization": f"Bearer {key_in(log)}"},
            json={"plan": "starter"},
        )
        page = httpx.get(bought.raise_for_status().json()["data"]["checkout_url"])
        assert page.headers["content-type"].startswith("text/html")
        assert "58.80 USD" in page.text


@pytest.fixture
def paddle(port: int) -> Iterator[Paddle]:
    """Paddle, which tells the service what happens."""
    with paddle_process("--webhook-url", f"http://127.0.0.1:{port}/webhooks/paddle") as running:
        yield running


SUBSCRIPTIONS = "storecredit billing subscriptions $STORE_ID"


def assert_goes_beyond_and_tops_up(
    read: Callable[[str], str], subscriptions: Callable[[], str], paddle: Paddle
) -> None:
    """Overage, and a top-up once the store has paid for the plan that the page names."""
    assert re.search(r"^overage_limit +200$", read("storecredit store overage"), re.MULTILINE)
    subscribing = re.findall(r"\btxn_\w+", read("storecredit billing checkout"))
    paddle.tell("pay", transaction_id=subscribing[0])
    until(lambda: "growth" in subscriptions(), "the subscription runs")
    topped_up = read("storecredit store top-up")
    assert re.search(r"^status +on$", topped_up, re.MULTILINE)
    assert re.search(r"^price +90\.00 USD$", topped_up, re.MULTILINE)


def booked_by_hand(read: Callable[..., str], paddle: Paddle) -> str:
    """What the page's command says of a purchase that was paid, and of which nothing was told."""
    checkout = "curl -s http://127.0.0.1:8080/api/v1/billing/checkout"
    (opened,) = results(read(checkout, **{"purchase-17": "purchase-18"}))
    transaction_id = opened["data"]["transaction_id"]
    paddle.tell("deliver", on=False)
    paddle.tell("pay", transaction_id=transaction_id)
    return read("storecredit billing book", **{"$TRANSACTION_ID": transaction_id})


@pytest.mark.usefixtures("database_made_before")
def test_the_paddle_page_sets_up_sells_and_shows_what_needs_a_look(
    tmp_path: Path, environment: dict[str, str], port: int, paddle: Paddle
) -> None:
    # The reader's own secrets, and where Paddle is; the page names only the live and the sandbox.
    set_up = (
        PADDLE.block("export STORECREDIT_PADDLE_API_KEY")
        .replace("pdl_live_apikey_…", paddle.key)
        .replace("pdl_ntfset_…", paddle.secret)
    )
    exports = set_up.replace("storecredit serve\n", "")
    reader = environment | {
        "STORECREDIT_ADMIN_TOKEN": TOKEN,
        "STORECREDIT_PADDLE_API_URL": paddle.url,
        "STORECREDIT_PADDLE_WEBHOOK_TOLERANCE_SECONDS": "300",
    }
    with serving(set_up, reader, tmp_path):
        create = "storecredit store create --name Hats --shop-domain hats.example --json"
        store = json.loads(run(create, reader, tmp_path))
        given = f"STORE_ID={store['store_id']} KEY={store['api_key']}\n"

        def read(first_words: str, **replaced: str) -> str:
            commands = PADDLE.block(first_words).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            for old, new in replaced.items():
                commands = commands.replace(old, new)
            return run(given + exports + commands, reader, tmp_path)

        (bought,) = results(read("curl -s http://127.0.0.1:8080/api/v1/billing/checkout"))
        assert bought["data"]["request_id"] == "purchase-17"
        assert (bought["data"]["credits"], bought["data"]["amount"]) == (500, 9000)
        assert "99.00 USD" in read("storecredit billing checkout")
        assert_goes_beyond_and_tops_up(
            read,
            lambda: run(f"{given}{exports}{SUBSCRIPTIONS}", reader, tmp_path),
            paddle,
        )
        # An event that came before what it is about is listed until it is tried again.
        until(lambda: read("storecredit billing problems") == "", "nothing needs a look")

        transaction_id = bought["data"]["transaction_id"]
        paddle.tell("pay", transaction_id=transaction_id)
        paddle.tell("adjust", transaction_id=transaction_id, action="chargeback_reverse")
        until(lambda: transaction_id in read("storecredit billing problems"), "it is shown")
        (event_id,) = re.findall(r"evt_\w+", read("storecredit billing problems"))
        (retry,) = re.findall(r"`(storecredit billing retry) EVENT_ID`", PADDLE.text)
        assert event_id in run(f"{exports}{retry} {event_id}", reader, tmp_path)
        until(lambda: event_id in read("storecredit billing problems"), "it is set aside again")
        (dismiss,) = re.findall(r"`(storecredit billing dismiss) PROBLEM_ID`", PADDLE.text)
        assert event_id in run(f"{exports}{dismiss} {event_id}", reader, tmp_path)
        assert read("storecredit billing problems") == ""

        booked = booked_by_hand(read, paddle)
        assert re.search(r"^credits +5000$", booked, re.MULTILINE)
        assert re.search(r"^price +90\.00 USD$", booked, re.MULTILINE)


@pytest.mark.parametrize(
    "page, beginnings",
    [
        (
            B2C,
            [
                ["export", "STORECREDIT_JWT_SECRET=a-secret-of-32-characters-or-more"],
                ["TOKEN=$(python3", "-"],
                ["npm", "i"],
                ["curl", "-s"],
                ["storecredit", "user"],
                ["storecredit", "user"],
            ],
        ),
        (
            PADDLE,
            [
                ["make", "shop"],
                ["export", "STORECREDIT_PADDLE_API_KEY=pdl_live_apikey_…"],
                ["curl", "-s"],
                ["storecredit", "billing"],
                ["storecredit", "billing"],
                ["storecredit", "billing"],
                ["storecredit", "store"],
                ["storecredit", "store"],
            ],
        ),
    ],
)
def test_every_block_of_commands_is_run_by_one_of_these_tests(
    page: Page, beginnings: list[list[str]]
) -> None:
    assert [text.split()[0:2] for text in page.blocks()] == beginnings
    assert set(re.findall(r"^```(\w+)", page.text, re.MULTILINE)) <= {*("sh", "json", "ts", "toml")}
