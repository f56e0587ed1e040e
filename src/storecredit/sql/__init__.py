"""The atomic core, in plain SQL: tables in `migrations/`, functions in `functions/`, `grants.sql`."""
