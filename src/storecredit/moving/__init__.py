"""Moving in: what the system before held, brought along with its ids."""
