"""Servers on loopback in the place of what is not ours: for tests, and for a try without Paddle."""
