"""`GET /api/v1/ledger/proof`: what shows a store that its ledger is what was signed."""

from typing import Any

from litestar import Request, get
from litestar.di import NamedDependency

from storecredit.web.http.envelope import Envelope, ErrorCode
from storecredit.web.http.openapi import store_errors
from storecredit.web.parts import Parts
from storecredit.web.resources.ledger_proofs import LedgerProof, Number, Since, proven
from storecredit.web.store_api.accounts import account_of


@get(
    "/ledger/proof",
    summary="Prove the store's ledger",
    operation_id="getLedgerProof",
    responses=store_errors(ErrorCode.NOT_FOUND),
)
async def get_ledger_proof(
    request: Request[Any, Any, Any],
    parts: NamedDependency[Parts],
    checkpoint: Number = None,
    since: Since = None,
) -> Envelope[LedgerProof]:
    """Where the store's ledger stood in a checkpoint that the operator signed, to be kept.

    With it and an exported ledger `clients/verify_ledger.py` shows, without this service, that the
    one is what was signed; with an earlier one that nothing was rewritten since. What was not
    chained yet is not proven: movements are, every ten minutes.
    """
    return await proven(parts, account_of(request.scope).id, checkpoint, since)
