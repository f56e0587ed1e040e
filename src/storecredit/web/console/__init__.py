"""`/console`: the operator's pages, over what `operator/` reads and does."""
