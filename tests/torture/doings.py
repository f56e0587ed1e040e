"""What clients do: everything by which the API moves credits, at random, one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from random import Random
from typing import Any, Final
from urllib.parse import quote

from tests.torture.asking import Asking, Told, Wish
from tests.torture.parties import Party, admin_secret

IMAGE_URL: Final = "https://images.example/a.png"
AMOUNT_MAX: Final = 12
BATCH_MAX: Final = 6
ADDED_MAX: Final = 120
LONG_HOLD_SECONDS: Final = 24 * 3600
THINK_MAX_SECONDS: Final = 0.08
WATCH_MIN_SECONDS: Final = 0.3
WATCH_MAX_SECONDS: Final = 3.0

NEVER_ASKED: Final = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}

Doing = Callable[[], Awaitable[None]]


class Doer:
    """One client of a party: its doings, of which each ends before the next one begins."""

    def __init__(
        self, party: Party, others: Sequence[Party], asking: Asking, name: str, seed: str
    ) -> None:
        """`others` may be given credits of this party."""
        self.party = party
        self.name = name
        self.random = Random(f"{seed} {name}")
        self._others = others
        self._asking = asking
        self._ids = 0
        self._watching: set[asyncio.Task[None]] = set()

    def doings(self) -> Mapping[Doing, int]:
        """What it does, and how often."""
        return {
            self._spend: 30,
            self._spend_many: 12,
            self._hold: 20,
            self._generate: 10,
            self._look: 16,
            self._be_given: 6,
            self._be_taken: 3,
            self._hand_over: 3,
        }

    async def run(self) -> None:
        """Until everybody is told to stop; what was begun is finished."""
        doings = self.doings()
        while not self._asking.stopping.is_set():
            (doing,) = self.random.choices(list(doings), list(doings.values()))
            await doing()
            await asyncio.sleep(self.random.uniform(0, THINK_MAX_SECONDS))
        await asyncio.gather(*self._watching)

    async def _spend(self) -> None:
        key, amount = self.new_id(), self.random.randint(1, AMOUNT_MAX)
        told = await self.move("spend", "/spend", {"amount": amount}, key, amount=amount)
        if told is not None and told.is_well:
            await self._give_back(key, amount)

    async def _spend_many(self) -> None:
        count = self.random.randint(2, BATCH_MAX)
        items = [(self.new_id(), self.random.randint(1, AMOUNT_MAX)) for _ in range(count)]
        sent = [{"request_id": key, "amount": amount} for key, amount in items]
        told = await self.move("batch", "/spend/batch", {"items": sent}, self.new_id(), items=items)
        if told is not None and told.is_well:
            made = [item for item in told.data["items"] if item["outcome"] in {"spent", "replayed"}]
            if made:
                chosen = self.random.choice(made)
                await self._give_back(chosen["request_id"], chosen["amount"])

    async def _give_back(self, of: str, amount: int) -> None:
        """Nothing, or a part, or all of what was taken under a request id; in parts."""
        left = amount
        while left and self.random.random() < 0.45:
            part = self.random.randint(1, left)
            left -= part
            path = f"/spend/{quote(of, safe='')}/refund"
            said = {"of": of, "amount": part}
            if await self.move("refund", path, {"amount": part}, self.new_id(), **said) is None:
                return

    async def _hold(self) -> None:
        await self.hold(LONG_HOLD_SECONDS)

    async def hold(self, seconds: int) -> None:
        """Set credits aside, and end that one way or the other; now and then both at once."""
        key, amount = self.new_id(), self.random.randint(1, AMOUNT_MAX)
        body = {"amount": amount, "expires_in_seconds": seconds}
        told = await self.move("hold", "/holds", body, key, amount=amount)
        if told is None or not told.is_well:
            return
        hold_id = told.data["hold_id"]
        await asyncio.sleep(self.random.uniform(0, THINK_MAX_SECONDS))
        captured = self.random.choice((amount, self.random.randint(1, amount)))
        said = {"hold": hold_id, "of": key}
        ends = [
            self.move(
                "capture",
                f"/holds/{hold_id}/capture",
                {"amount": captured},
                self.new_id(),
                amount=captured,
                **said,
            ),
            self.move("release", f"/holds/{hold_id}/release", None, self.new_id(), **said),
        ]
        self.random.shuffle(ends)
        if self.random.random() < 0.7:
            ends.pop().close()
        await asyncio.gather(*ends)

    async def _generate(self) -> None:
        key = self.new_id()
        path, body = "/api/trpc/generation.create", {"json": {"modelImageUrl": IMAGE_URL}}
        wish = Wish("create", *self._own("POST", path), body, key)
        if self.party.is_store:
            where = self._own("POST", "/api/v1/generation/create")
            wish = Wish("create", *where, {"image_urls": [IMAGE_URL]}, key)
        told = await self.ask(wish)
        if told is None or not told.is_well:
            return
        session_id = told.data["session_id" if self.party.is_store else "sessionId"]
        watching = asyncio.create_task(self._watch(session_id, key))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)

    async def _watch(self, session_id: str, of: str) -> None:
        """Ask how a generation is until it has ended."""
        path = f"/api/v1/generation/{session_id}"
        if not self.party.is_store:
            named = quote(f'{{"json":{{"sessionId":"{session_id}"}}}}')
            path = f"/api/trpc/generation.getById?input={named}"
        wait = WATCH_MIN_SECONDS
        said = {"session": session_id, "of": of}
        while True:
            await asyncio.sleep(wait)
            wait = min(1.5 * wait, WATCH_MAX_SECONDS)
            told = await self.ask(Wish("session", *self._own("GET", path), said=said))
            if told is None or not told.is_well or told.data["status"] in {"completed", "failed"}:
                return

    async def _look(self) -> None:
        path = "/api/v1/credits/balance" if self.party.is_store else "/api/trpc/credits.getBalance"
        await self.ask(Wish("balance", *self._own("GET", path)))

    async def _be_given(self) -> None:
        await self.be_given()

    async def be_given(self, **terms: object) -> None:
        """The operator adds credits, with these terms."""
        amount, key = self.random.randint(1, ADDED_MAX), self.new_id()
        body = {"amount": amount, "type": "grant", "request_id": key, **terms}
        await self.administer("add", "/credits", body, key, amount=amount)

    async def _be_taken(self) -> None:
        amount, key = self.random.randint(1, AMOUNT_MAX), self.new_id()
        body = {"amount": amount, "request_id": key, "reason": "A mistake"}
        await self.administer("remove", "/credits/remove", body, key, amount=amount)

    async def _hand_over(self) -> None:
        amount, key = self.random.randint(1, AMOUNT_MAX), self.new_id()
        to = self.random.choice(self._others).owner
        body = {"from": self.party.owner, "to": to, "amount": amount, "reason": "Shared"}
        body |= {"request_id": key}
        await self.ask(
            Wish(
                *("transfer", self.party.owner, "POST", "/api/admin/credits/transfer"),
                *(admin_secret, body, key),
                {"amount": amount, "to": to},
                is_key_in_body=True,
            )
        )

    async def move(
        self, kind: str, path: str, body: Mapping[str, Any] | None, key: str, **said: object
    ) -> Told | None:
        """Spend or hold, where that is done for such a party."""
        where = (self.party.owner, "POST", self.party.moves + path, self.party.moving_secret)
        return await self.ask(Wish(kind, *where, body, key, said))

    async def administer(
        self, kind: str, path: str, body: Mapping[str, Any], key: str, **said: object
    ) -> Told | None:
        """The operator does it."""
        where = (self.party.owner, "POST", self.party.administered + path, admin_secret)
        return await self.ask(Wish(kind, *where, body, key, said, is_key_in_body=True))

    async def ask(self, wish: Wish) -> Told | None:
        """Until it is answered. Whoever is sent away for what only he does wrong has a defect."""
        told = await self._asking.ask(wish)
        is_late = wish.body is not None and "expires_at" in wish.body
        assert told is None or is_late or told.status not in NEVER_ASKED, (wish, told)
        return told

    def new_id(self) -> str:
        self._ids += 1
        return f"{self.name}-{self._ids}"

    def _own(self, method: str, path: str) -> tuple[str, str, str, Callable[[], str]]:
        return self.party.owner, method, path, self.party.own_secret
