"""The command where there is a store, and a Paddle to sell through."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.paddle_process import Paddle

if TYPE_CHECKING:
    from tests.e2e.conftest import Done, Storecredit

API = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
NOBODY = "0198f9b0-0000-7000-8000-000000000000"


def fields(view: str) -> set[str]:
    """The field names of an answer of the HTTP API, as it is documented."""
    return set(API["components"]["schemas"][view]["properties"])


def row_of(done: "Done", name: str) -> str:
    """The line of a table that holds this text."""
    assert done.status == 0, done
    (line,) = [line for line in done.output.splitlines() if name in line]
    return line


def named(done: "Done") -> dict[str, str]:
    """The lines of a command that shows one thing."""
    assert done.status == 0, done
    return dict(re.split(r" +", line, maxsplit=1) for line in done.output.splitlines())


@dataclass(frozen=True, slots=True)
class Seller:
    """The command on a database of the test's own, where there is one store and a Paddle."""

    command: "Storecredit"
    database_url: str
    store_id: str
    paddle: Paddle

    def __call__(self, *arguments: object, **variables: str) -> "Done":
        where = ("--database-url", self.database_url)
        return self.command(*arguments, *where, **self.paddle.variables | variables)
