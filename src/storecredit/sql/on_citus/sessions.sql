-- Failed attempts on a node of a Citus cluster, which lets no function change a row's columns but a fixed one. What
-- these return is fixed within a transaction, and no plan of theirs outlives one.

ALTER FUNCTION with_failed_attempt(jsonb, int, text, boolean) IMMUTABLE;
ALTER FUNCTION with_last_attempt(jsonb, int, text) IMMUTABLE;
ALTER FUNCTION without_words(jsonb) IMMUTABLE;
