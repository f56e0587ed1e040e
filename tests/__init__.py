"""A package, if an empty one: the wheel of the Paddle SDK brings a `tests` of its own along."""
