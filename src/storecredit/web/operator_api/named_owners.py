"""The store or end user that a body or a query of the operator's API names."""

from storecredit.ledger.owners import Owner
from storecredit.operator.owner_names import spelled
from storecredit.web.http.envelope import invalid, not_found
from storecredit.web.parts import Parts


async def named_owner(parts: Parts, name: str, key: str, source: str) -> Owner:
    """The owner of this name, which stands as `key` in the `source`: body or query.

    Raises Failure where there is none, and for several of one name.
    """
    match await parts.owner_names.named(name):
        case ():
            raise not_found(f"store or end user: `{key}` names none")
        case (owner,):
            return owner
        case several:
            listed = ", ".join(map(spelled, several))
            message = f"This names several: write which one is meant: {listed}."
            raise invalid(message, [{"key": key, "source": source, "message": message}])
