"""What one process may have under way to receivers, shared by the deliverers of its buckets.

Promises that half of it is there for whoever has much to send, and of the other half a part for
each bucket, however much the others send, or wait for.
"""

import resource
from collections import Counter
from typing import Final
from uuid import UUID

from storecredit.settings import Settings
from storecredit.webhooks.deliveries import Room

FAILING_SHARE: Final = 4
"""Deliveries under way to one endpoint whose last attempt failed."""
FAILING_PART: Final = 4
"""All failing endpoints together have at most this part of what may be under way."""
UNWRITTEN_TIMES: Final = 2
"""With what waits to be written down there are at most so many times as many as under way."""
DESCRIPTORS_PART: Final = 8
"""So much of what `ulimit -n` allows a process is for deliveries, whatever the setting says."""
FREE_PART: Final = 8
"""One endpoint is given at most this part of what is free, so that there is some for the next."""
KEPT_PART: Final = 2
"""So much of it is kept for the buckets, in equal parts, where there are several."""


class Part:
    """What the deliverer of one bucket has of it."""

    def __init__(self, capacity: "Capacity") -> None:
        self._capacity = capacity
        self.under_way: Counter[UUID] = Counter()
        """Deliveries under way, by endpoint."""
        self.failing = 0
        """How many of them are to endpoints that fail."""
        self.lag_seconds = 0.0
        """For how long the delivery that has waited longest has been due."""
        self.relay_lag_seconds = 0.0
        """For how long an event has waited that cannot be brought to the operator's endpoints."""

    def room(self, unwritten: int) -> Room:
        """What there is room for now; `unwritten`: under way, or not written down yet."""
        capacity = self._capacity
        # What is answered and not written down yet waits for the database, not for a receiver.
        writable = UNWRITTEN_TIMES * capacity.most_of_one - unwritten
        free = max(0, min(capacity.free_for(self), writable))
        share = min(capacity.share_max, max(1, free // FREE_PART))
        is_full_of_failing = self.failing >= capacity.failing_max
        return Room(
            total=free,
            share=share,
            failing_share=0 if is_full_of_failing else min(FAILING_SHARE, share),
            under_way=self.under_way,
        )

    def longest_lag(self) -> float:
        """The longest lag of all buckets, each as it was last seen."""
        return max(max(part.lag_seconds, part.relay_lag_seconds) for part in self._capacity.parts)


class Capacity:
    """That of one process."""

    def __init__(self, settings: Settings, buckets: int) -> None:
        self._most = _deliveries_max(settings.webhook_concurrency)
        self._kept = self._most // KEPT_PART // buckets if buckets > 1 else 0
        self.most_of_one = self._most - self._kept * (buckets - 1)
        """That the deliverer of one bucket may have, where the others have nothing to do."""
        self.failing_max = max(1, self._most // FAILING_PART // buckets)
        self.share_max = settings.webhook_endpoint_concurrency
        self.parts = tuple(Part(self) for _ in range(buckets))

    def free_for(self, part: Part) -> int:
        """How many more it may have under way."""
        taken = part.under_way.total()
        for other in self.parts:
            if other is not part:
                taken += max(self._kept, other.under_way.total())
        return self._most - taken


def _deliveries_max(wanted: int) -> int:
    """How many may be under way in this process: each is a connection."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, descriptors // DESCRIPTORS_PART))
