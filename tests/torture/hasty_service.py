"""The service with a defect: who asks is told that it is done a moment before it is committed.

`python -m tests.torture.hasty_service serve …`, in the place of `storecredit serve …`.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from storecredit.cli import main
from storecredit.postgres.errors import translated
from storecredit.postgres.group_commit import GroupCommit
from storecredit.postgres.lanes import Batch, Lane

HASTE_SECONDS: Final = 0.25


async def _transact(
    self: GroupCommit[Any, Any], lane: Lane[Any, Any], batch: Batch[Any, Any]
) -> Sequence[Any]:
    connection = await lane.connect(self._database)
    with translated():
        async with connection.transaction():
            outcomes = await self._settle(connection, [entry.item for entry in batch])
            for entry, outcome in zip(batch, outcomes, strict=True):
                if not entry.outcome.done():
                    entry.outcome.set_result(outcome)
            await asyncio.sleep(HASTE_SECONDS)
    return outcomes


if __name__ == "__main__":
    # The defect takes the place of what the product does.
    GroupCommit._transact = _transact  # type: ignore[method-assign]  # noqa: SLF001
    main()
