"""Asks a running service whatever its OpenAPI document allows and forbids, by schemathesis.

Every answer is held against the document: status, content type, schema, headers; and against what
a document implies: nobody is let in without a key, what is of no documented form is refused, what
was deleted is gone, no answer is 5xx. Requests are drawn by a seed; those of one run also follow
from one another (an id that one answer has told is sent in the next).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from tests.web.doors import OPERATOR_TOKEN

REFUSALS: Final = [
    "400",
    "401",
    "402",
    "403",
    "404",
    "405",
    "409",
    "410",
    "413",
    "415",
    "422",
    "429",
]
CHECKS: Final[dict[str, Any]] = {
    # A document cannot say of a text that it is a cursor which was given out, an image that can be
    # read, a moment; nor that credits suffice. Such requests are refused, which is documented.
    "positive_data_acceptance": {"enabled": False},
    "negative_data_rejection": {"expected-statuses": REFUSALS},
}
EDGE_CHECKS: Final = {
    # The service reads more than is documented: no body as null where none is needed, a number for
    # a moment; and X-Request-Id not at all beside an Idempotency-Key, however long it is.
    "negative_data_rejection": {"enabled": False},
}
OPERATIONS: Final[list[dict[str, Any]]] = [
    # It would wait for generations that no worker makes: waiting has tests of its own.
    {"include-path": "/api/v1/generation/{session_id}", "parameters": {"wait": 0}},
    {"include-path": "/api/v1/generation/create", "parameters": {"Prefer": "wait=0"}},
]
"""What is different for some operations, each with its reason."""
PLANTED: Final = (
    "planted.person@buyer.example",
    "https://images.example/planted.png?signature=planted",
    "a planted prompt of a hat",
)
"""Texts that stand in some of the requests, wherever a text does, and are to be logged nowhere."""
PLANTED_PROBABILITY: Final = 0.2


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is asked: examples of each operation, and sequences of so many steps at most.

    `has_edges`: also each edge of each field of each operation, some ten thousands of requests.
    """

    examples: int
    sequences: int
    steps: int
    has_edges: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What was asked, by operation; who answered with success; what is not as it should be."""

    asked: Counter[str] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)
    findings: dict[tuple[str, str], str] = field(default_factory=dict)

    def note(self, event: events.ScenarioFinished) -> None:
        """Take in what one scenario has seen."""
        recorder = event.recorder
        for case_id, node in recorder.cases.items():
            label = node.value.operation.label
            self.asked[label] += 1
            interaction = recorder.interactions.get(case_id)
            answer = None if interaction is None else interaction.response
            if answer is not None and answer.status_code < 300:
                self.succeeded.add(label)
            for check in recorder.checks.get(case_id, []):
                if check.status is Status.FAILURE and check.failure_info is not None:
                    told = check.failure_info
                    said = (
                        ""
                        if answer is None
                        else f"{answer.status_code} {answer.text_lossy()[:500]}"
                    )
                    self.findings.setdefault(
                        (check.name, label), f"{told.failure}\n{told.code_sample}\n{said}"
                    )

    def __str__(self) -> str:
        return "\n\n".join(
            f"{check} of {label}: {said}" for (check, label), said in sorted(self.findings.items())
        )


def hold(document: dict[str, Any], url: str, api_key: str, seed: int, extent: Extent) -> Seen:
    """Ask the service at `url`, as the store of that key and as the operator."""
    schema = schemathesis.openapi.from_dict(document, config=_config(url, api_key, seed, extent))
    seen = Seen()
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished():
                seen.note(event)
            case events.NonFatalError():
                seen.findings[str(event.phase), event.label] = str(event.value)
            case events.FatalError():
                raise event.exception
            case _:
                pass
    return seen


def _config(url: str, api_key: str, seed: int, extent: Extent) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "base-url": url,
            "continue-on-failure": True,
            "cache": {"enabled": False},
            "auth": {
                "openapi": {
                    "api_key": {"bearer": api_key},
                    "admin_token": {"bearer": OPERATOR_TOKEN},
                }
            },
            "dictionaries": {"planted": {"values": list(PLANTED)}},
            "generation": {
                "max-examples": extent.examples,
                "database": "none",
                "no-shrink": True,
                "dictionaries": {
                    "string": {"dictionary": "planted", "probability": PLANTED_PROBABILITY}
                },
            },
            "phases": {
                "coverage": {"enabled": extent.has_edges, "checks": EDGE_CHECKS},
                "stateful": {
                    "max-steps": extent.steps,
                    "generation": {"max-examples": extent.sequences},
                },
            },
            "checks": CHECKS,
            "operations": OPERATIONS,
        }
    )
