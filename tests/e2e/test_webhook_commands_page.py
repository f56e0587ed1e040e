"""The commands of docs/webhooks.md, run as they stand there, against a receiver on this machine."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.e2e.conftest import Storecredit, until
from tests.e2e.page_commands import Page, run

PAGE = Page("docs/webhooks.md")
TOKEN = "operator"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is told, and says thank you."""

    def __init__(self) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks"

    def types(self) -> list[str]:
        """The types of what came, the first first."""
        return [json.loads(body)["type"] for _, body in self.told]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append(
            ({name.lower(): value for name, value in self.headers.items()}, body)
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"thank you")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def data_in(shown: str) -> list[dict[str, Any]]:
    """The data of the answers that were printed one after the other."""
    decoder, found = json.JSONDecoder(), []
    while shown := shown.strip():
        answer, end = decoder.raw_decode(shown)
        assert answer["error"] is None, answer
        found.append(answer["data"])
        shown = shown[end:]
    return found


@pytest.fixture
def reader(storecredit: Storecredit, receiver: Receiver, commands: str) -> "Reader":
    """A reader of the page, with a store of a service that runs."""
    serving = storecredit.serve(STORECREDIT_ADMIN_TOKEN=TOKEN, STORECREDIT_ALLOW_PRIVATE_HOSTS="1")
    store = serving.made_store(TOKEN)
    given = {"STORE": store["store_id"], "KEY": store["api_key"], "URL": serving.url}
    return Reader(storecredit, commands, receiver.url, given)


def test_the_page_registers_tests_resends_and_rotates(reader: "Reader", receiver: Receiver) -> None:
    created, _ = PAGE.blocks("json")
    made = reader.register()
    assert list(made) == list(json.loads(created)["data"])
    assert re.fullmatch("whsec_[A-Za-z0-9+/]{43}=", made["secret"])

    [tested] = data_in(reader.run("ENDPOINT="))
    until(lambda: receiver.types() == ["webhook.test"], "the test has come")
    assert receiver.told[0][0]["webhook-id"] == tested["event_id"]
    assert_signed(receiver.told[0], made["secret"])
    assert_sent_again(reader, receiver, tested["event_id"])

    [rotated] = data_in(reader.run('curl -s "$URL/api/v1/webhooks/$ENDPOINT/rotate"'))
    shown = reader.run("storecredit webhook create")
    assert re.search(r"^event_types +billing\.problem, verify\.failed$", shown, re.MULTILINE)
    assert "thank you" in shown
    assert_signed(receiver.told[2], made["secret"], rotated["secret"])
    updated = reader.run("storecredit store update")
    assert re.search(r"^low_threshold +25$", updated, re.MULTILINE)
    assert reader.used == PAGE.blocks(), "every block was run"


def assert_sent_again(reader: "Reader", receiver: Receiver, event_id: str) -> None:
    """What is shown of the delivery, and that it comes again as it came."""
    _, listed = (json.loads(each)["data"] for each in PAGE.blocks("json"))

    def delivery() -> dict[str, Any]:
        [page] = data_in(reader.run('curl -s "$URL/api/v1/webhooks/$ENDPOINT/deliveries'))
        assert len(page["items"]) == 1
        item: dict[str, Any] = page["items"][0]
        return item

    until(lambda: delivery()["status"] == "delivered", "it is known to be delivered")
    assert list(delivery()) == list(listed["items"][0])
    reader.replaced["evt_e4971b57f1d94a59a0015c2d933816b4"] = event_id
    answers = data_in(reader.run("EVENT="))
    assert [each["resent"] for each in answers] == [1, 0], "one, and none that failed"
    until(lambda: len(receiver.told) == 2, "it has come again")
    assert receiver.told[1][0]["webhook-id"] == event_id
    assert receiver.told[1][1] == receiver.told[0][1]


def assert_signed(told: tuple[dict[str, str], bytes], *secrets: str) -> None:
    """By each of them, as the official library has it."""
    headers, body = told
    for secret in secrets:
        Webhook(secret).verify(body, headers)


class Reader:
    """Who reads the page, and replaces what a reader replaces."""

    def __init__(
        self, storecredit: Storecredit, commands: str, url: str, given: dict[str, str]
    ) -> None:
        self._directory: Path = storecredit.directory
        self._environment = storecredit.environment | {
            "PATH": commands,
            "STORECREDIT_ALLOW_PRIVATE_HOSTS": "1",
        }
        self._given = given
        self.replaced = {"https://hats.example/hooks": url, "https://ops.example/hooks": url}
        self.used: list[str] = []

    def register(self) -> dict[str, Any]:
        """The endpoint that the page makes; it is the one that it speaks of from then on."""
        [made] = data_in(self.run('curl -s "$URL/api/v1/webhooks" '))
        self.replaced["01a22c60-529f-76bd-b4ec-02a194a64aad"] = made["endpoint_id"]
        self._given["ENDPOINT"] = made["endpoint_id"]
        return made

    def run(self, first_words: str) -> str:
        """What the block that begins so prints."""
        block = PAGE.block(first_words)
        if block not in self.used:
            self.used.append(block)
        for old, new in self.replaced.items():
            block = block.replace(old, new)
        return run(block, self._environment | self._given, self._directory)
