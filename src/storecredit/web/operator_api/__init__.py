"""`/api/admin`: what the operator calls, with the operator's token."""
