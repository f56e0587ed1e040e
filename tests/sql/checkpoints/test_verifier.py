"""The verifier of one file, run as outsiders run it: on what is given away, and on forgeries."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storecredit.data_files import checkpoint_keys
from storecredit.data_files.checkpoint_keys import CheckpointKeys
from storecredit.ledger.checkpoints import exported
from storecredit.ledger.checkpoints.checkpoint import Checkpoint
from storecredit.ledger.checkpoints.proofs import Proofs
from storecredit.ledger.credits import Credits, MovementFilter
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.web.http.csv_export import lines, struct_lines
from storecredit.web.resources.transactions import AS_STORE
from tests.sql.checkpoints.conftest import Signed
from tests.sql.full_accounts import allow_anything
from tests.sql.ledgers import open_account

VERIFIER = Path(__file__).parents[3] / "clients" / "verify_ledger.py"
FORMULAS = (
    "=1+1",
    "'=1",
    "a;=b",
    "\tx",
    "plain",
    "'quoted",
    'say "hi", he said',
    "+49 30 1234",
    "é",
)


class Outsider:
    """A store's own machine: files that it was given, and the verifier."""

    def __init__(self, signed: Signed, account: Account, directory: Path) -> None:
        self._signed = signed
        self._account = account
        self._directory = directory

    @property
    def keys(self) -> list[str]:
        """The operator's public keys."""
        known = CheckpointKeys.known(self._signed.settings).public_keys
        return [key.hex() for key in known.values()]

    async def proof(
        self, name: str, *, number: int | None = None, since: Checkpoint | None = None
    ) -> Path:
        """The store's proof, kept under this name."""
        proofs = Proofs(self._signed.buckets)
        of = await (proofs.newest() if number is None else proofs.one(number))
        assert of is not None
        proof = await proofs.of_account(self._account.id, of)
        assert proof is not None
        log = None if since is None else await proofs.of_log(since, of)
        keys = CheckpointKeys.known(self._signed.settings).public_keys
        return self.keep(name, exported.of_owner(proof, keys, log))

    async def ledger(self, name: str, *, as_csv: bool) -> Path:
        """The store's ledger, as it is exported."""
        rows = [
            AS_STORE.row(movement)
            async for window in Credits(self._signed.buckets).whole_ledger(
                self._account.owner, MovementFilter()
            )
            for movement in window
        ]
        if as_csv:
            path = self._directory / name
            path.write_bytes(lines([AS_STORE.names]) + struct_lines(rows))
            return path
        return self.keep(name, {"items": rows, "next_cursor": None})

    def keep(self, name: str, value: object) -> Path:
        """A file of JSON, as an answer has it."""
        path = self._directory / name
        path.write_bytes(msgspec.json.encode({"data": value, "error": None}))
        return path

    def change(self, path: Path, change: Callable[[Any], None]) -> Path:
        """Forge a file."""
        value = json.loads(path.read_text())
        change(value["data"])
        path.write_text(json.dumps(value))
        return path

    def check(
        self, proof: Path, *ledger: Path, earlier: Path | None = None, keys: list[str] | None = None
    ) -> tuple[int, str]:
        """The verifier's exit status, and what it says. It has nothing of ours to import."""
        words = [word for key in keys or self.keys for word in ("--key", key)]
        words += ["--proof", str(proof), *(["--earlier", str(earlier)] if earlier else [])]
        ended = subprocess.run(
            [sys.executable, "-I", str(VERIFIER), *words, *map(str, ledger)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._directory,
        )
        return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
async def outsider(
    signed: Signed, store: Account, others: list[Account], tmp_path: Path
) -> Outsider:
    """A store whose ledger has every kind of text, among others."""
    directory = tmp_path / "outside"
    directory.mkdir()
    for text in FORMULAS:
        await signed.superuser.execute(
            "SELECT add_to_account($1, 1, 'grant', $2, $2)", store.id, text
        )
    await signed.sign()
    return Outsider(signed, store, directory)


@pytest.mark.parametrize("as_csv", [True, False], ids=["csv", "json"])
async def test_a_ledger_is_what_was_signed(
    as_csv: bool, outsider: Outsider, signed: Signed, store: Account
) -> None:
    first = await Proofs(signed.buckets).newest()
    assert first is not None
    earlier = await outsider.proof("earlier.json")
    for place in range(5):
        await signed.spend(store, f"later {place}")
        await signed.sign()
    later = await outsider.proof("later.json", since=first)
    await signed.spend(store, "not signed yet")
    ledger = await outsider.ledger("ledger", as_csv=as_csv)

    status, said = outsider.check(later, ledger, earlier=earlier)

    whose = f"store {store.owner.id}"
    assert status == 0, said
    assert f"Movements 1 to 19 of {whose} are those that were signed." in said
    assert f"Movements 1 to 24 of {whose} are those that were signed." in said
    assert "Movements 25 to 25 came later: they are not proven." in said
    assert "It continues checkpoint 1" in said


def forged(text: str, was: str, now: str) -> str:
    assert was in text
    return text.replace(was, now, 1)


FORGED: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "an amount": ("ledger", lambda d: d["items"][3].update(amount=7), "are not those that were"),
    "a text": ("ledger", lambda d: d["items"][0].update(description=""), "are not those that"),
    "a moment": (
        "ledger",
        lambda d: d["items"][3].update(created_at="2026-01-01T00:00:00Z"),
        "are not those that were signed",
    ),
    "a movement left out": ("ledger", lambda d: d["items"].pop(4), "is not in the file"),
    "the newest left out": ("ledger", lambda d: d["items"].pop(0), "and 19 were signed"),
    "two exchanged": (
        "ledger",
        lambda d: (d["items"][2].update(seq=15), d["items"][4].update(seq=17)),
        "are not those that were signed",
    ),
    "a head": ("proof", lambda d: d["ledger_proof"].update(head="00" * 32), "is not in checkpoint"),
    "another place": ("proof", lambda d: d["ledger_proof"].update(position=1), "is not in check"),
    "another owner": (
        "proof",
        lambda d: d["ledger_proof"].update(owner_id="0b8f0e9c-7a53-4c38-9d0a-2f5d7c1f6c11"),
        "is not in checkpoint",
    ),
    "a seq": ("proof", lambda d: d["ledger_proof"].update(seq=18), "is not in checkpoint"),
    "a path": ("proof", lambda d: d["ledger_proof"]["path"].pop(), "is not in checkpoint"),
    "a root": (
        "proof",
        lambda d: d["checkpoint"].update(
            body=forged(d["checkpoint"]["body"], "owners 3", "owners 4")
        ),
        "is not what was signed",
    ),
    "a signature": (
        "proof",
        lambda d: d["checkpoint"].update(signature="00" * 64),
        "is not what was signed",
    ),
}


@pytest.mark.parametrize("what", FORGED)
async def test_what_was_forged_is_told(what: str, outsider: Outsider) -> None:
    where, change, told = FORGED[what]
    files = {
        "proof": await outsider.proof("proof.json"),
        "ledger": await outsider.ledger("ledger.json", as_csv=False),
    }
    assert outsider.check(files["proof"], files["ledger"])[0] == 0

    outsider.change(files[where], change)

    status, said = outsider.check(files["proof"], files["ledger"])
    assert (status, said[:7]) == (1, "WRONG: "), said
    assert told in said


async def test_a_key_that_is_not_the_operators_is_told(
    outsider: Outsider, signed: Signed, tmp_path: Path
) -> None:
    proof = await outsider.proof("proof.json")
    other = CheckpointKeys.made(signed.elsewhere.settings).public_key.hex()
    status, said = outsider.check(proof, keys=[other])
    assert (status, "which is none of those that you gave" in said) == (1, True)
    checkpoint_keys.rotate(signed.settings)
    assert outsider.check(proof)[0] == 0


async def test_history_that_was_signed_anew_is_told_by_who_kept_a_checkpoint(
    outsider: Outsider, signed: Signed, store: Account
) -> None:
    """What `verify` cannot see: a superuser who has the key as well, and forgets all that was."""
    held = await outsider.proof("held.json")
    await allow_anything(signed.superuser)
    await signed.superuser.execute(
        """DELETE FROM checkpoints; DELETE FROM chain_links; DELETE FROM chained_accounts;
           UPDATE movements SET description = 'a gift' WHERE seq = 3"""
    )
    checkpoint_keys.forget_signed(signed.settings.data_dir)
    await signed.sign()
    await signed.spend(store, "later")
    await signed.sign()
    assert (await signed.look()).found == ()

    proof = await outsider.proof("proof.json")
    ledger = await outsider.ledger("ledger.csv", as_csv=True)
    assert outsider.check(proof, ledger)[0] == 0
    status, said = outsider.check(proof, ledger, earlier=held)
    assert status == 1
    assert "of two ledgers" in said


def says_it_continues(other: Any, data: Any) -> None:
    data["since"]["checkpoint"] = other


def growing(signed: Signed, store: Account) -> Iterator[str]:
    yield from (f"grown {place}" for place in range(9))


async def test_each_later_checkpoint_continues_each_earlier_one(
    outsider: Outsider, signed: Signed, store: Account
) -> None:
    made = [await Proofs(signed.buckets).newest()]
    for request_id in growing(signed, store):
        await signed.spend(store, request_id)
        made.append(await signed.sign())
    for later, earlier in ((10, 1), (10, 9), (9, 8), (8, 3), (7, 4), (2, 1)):
        since = made[earlier - 1]
        proof = await outsider.proof("proof.json", number=later, since=since)
        status, said = outsider.check(proof)
        assert status == 0, said
        assert f"It continues checkpoint {earlier} of" in said
        # Of another one it does not hold.
        wrong = made[earlier]
        assert wrong is not None
        other = json.loads(msgspec.json.encode(exported.fields_of(wrong)))
        outsider.change(proof, partial(says_it_continues, other))
        status, said = outsider.check(proof)
        assert status == 1, said


async def test_a_tree_of_more_than_a_chunk_is_proven(signed: Signed, tmp_path: Path) -> None:
    count = 2100
    await signed.superuser.execute(
        """WITH made AS (
               INSERT INTO storecredit.accounts (owner_id, owner_kind)
               SELECT gen_random_uuid(), 'user' FROM generate_series(1, $1::int)
               RETURNING account_id)
           INSERT INTO storecredit.movements (account_id, seq, amount, balance_after, spent_after,
               type, request_id)
           SELECT account_id, 1, 5, 5, 0, 'grant', 'opening' FROM made""",
        count,
    )
    last = await open_account(signed.superuser, OwnerKind.STORE, 1)
    first = await signed.sign()
    await signed.spend(last, "one")
    second = await signed.sign()
    assert (first.owners, second.owners) == (count + 1, count + 1)
    assert (await signed.look()).found == ()
    outsider = Outsider(signed, last, tmp_path)
    for number in (1, 2):
        proof = await outsider.proof("proof.json", number=number)
        assert outsider.check(proof, await outsider.ledger("l.csv", as_csv=True))[0] == 0
