"""Checkpoints are made: each continues the one before, whoever makes it and whatever is killed."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from storecredit.data_files import checkpoint_keys
from storecredit.data_files.checkpoint_keys import CheckpointKeys
from storecredit.generation.erasure import Erasing, Erasure
from storecredit.generation.results.store import open_results
from storecredit.ledger.checkpoints import merkle
from storecredit.ledger.checkpoints.chaining import Pass, TurnLost
from storecredit.ledger.checkpoints.checkpoint import NotAsSigned, log_before, page
from storecredit.ledger.checkpoints.leaves import chunks_of
from storecredit.ledger.checkpoints.making import Checkpoints
from storecredit.ledger.checkpoints.proofs import compared
from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.owners import Account, OwnerKind
from storecredit.postgres.buckets import SeveralBuckets, opened
from storecredit.postgres.pool import Database
from storecredit.postgres.schema.migrate import migrate
from storecredit.settings import Settings
from storecredit.stores.stores import Stores
from tests.conftest import connect_as_superuser
from tests.log_stream import LogStream
from tests.sql.checkpoints.conftest import Signed
from tests.sql.full_accounts import allow_anything
from tests.sql.ledgers import open_account, open_user
from tests.sql.test_verify_sums import sum_all

K = DiscrepancyKind


def maker(signed: Signed) -> Checkpoints:
    return Checkpoints(signed.buckets, signed.settings)


async def links(signed: Signed) -> list[tuple[int, int, int]]:
    """Position, seq and checkpoint of each link."""
    rows = await signed.superuser.fetch(
        "SELECT position, seq, number FROM storecredit.chain_links ORDER BY 1, 2"
    )
    return [tuple(row) for row in rows]


async def test_a_checkpoint_covers_what_was_committed_and_names_the_one_before(
    signed: Signed, store: Account, others: list[Account]
) -> None:
    first = await signed.sign()
    await signed.spend(store, "more")
    second = await signed.sign()

    counted = await signed.superuser.fetchval("SELECT count(*) FROM storecredit.movements")
    assert (first.number, first.owners, first.movements) == (1, 3, counted - 1)
    assert (second.number, second.owners, second.movements) == (2, 3, counted)
    assert (second.previous, second.ledger) == (first.hash, first.ledger)
    assert await page(signed.database, limit=10) == [second, first]
    assert second.log_root == merkle.root(await log_before(signed.database, 2)) == first.hash
    keys = CheckpointKeys.known(signed.settings)
    for each in (first, second):
        assert keys.is_signed(each.key_id, each.signature, each.body)
    assert (await signed.look()).found == ()


async def test_parts_that_are_not_the_signed_roots_are_taken_for_nothing(
    signed: Signed, store: Account
) -> None:
    first = await signed.sign()
    assert merkle.root(await chunks_of(signed.database, first)) == first.root
    await allow_anything(signed.superuser)
    await signed.superuser.execute("UPDATE storecredit.checkpoints SET chunks = sha256(chunks)")
    with pytest.raises(NotAsSigned, match=r"The parts of checkpoint 1 are not its root's\."):
        await chunks_of(signed.database, first)
    await signed.spend(store, "more")
    with pytest.raises(NotAsSigned, match=r"The parts of checkpoint 1"):
        await signed.sign()


async def test_nothing_is_signed_while_nothing_is_new_or_another_has_the_turn(
    signed: Signed, store: Account
) -> None:
    assert await maker(signed).make(at_once=True) is not None
    assert await maker(signed).make(at_once=True) is None
    await signed.spend(store, "more")
    # The last pass was a moment ago.
    assert await maker(signed).make() is None
    await signed.database.fetchval(
        "SELECT is_taken FROM take_proving($1, '1 minute', '0')", uuid4()
    )
    assert await maker(signed).make(at_once=True) is None
    # Whoever had it was killed, and its time is over.
    await signed.superuser.execute("UPDATE storecredit.proving SET held_until = now()")
    assert await maker(signed).make(at_once=True) is not None


async def test_only_accounts_that_moved_are_looked_at_in_between(
    signed: Signed, store: Account, others: list[Account]
) -> None:
    await signed.sign()
    await signed.spend(store, "counted")
    await sum_all(signed.superuser)
    await signed.spend(others[0], "not counted")
    await signed.superuser.execute("UPDATE storecredit.proving SET passed_at = NULL")
    made = await maker(signed).make()
    assert made is not None
    assert [seq for _, seq, number in await links(signed) if number == 2] == [11]
    # At the latest when all are looked at again.
    await signed.superuser.execute(
        "UPDATE storecredit.proving SET passed_at = NULL, walked_at = now() - interval '25 hours'"
    )
    assert await maker(signed).make() is not None
    assert len([number for _, _, number in await links(signed) if number == 3]) == 1
    assert (await signed.look()).found == ()


async def test_a_long_ledger_is_chained_in_pieces(signed: Signed) -> None:
    account = await open_account(signed.superuser, OwnerKind.USER, 3000)
    await signed.superuser.execute(
        """SELECT count(*) FROM deduct_from_accounts(array_fill($1::bigint, ARRAY[2500]),
               array_fill(1, ARRAY[2500]),
               (SELECT array_agg('r' || n) FROM generate_series(1, 2500) n), NULL)""",
        account.id,
    )
    await signed.sign()
    assert await links(signed) == [(0, 1000, 1), (0, 2000, 1), (0, 2501, 1)]
    assert (await signed.look()).found == ()
    await allow_anything(signed.superuser)
    await signed.superuser.execute(
        "UPDATE movements SET amount = 2 WHERE account_id = $1 AND seq IN (2, 1001, 2501)",
        account.id,
    )
    assert [(each.kind, each.seq) for each in (await signed.look()).found] == [
        (K.MOVEMENT_CHANGED, 2),
        (K.MOVEMENT_CHANGED, 1001),
        (K.MOVEMENT_CHANGED, 2501),
    ]


async def test_one_removed_from_many_short_links_is_named(signed: Signed, store: Account) -> None:
    await signed.sign()
    for place in range(6):
        await signed.spend(store, f"later {place}")
        await signed.sign()
    await allow_anything(signed.superuser)
    await signed.superuser.execute(
        """DELETE FROM movements WHERE account_id = $1 AND seq = 12""", store.id
    )
    await signed.superuser.execute(
        "UPDATE movements SET seq = -seq WHERE account_id = $1 AND seq > 12", store.id
    )
    await signed.superuser.execute(
        "UPDATE movements SET seq = -seq - 1 WHERE account_id = $1 AND seq < 0", store.id
    )
    assert [(each.kind, each.seq) for each in (await signed.look()).found] == [
        (K.MOVEMENT_REMOVED, 12)
    ]


async def test_who_is_killed_between_chain_and_checkpoint_leaves_it_to_the_next(
    signed: Signed, store: Account, others: list[Account]
) -> None:
    await signed.sign()
    await signed.spend(store, "before")

    async def keeps_the_turn() -> None:
        pass

    keys = CheckpointKeys.known(signed.settings)
    chaining = Pass(signed.buckets, keys, 2, keeps_the_turn)
    await chaining.chain(None, asyncio.Event())
    assert chaining.movements == 1
    assert (await signed.look()).found == ()

    await signed.spend(store, "after")
    made = await signed.sign()
    assert [(seq, number) for _, seq, number in await links(signed) if number == 2] == [
        (11, 2),
        (12, 2),
    ]
    assert made.number == 2
    assert (await signed.look()).found == ()
    # It was only stopped, and goes on: nothing that it writes is added to what is signed.
    await signed.spend(store, "later")
    with pytest.raises(TurnLost):
        await chaining.chain(None, asyncio.Event())
    assert (await signed.look()).found == ()
    assert (await signed.sign()).movements == made.movements + 1


async def test_many_processes_at_once_make_one_history(
    signed: Signed, database_url: str, store: Account
) -> None:
    homes = [await Database.open(database_url, pool_max=2) for _ in range(4)]
    made = 0
    for place in range(6):
        await signed.spend(store, f"of round {place}")
        outcomes = await asyncio.gather(
            *(Checkpoints(home, signed.settings).make(at_once=True) for home in homes),
            return_exceptions=True,
        )
        assert all(
            each is None or not isinstance(each, Exception) or isinstance(each, TurnLost)
            for each in outcomes
        )
        made += sum(not isinstance(each, BaseException) and each is not None for each in outcomes)
    assert made >= 1
    assert [each.number for each in await page(signed.database, limit=10)] == list(
        range(made, 0, -1)
    )
    assert (await signed.look()).found == ()
    for home in homes:
        await home.close()


async def test_a_key_is_replaced_and_the_old_one_stays_known(
    signed: Signed, store: Account
) -> None:
    old = await signed.sign()
    rotated = checkpoint_keys.rotate(signed.settings)
    await signed.spend(store, "more")
    new = await signed.sign()

    assert old.key_id != new.key_id == rotated.key_id
    assert set(rotated.public_keys) == {old.key_id, new.key_id}
    looked = await signed.look()
    assert (looked.found, looked.signatures) == ((), 2)
    # Given by settings it is the same.
    elsewhere = signed.elsewhere
    given = Settings(
        data_dir=elsewhere.settings.data_dir,
        checkpoint_key=SecretStr(
            (signed.settings.data_dir / "checkpoint.key").read_text().split()[1]
        ),
        checkpoint_old_keys=(rotated.public_keys[old.key_id].hex(),),
    )
    assert CheckpointKeys.known(given).public_keys.keys() == rotated.public_keys.keys()
    assert CheckpointKeys.known(given).key_id == new.key_id


async def test_who_does_not_know_the_key_signs_nothing(signed: Signed, store: Account) -> None:
    await signed.sign()
    await signed.spend(store, "more")
    with pytest.raises(NotAsSigned, match="STORECREDIT_CHECKPOINT_KEY"):
        await maker(signed.elsewhere).make(at_once=True)
    assert (await signed.sign()).number == 2


async def test_a_restored_database_is_told_until_it_is_accepted(
    signed: Signed, database_url: str, store: Account
) -> None:
    await signed.sign()
    await signed.spend(store, "lost")
    held = await signed.sign()
    keys = CheckpointKeys.known(signed.settings)
    assert await compared(signed.buckets, keys, held) is None
    # As it was a moment after the first one.
    await allow_anything(signed.superuser)
    await signed.superuser.execute(
        """DELETE FROM checkpoints WHERE number = 2; DELETE FROM chain_links WHERE number = 2;
           DELETE FROM movements WHERE request_id = 'lost'"""
    )

    told = await compared(signed.buckets, keys, held)
    assert told is not None
    assert told.startswith("The database does not have checkpoint 2")
    assert "restored to an earlier moment" in told
    (found,) = (await signed.look()).found
    assert found.kind is K.CHECKPOINT_MISSING
    await signed.spend(store, "after the restore")
    with pytest.raises(NotAsSigned, match="storecredit checkpoint accept"):
        await signed.sign()

    newest = (await page(signed.database, limit=1))[0]
    checkpoint_keys.note_signed(
        signed.settings.data_dir, checkpoint_keys.NewestSigned(newest.number, newest.hash)
    )
    assert (await signed.sign()).number == 2
    assert (await signed.look()).found == ()
    told = await compared(signed.buckets, keys, held)
    assert told is not None
    assert told.startswith("The database has another checkpoint 2")


async def test_whoever_is_erased_leaves_the_chain_as_it_is(signed: Signed) -> None:
    user = await open_user(signed.superuser, 5)
    await signed.sign()
    erasure = Erasure(signed.database, open_results(signed.settings), signed.settings)
    assert await erasure.erase(user) is Erasing.ERASED
    assert (await signed.look()).found == ()


async def test_owners_of_all_buckets_are_in_one_tree(database_url: str, tmp_path: Path) -> None:
    await migrate(database_url, buckets=3, open_after_seconds=0)
    home = await Database.open(database_url)
    superuser = await connect_as_superuser(database_url)
    async with opened(home) as buckets:
        assert isinstance(buckets, SeveralBuckets)
        signed = Signed(buckets, superuser, Settings(data_dir=tmp_path))
        stores = [
            await Stores(buckets).create(
                name=f"Store {each}",
                shop_domain=f"s{each}.example",
                credit_count=10,
                request_id="opening",
            )
            for each in range(12)
        ]
        made = await signed.sign()
        assert (made.owners, made.movements) == (12, 12)
        assert (await signed.look()).found == ()
        homes = {await buckets.of_store(each.store_id) for each in stores}
        assert len(homes) > 1

        await allow_anything(superuser)
        victim = stores[-1].store_id
        schema = (await buckets.of_store(victim)).schema
        await superuser.execute(
            f"""UPDATE {schema}.movements SET amount = 11 WHERE account_id =
                (SELECT account_id FROM {schema}.accounts WHERE owner_id = $1)""",
            victim,
        )
        assert [(each.kind, each.store_id) for each in (await signed.look()).found] == [
            (K.MOVEMENT_CHANGED, victim)
        ]
    await superuser.close()
    await home.close()


@pytest.mark.parametrize("table", ["chained_accounts", "chain_links", "checkpoints"])
async def test_what_was_chained_and_signed_is_written_once(
    table: str, signed: Signed, store: Account
) -> None:
    await signed.sign()
    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await signed.superuser.execute(
                f"SET LOCAL ROLE storecredit_writer; SET search_path = storecredit; {statement}"
            )


async def test_while_credits_move_no_lock_is_taken_that_they_wait_for(
    signed: Signed, store: Account
) -> None:
    # A pass under way holds nothing: not even the row of an account that is locked holds it up.
    async with signed.superuser.transaction():
        await signed.superuser.execute(
            "SELECT FROM storecredit.accounts FOR UPDATE; LOCK TABLE storecredit.movements IN"
            " SHARE ROW EXCLUSIVE MODE"
        )
        made = await asyncio.wait_for(signed.sign(), timedelta(seconds=60).total_seconds())
    assert made.number == 1


async def logged_once(log: LogStream, event: str) -> None:
    while not log.events(event):  # noqa: ASYNC110 - what is logged sets no event
        await asyncio.sleep(0.02)


async def test_the_loop_signs_by_itself_and_says_why_where_it_cannot(
    signed: Signed, store: Account, log: LogStream
) -> None:
    settings = signed.settings.model_copy(update={"checkpoint_interval_seconds": 0.05})
    stop = asyncio.Event()
    looping = asyncio.create_task(Checkpoints(signed.buckets, settings).run(stop))
    async with asyncio.timeout(60):
        await logged_once(log, "checkpoint_made")
        (settings.data_dir / checkpoint_keys.CHECKPOINT_KEY).unlink()
        await signed.spend(store, "by nobody's key")
        await logged_once(log, "checkpoint_unsigned")
    stop.set()
    await looping
    assert len(await page(signed.database, limit=10)) == 1
    assert "STORECREDIT_CHECKPOINT_KEY" in log.events("checkpoint_unsigned")[0]["error"]
