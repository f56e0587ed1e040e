"""Of a time line our own webhooks: what was told, and every attempt at delivering it."""

from collections.abc import Iterator
from http import HTTPStatus

from storecredit.operator.moments import Detail, Moment, MomentKind
from storecredit.operator.records import RequestRecord
from storecredit.operator.told import DeliveryRow, ToldRow, TryRow


def moments_of_tellings(record: RequestRecord) -> Iterator[Moment]:
    """Webhooks that tell of a request, with their deliveries."""
    for told in record.told:
        yield from moments_of_told(told)


def moments_of_told(row: ToldRow) -> Iterator[Moment]:
    """One webhook, and what came of it at each endpoint."""
    yield Moment(
        at=row.created_at,
        kind=MomentKind.WEBHOOK,
        title=f"Webhook {row.type} written",
        details=[
            Detail("Webhook", row.webhook_id, leads_on=True),
            Detail("Endpoints", number=len(row.deliveries)),
        ],
    )
    for delivery in row.deliveries:
        for each in delivery.tries:
            yield _try(row.type, delivery, each)
        yield from _state(row.type, delivery)


def _try(type_: str, delivery: DeliveryRow, row: TryRow) -> Moment:
    answer = str(row.error or "none")
    if row.status_code is not None:
        answer = _status(row.status_code)
    is_taken = row.status_code is not None and HTTPStatus.OK <= row.status_code < 300  # noqa: PLR2004 - 2xx
    return Moment(
        at=row.attempted_at,
        kind=MomentKind.DELIVERY,
        title=f"{type_} {'delivered' if is_taken else 'not delivered'}, attempt {row.attempt}",
        details=[
            Detail("Answer", answer),
            Detail("After", f"{row.milliseconds:,} ms"),
            _endpoint(delivery),
        ],
        is_trouble=not is_taken,
    )


def _state(type_: str, delivery: DeliveryRow) -> Iterator[Moment]:
    """What its attempts do not say: that another is due, or that it was given up."""
    if delivery.status == "pending" and delivery.next_attempt_at is not None:
        yield Moment(
            at=delivery.next_attempt_at,
            kind=MomentKind.DELIVERY,
            title=f"{type_} is sent again" if delivery.attempts else f"{type_} is sent",
            details=[_endpoint(delivery)],
            is_ahead=True,
        )
    if delivery.status == "failed" and delivery.ended_at is not None:
        yield Moment(
            at=delivery.ended_at,
            kind=MomentKind.DELIVERY,
            title=f"{type_} given up; it can be sent again",
            details=[_endpoint(delivery)],
            is_trouble=True,
        )


def _endpoint(delivery: DeliveryRow) -> Detail:
    label = "Operator's endpoint" if delivery.store_id is None else "Endpoint"
    return Detail(label, str(delivery.endpoint_id), leads_on=True)


def _status(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
