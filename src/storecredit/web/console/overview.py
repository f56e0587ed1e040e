"""`/console`: how the whole service is, and where to go with what is not as it should be."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from storecredit.ledger.owners import OwnerKind
from storecredit.operator.overview import RUNNING_DRY_SHOWN, Overview, Span
from storecredit.web.console.overview_charts import (
    causes_of,
    failures_chart,
    in_and_out_chart,
    money_chart,
    spent_chart,
)
from storecredit.web.pages.charts import Chart
from storecredit.web.pages.queries import Query, read_query
from storecredit.web.pages.rendering import page
from storecredit.web.parts import Parts

CURRENCIES_DRAWN: Final = 4
"""Those with most money; of the others the sums are told."""
SOON_DAYS: Final = 7
"""A store that lasts no longer is counted as about to run dry."""
PROOF_OLD_AFTER: Final = timedelta(days=2)
FAILURES_MANY, FAILURES_MOST = 0.05, 0.2
"""Of all generations, from which on the rate stands out."""
SPANS: Final = (("24h", "24 hours"), ("30d", "30 days"), ("12m", "12 months"))
OWNERS: Final = (("", "All"), ("stores", "Stores"), ("users", "End users"))


class OverviewQuery(msgspec.Struct, frozen=True):
    """Which time is looked at, and whose figures; all owners' where it is left out."""

    span: Span = Span.DAYS
    owners: Literal["stores", "users"] | None = None


@get("/")
async def overview_page(
    request: Request[Any, Any, Any], parts: NamedDependency[Parts]
) -> Response[str]:
    """Figures of a span of time, what may need somebody, and the newest movements."""
    query = read_query(request, OverviewQuery)
    wanted = query.wanted or OverviewQuery()
    kind = {"stores": OwnerKind.STORE, "users": OwnerKind.USER, None: None}[wanted.owners]
    found, now = await asyncio.gather(
        parts.overviews.look(wanted.span, kind), parts.live.now(everything=True)
    )
    dry_soon = sum(store.days_left <= SOON_DAYS for store in found.health.running_dry)
    return page(
        request,
        "overview.html",
        status=query.status,
        form=query.form,
        now=now,
        found=found,
        figures=found.total.figures,
        health=found.health,
        proof=_proof(found),
        dry_soon=dry_soon,
        dry_or_more=dry_soon == RUNNING_DRY_SHOWN,
        problems=sum(found.health.problems.values()),
        failing=found.health.endpoints["failing"] + found.health.endpoints["given_up"],
        billing_is_on=parts.signatures is not None,
        rate=_rate(found),
        rate_class=_rate_class(found),
        causes=causes_of(found),
        charts=_charts(found),
        money=[
            money_chart(found, number, course)
            for number, course in enumerate(found.money[:CURRENCIES_DRAWN], start=1)
        ],
        further_money=[
            (course.currency, sum(course.paid), sum(course.returned))
            for course in found.money[CURRENCIES_DRAWN:]
        ],
        spans=_links(query, "span", wanted.span.value, SPANS),
        owners=_links(query, "owners", wanted.owners or "", OWNERS),
    )


def _links(
    query: Query[OverviewQuery], name: str, current: str, choices: tuple[tuple[str, str], ...]
) -> list[tuple[str, str, bool]]:
    """The addresses with each choice of one thing, the other as it is; and whether it is that."""
    others = {key: text for key, text in query.filters.items() if key != name and query.wanted}
    links = []
    for value, text in choices:
        asked = urlencode(others | ({name: value} if value else {}))
        links.append((f"{query.path}?{asked}" if asked else query.path, text, value == current))
    return links


def _charts(found: Overview) -> dict[str, Chart]:
    return {
        "spent": spent_chart(found),
        "in_and_out": in_and_out_chart(found),
        "failures": failures_chart(found),
    }


def _proof(found: Overview) -> Literal["never", "wrong", "old", "good"]:
    last = found.health.verification
    if last is None:
        return "never"
    if last.discrepancies:
        return "wrong"
    return "old" if datetime.now(UTC) - last.verified_at > PROOF_OLD_AFTER else "good"


def _rate(found: Overview) -> float | None:
    """The part of the generations that failed; None: none were begun."""
    total = found.total
    # Those that fail at the beginning of a span may have been begun before it.
    return min(total.failed / total.generations, 1.0) if total.generations else None


def _rate_class(found: Overview) -> str:
    rate = _rate(found) or 0
    return "bad" if rate >= FAILURES_MOST else "warn" if rate >= FAILURES_MANY else ""
