"""What the operator sees of the whole service: over all stores and end users, and all rooms."""
