"""Paddle: how it is asked, what it tells, and what follows from that in our own books."""
