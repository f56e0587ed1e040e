"""Stands in for Paddle Billing: its API, its checkout page and its webhooks.

Entities, requests and events have the shapes that Paddle publishes; nobody's money moves.
"""
