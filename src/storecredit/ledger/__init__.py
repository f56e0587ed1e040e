"""Who has how many credits, and why: reading the ledger, adding credits, proving it right."""
