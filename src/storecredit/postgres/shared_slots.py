"""So many jobs at once in one process, shared by several queues.

Promises that whoever has jobs comes to have as many slots as the others who have some, that a
queue without jobs takes none, and that all slots are given where one queue has jobs for them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Share:
    """What one queue has of them."""

    def __init__(self, slots: "SharedSlots") -> None:
        self._slots = slots
        self._asking = 0
        self._under_way: Callable[[], int] = int
        self.is_waiting = False
        """Whether it has jobs that it had no slot for when it last looked."""

    @property
    def used(self) -> int:
        """Jobs under way, and those that may come of a question which is."""
        return self._asking + self._under_way()

    def begin(self, under_way: Callable[[], int]) -> None:
        """From now on `under_way` tells how many jobs it has."""
        self._under_way = under_way

    def end(self) -> None:
        """It has no job any more, and asks for none."""
        self._under_way, self._asking, self.is_waiting = int, 0, False

    @contextmanager
    def asking(self, wanted: int) -> Iterator[int]:
        """How many jobs it may ask for now, `wanted` at most; its own until it has asked."""
        granted = self._slots.free_for(self, wanted)
        self._asking += granted
        try:
            yield granted
        finally:
            self._asking = max(0, self._asking - granted)


class SharedSlots:
    """The slots of one process."""

    def __init__(self, total: int, queues: int) -> None:
        self._total = total
        self.shares = tuple(Share(self) for _ in range(queues))

    def free_for(self, share: Share, wanted: int) -> int:
        """How many of those wanted it may have: one is kept for each who waits and has fewer."""
        free = self._total - sum(each.used for each in self.shares)
        kept = sum(each.is_waiting and each.used < share.used for each in self.shares)
        return max(0, min(wanted, free - kept))
