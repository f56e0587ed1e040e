"""What needs no key: health, metrics, results, documentation, Paddle's webhooks."""
