"""The atomic core in plain SQL: tables in `migrations/`, `functions/`, and `grants.sql`."""
