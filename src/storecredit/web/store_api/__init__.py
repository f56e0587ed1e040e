"""`/api/v1`: what stores call, with an API key."""
