"""`/api/admin/checkpoints` and proofs of ledgers: what was signed of all, to be given away."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from storecredit.ledger.owners import Owner
from storecredit.stores.stores import Store
from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import operator_errors
from storecredit.web.http.paging import PAGE_DEFAULT, Limit, SeqCursor, seq_cursor
from storecredit.web.operator_api.user_accounts import account_of_user
from storecredit.web.parts import Parts
from storecredit.web.resources.ledger_proofs import (
    CheckpointPage,
    LedgerProof,
    Number,
    Since,
    checkpoint_page,
    proven,
)


@get(
    "/checkpoints",
    summary="List checkpoints",
    operation_id="listCheckpoints",
    responses=operator_errors(),
)
async def list_checkpoints(
    parts: NamedDependency[Parts], limit: Limit = PAGE_DEFAULT, cursor: SeqCursor = None
) -> Envelope[CheckpointPage]:
    """What was signed of all ledgers, newest first. Whoever keeps one elsewhere can compare it."""
    return await checkpoint_page(parts, limit, seq_cursor(cursor))


@get(
    "/stores/{store_id:str}/proof",
    summary="Prove a store's ledger",
    operation_id="getStoreProof",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_store_proof(
    parts: NamedDependency[Parts],
    store: NamedDependency[Store],
    checkpoint: Number = None,
    since: Since = None,
) -> Envelope[LedgerProof]:
    """As the store reads it: where its ledger stood in a checkpoint."""
    account_id = await parts.credits.account_id(Owner.store(store.store_id))
    return await proven(parts, account_id, checkpoint, since)


@get(
    "/users/{user_id:uuid}/proof",
    summary="Prove a user's ledger",
    operation_id="getUserProof",
    responses=operator_errors(ErrorCode.NOT_FOUND),
)
async def get_user_proof(
    parts: NamedDependency[Parts],
    user_id: FromPath[UUID],
    checkpoint: Number = None,
    since: Since = None,
) -> Envelope[LedgerProof]:
    """Where an end user's ledger stood in a checkpoint."""
    account = await account_of_user(parts, user_id)
    return await proven(parts, account.id, checkpoint, since)
