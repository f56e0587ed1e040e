"""Values nobody should send, as JSON text: the notorious ones, and what a generator finds."""

import json
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

SURROGATE = '"\\ud800"'
NOTORIOUS = (
    "null",
    "true",
    "[]",
    "{}",
    '""',
    "0",
    "-1",
    "1e400",
    "NaN",
    "1" + "0" * 400,
    "9223372036854775808",
    "0.1",
    SURROGATE,
    '"\\u0000"',
    '"' + "x" * 10_000 + '"',
    '{"a": {"a": {"a": [[[]]]}}}',
    "[" * 3000 + "]" * 3000,
    '{"a": 1, "a": 2}',
    '{"__proto__": {}, "constructor": 1}',
    '"0001-01-01T00:00:00+14:00"',
)
"""Not all of them JSON."""


@cache
def fuzz_inputs(count: int) -> tuple[str, ...]:
    """The notorious ones, and so many more, the same in every run: to find those takes a while."""
    found: list[Any] = []
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    values = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    )

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(values)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return (*NOTORIOUS, *(json.dumps(value) for value in found))
