"""A superuser changes the ledger, its chains or its checkpoints, and is found and named."""

import pytest

from storecredit.data_files.checkpoint_keys import CHECKPOINT_NEWEST, CheckpointKeys
from storecredit.ledger.checkpoints import hashing
from storecredit.ledger.checkpoints.hashing import LEAVES
from storecredit.ledger.checkpoints.tampering import Evidence
from storecredit.ledger.discrepancies import DiscrepancyKind
from storecredit.ledger.owners import Account
from storecredit.ledger.verify import verify
from tests.sql.checkpoints.conftest import Signed
from tests.sql.full_accounts import allow_anything

K = DiscrepancyKind
TAMPERED: dict[str, tuple[str, set[tuple[DiscrepancyKind, int | None]]]] = {
    "an amount": (
        "UPDATE movements SET amount = 2 WHERE account_id = {id} AND seq = 5",
        {(K.MOVEMENT_CHANGED, 5)},
    ),
    "a request id": (
        "UPDATE movements SET request_id = 'mine' WHERE account_id = {id} AND seq = 5",
        {(K.MOVEMENT_CHANGED, 5)},
    ),
    "a moment, by a microsecond": (
        """UPDATE movements SET created_at = created_at + interval '1 microsecond'
           WHERE account_id = {id} AND seq = 5""",
        {(K.MOVEMENT_CHANGED, 5)},
    ),
    "a moment, to one that no program can write": (
        "UPDATE movements SET created_at = '-infinity' WHERE account_id = {id} AND seq = 5",
        {(K.MOVEMENT_CHANGED, 5)},
    ),
    "who made it": (
        "UPDATE movements SET actor = 'nobody' WHERE account_id = {id} AND seq = 5",
        {(K.MOVEMENT_CHANGED, 5)},
    ),
    "two of them": (
        """UPDATE movements SET description = 'other ' || seq
           WHERE account_id = {id} AND seq IN (3, 9)""",
        {(K.MOVEMENT_CHANGED, 3), (K.MOVEMENT_CHANGED, 9)},
    ),
    "the newest, removed": (
        "DELETE FROM movements WHERE account_id = {id} AND seq = 10",
        {(K.MOVEMENT_REMOVED, 10)},
    ),
    "all of them, removed": (
        "DELETE FROM movements WHERE account_id = {id}",
        {(K.MOVEMENT_REMOVED, seq) for seq in range(1, 11)},
    ),
    "one in the middle, removed": (
        "DELETE FROM movements WHERE account_id = {id} AND seq = 4",
        {(K.MOVEMENT_REMOVED, 4)},
    ),
    "one in the middle, removed, and those after it renumbered": (
        """DELETE FROM movements WHERE account_id = {id} AND seq = 4;
           UPDATE movements SET seq = -seq WHERE account_id = {id} AND seq > 4;
           UPDATE movements SET seq = -seq - 1 WHERE account_id = {id} AND seq < 0""",
        {(K.MOVEMENT_REMOVED, 4)},
    ),
    "one put in, and those after it renumbered": (
        """UPDATE movements SET seq = -seq WHERE account_id = {id} AND seq > 4;
           UPDATE movements SET seq = 1 - seq WHERE account_id = {id} AND seq < 0;
           INSERT INTO movements (account_id, seq, amount, balance_after, spent_after, type,
               request_id)
           SELECT account_id, 5, 1, 96, 4, type, 'put in' FROM movements
           WHERE account_id = {id} AND seq = 4""",
        {(K.MOVEMENT_ADDED, 5)},
    ),
    "two that changed places": (
        """UPDATE movements SET seq = -8 WHERE account_id = {id} AND seq = 4;
           UPDATE movements SET seq = 4 WHERE account_id = {id} AND seq = 8;
           UPDATE movements SET seq = 8 WHERE account_id = {id} AND seq = -8""",
        {(K.MOVEMENTS_REORDERED, 4), (K.MOVEMENTS_REORDERED, 8)},
    ),
    "two that exchanged what stands in them": (
        """UPDATE movements m SET request_id = o.request_id || ' was', created_at = o.created_at
           FROM movements o WHERE m.account_id = {id} AND o.account_id = {id}
             AND (m.seq, o.seq) IN ((4, 8), (8, 4))""",
        {(K.MOVEMENT_CHANGED, 4), (K.MOVEMENT_CHANGED, 8)},
    ),
    "a link's marks": (
        "UPDATE chain_links SET marks = marks || '\\x00' WHERE {link}",
        {(K.CHAIN_REWRITTEN, 10), (K.CHAIN_REWRITTEN, 10)},
    ),
    "a link's head": (
        "UPDATE chain_links SET head = sha256(head) WHERE {link}",
        {(K.CHAIN_REWRITTEN, 10), (K.CHECKPOINT_MISMATCH, None)},
    ),
    "the account's owner": (
        "UPDATE accounts SET owner_id = gen_random_uuid() WHERE account_id = {id}",
        {(K.CHAIN_REWRITTEN, None)},
    ),
    "all links": (
        "DELETE FROM chain_links",
        {(K.CHECKPOINT_MISMATCH, None)},
    ),
    "all chains": (
        "DELETE FROM chain_links; DELETE FROM chained_accounts",
        {(K.CHECKPOINT_MISMATCH, None)},
    ),
    "a checkpoint's moment": (
        "UPDATE checkpoints SET made_at = made_at - interval '1 day' WHERE number = 1",
        {(K.CHECKPOINT_FORGED, None)},
    ),
    "the newest checkpoint, removed": (
        "DELETE FROM checkpoints WHERE number = 2",
        {(K.CHECKPOINT_MISSING, None)},
    ),
    "an older checkpoint, removed": (
        "DELETE FROM checkpoints WHERE number = 1",
        {(K.CHECKPOINT_MISSING, None)},
    ),
    "all checkpoints, and all chains": (
        "DELETE FROM checkpoints; DELETE FROM chain_links; DELETE FROM chained_accounts",
        {(K.CHECKPOINT_MISSING, None)},
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_a_superuser_did_is_named(
    what: str, signed: Signed, store: Account, others: list[Account]
) -> None:
    statements, expected = TAMPERED[what]
    await signed.sign()
    await signed.spend(others[0], "one more")
    await signed.sign()
    assert (await signed.look()).found == ()
    await allow_anything(signed.superuser)

    position = await signed.superuser.fetchval(
        "SELECT position FROM storecredit.chained_accounts WHERE account_id = $1", store.id
    )
    await signed.superuser.execute(statements.format(id=store.id, link=f"position = {position}"))

    found = (await signed.look()).found
    assert {(each.kind, each.seq) for each in found} == expected
    for each in found:
        assert each.detail
        assert each.store_id in {store.owner.id, None}
        assert each.user_id is None
        if each.seq is not None:
            assert each.store_id == store.owner.id


async def test_verify_names_what_is_not_as_it_was_signed(signed: Signed, store: Account) -> None:
    await signed.sign()
    await allow_anything(signed.superuser)
    # Nothing else knows of a description: only its hash does.
    await signed.superuser.execute(
        "UPDATE movements SET description = 'a gift' WHERE account_id = $1 AND seq = 6", store.id
    )

    assert (await verify(signed.database)).clean
    evidence = Evidence.known(signed.buckets, signed.settings)
    report = await verify(signed.database, evidence=evidence)

    (found,) = report.discrepancies
    assert (found.kind, found.store_id, found.seq) == (
        K.MOVEMENT_CHANGED,
        store.owner.id,
        6,
    )
    assert found.detail.endswith("what its owner is told of it")
    assert (report.checkpoints, report.signatures) == (1, 1)


async def rewrite(signed: Signed, account: Account, seal: bytes) -> None:
    """Change a movement, and write its chain anew, as the service would but for its secrets."""
    await allow_anything(signed.superuser)
    await signed.superuser.execute(
        "UPDATE movements SET description = 'a gift' WHERE account_id = $1 AND seq = 6", account.id
    )
    place = await signed.superuser.fetchrow(
        "SELECT * FROM storecredit.chained_accounts WHERE account_id = $1", account.id
    )
    assert place is not None
    links = await signed.superuser.fetch(
        "SELECT * FROM storecredit.chain_links WHERE position = $1 ORDER BY seq", place["position"]
    )
    head = hashing.told_beginning(place["owner_kind"], place["owner_id"])
    after, kept_head = 0, hashing.kept_beginning(place["salt"])
    for link in links:
        (row,) = await signed.superuser.fetch(LEAVES, [account.id], [after], [link["seq"]])
        head = hashing.extended(head, row["told"])
        kept_head = hashing.extended(kept_head, row["kept"])
        await signed.superuser.execute(
            """UPDATE storecredit.chain_links
               SET head = $3, kept_head = $4, marks = $5, seal = coalesce($6, seal)
               WHERE position = $1 AND seq = $2""",
            link["position"],
            link["seq"],
            head,
            kept_head,
            hashing.marks(row["told"], row["kept"]),
            seal or None,
        )
        after = link["seq"]


@pytest.mark.parametrize("seal", [b"", bytes(24)], ids=["seal left", "seal of another key"])
async def test_a_chain_that_was_rewritten_with_its_ledger_is_found(
    seal: bytes, signed: Signed, store: Account, others: list[Account]
) -> None:
    await signed.sign()
    for place in range(3):
        await signed.spend(store, f"later {place}")
    await signed.sign()

    await rewrite(signed, store, seal)

    found = (await signed.look()).found
    # Who takes care to leave no seal of ours is found by what was signed, among those it is of.
    rewritten = [] if seal else [(K.CHAIN_REWRITTEN, 10), (K.CHAIN_REWRITTEN, 13)]
    assert [(each.kind, each.seq) for each in found] == [
        *rewritten,
        (K.CHECKPOINT_MISMATCH, None),
        (K.CHECKPOINT_MISMATCH, None),
    ]
    assert {each.store_id for each in found[:-2]} <= {store.owner.id}
    assert found[-2].detail.startswith("checkpoint 1 was signed")
    assert found[-1].detail.startswith("checkpoint 2 was signed")

    # Nor is it signed with the next one.
    await signed.spend(store, "after that")
    with pytest.raises(Exception, match="are not what checkpoint 2 was signed of"):
        await signed.sign()


async def test_whoever_also_signs_with_a_key_of_their_own_is_found(
    signed: Signed, store: Account
) -> None:
    made = await signed.sign()
    other = CheckpointKeys.made(
        signed.settings.model_copy(update={"data_dir": signed.settings.data_dir / "other"})
    )
    await allow_anything(signed.superuser)
    await signed.superuser.execute(
        "UPDATE checkpoints SET root = sha256(root), signature = $1, key_id = $2",
        other.sign(made.body),
        other.key_id,
    )
    found = (await signed.look()).found
    assert {each.kind for each in found} == {K.CHECKPOINT_FORGED, K.CHECKPOINT_MISMATCH}
    assert any(other.key_id.hex() in each.detail for each in found)


async def test_without_a_key_the_chains_are_compared_all_the_same(
    signed: Signed, store: Account
) -> None:
    await signed.sign()
    elsewhere = signed.elsewhere
    looked = await elsewhere.look()
    assert (looked.found, looked.checkpoints, looked.signatures) == ((), 1, 0)
    await allow_anything(signed.superuser)
    await signed.superuser.execute(
        "UPDATE movements SET amount = 3 WHERE account_id = $1 AND seq = 2", store.id
    )
    assert [(each.kind, each.seq) for each in (await elsewhere.look()).found] == [
        (K.MOVEMENT_CHANGED, 2)
    ]


async def test_a_damaged_note_of_what_was_signed_is_told(signed: Signed, store: Account) -> None:
    await signed.sign()
    (signed.settings.data_dir / CHECKPOINT_NEWEST).write_text("nonsense")
    (found,) = (await signed.look()).found
    assert found.kind is K.CHECKPOINT_MISSING
    assert "is damaged" in found.detail


async def test_every_column_of_a_movement_is_hashed(signed: Signed) -> None:
    columns = await signed.superuser.fetch(
        """SELECT attname FROM pg_attribute WHERE attrelid = 'storecredit.movements'::regclass
           AND attnum > 0 AND NOT attisdropped"""
    )
    hashed = {
        row["attname"] for row in columns if f"m.{row['attname']}" in hashing.TOLD + hashing.KEPT
    }
    # What a chain begins with says whose it is, and a movement's place in it which it is.
    assert {row["attname"] for row in columns} - hashed == {"account_id", "seq"}
