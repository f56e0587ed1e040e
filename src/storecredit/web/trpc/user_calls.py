"""What is known of a call of an end user's app, and an error that several procedures have."""

from dataclasses import dataclass

from storecredit.ledger.owners import Account, Owner
from storecredit.web.http.visits import Visit
from storecredit.web.parts import Parts
from storecredit.web.trpc.errors import TrpcCode, TrpcError


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, under which request id and by which visit, and what there is to answer with."""

    account: Account
    request_id: str
    parts: Parts
    link_base: str
    visit: Visit

    @property
    def owner(self) -> Owner:
        """Whose the account is."""
        return self.account.owner


def conflict(effect: str) -> TrpcError:
    """409: the request id names another request; `effect` says what was not done."""
    return TrpcError(
        TrpcCode.CONFLICT,
        f"This request id was used for another request. {effect}; send a new id.",
    )
