"""Webhook endpoints and what they were told: the same doors for whoever owns them."""
