"""Paddle: how it is asked, what it tells, and what follows from that in our own books."""

from typing import Final

PROVIDER: Final = "paddle"
"""Paddle's name in the tables: its ids are unique with it only."""
