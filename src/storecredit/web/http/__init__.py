"""What every request passes through, and what all callers share of HTTP itself."""
