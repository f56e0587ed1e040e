"""Who is asking: stores, their API keys and their rate limits."""
