"""The ledger's functions do what a plain-Python model of them says, in whatever order."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from storecredit.postgres.servers import connect
from tests.conftest import SEARCH_PATH, Databases
from tests.model.ledger_machine import LedgerMachine


@pytest.fixture
def url(databases: Databases, template: str) -> Iterator[str]:
    """A superuser's URL of a fresh database; each example makes accounts of its own in it."""
    with databases.copied(template) as copied:
        yield copied


# Others each time, and on each server; a torture has thousands.
EXAMPLES = 30


def drive(url: str, *, examples: int, steps: int) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(connect(url))
        runner.run(connection.execute(f"SET search_path = {SEARCH_PATH}"))

        class Machine(LedgerMachine):
            def __init__(self) -> None:
                super().__init__(runner, connection)

        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(connection.close())


# A failure is worth the time it takes to find the shortest way to it.
@pytest.mark.timeout(900)
def test_the_functions_do_what_the_model_says(url: str) -> None:
    drive(url, examples=EXAMPLES, steps=30)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_the_functions_do_what_the_model_says_at_length(url: str) -> None:
    drive(url, examples=2000, steps=60)
