-- Refunds that were not ours when they came: to be looked at again, should the operator book their
-- transaction.
-- depends: 0013_foreign_events

ALTER TABLE paddle_events ADD COLUMN foreign_transaction_id text;
CREATE INDEX paddle_events_of_foreign_transactions ON paddle_events (foreign_transaction_id)
    WHERE foreign_transaction_id IS NOT NULL;
COMMENT ON COLUMN paddle_events.foreign_transaction_id IS
    'The transaction that an event names which is about nothing of ours. Null: it is ours, or names '
    'none.';
