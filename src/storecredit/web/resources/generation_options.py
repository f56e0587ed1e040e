"""The options of a request for a generation, held against the operator's price list.

The same for stores and end users: only options that the list names are taken, and the price is
what they cost now.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from storecredit.web.http.faults import FAULTS_MAX, NAME_MAX, Fault
from storecredit.web.parts import Parts


@dataclass(frozen=True, slots=True)
class OptionsRefused:
    """Options that the price list does not name: what is wrong with each."""

    faults: tuple[Fault, ...]


async def price_of(
    parts: Parts, account_id: int, request_id: str, options: Mapping[str, str]
) -> int | OptionsRefused:
    """What this request costs, in credits.

    The list may have changed since the request was sent first. What it made then it made, so it is
    let through to be answered as a replay, or as a conflict: nothing is charged for it again.
    """
    faults = tuple(islice(_faults(options, parts.catalogue.generation.options), FAULTS_MAX))
    if not faults:
        return parts.catalogue.generation.price(options)
    made = await parts.sessions.list(account_id, status=None, limit=1, request_id=request_id)
    return made.items[0].credits if made.items else OptionsRefused(faults)


def _faults(options: Mapping[str, str], known: Mapping[str, Mapping[str, int]]) -> Iterator[Fault]:
    if options and not known:
        yield Fault("options", "No options are taken here.")
        return
    for name, value in options.items():
        key = f"options.{name}"
        if name not in known:
            shown = key if len(key) <= NAME_MAX else f"{key[:NAME_MAX]}…"
            yield Fault(shown, f"Unknown option. Known: {_listed(known)}.")
        elif value not in known[name]:
            yield Fault(key, f"Expected one of {_listed(known[name])}.")


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)
