"""Who is asking in B2C: end users and their tokens."""
