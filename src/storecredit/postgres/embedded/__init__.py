"""PostgreSQL as part of the service: its files, its processes, its way to a new major version."""
