"""`/portal`: a store's own pages."""
