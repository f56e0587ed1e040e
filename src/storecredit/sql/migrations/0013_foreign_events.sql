-- Events that were not ours when they came: to be looked at again, should their subscription turn
-- out to be one.
-- depends: 0012_generator_messages

ALTER TABLE paddle_events ADD COLUMN foreign_subscription_id text;
CREATE INDEX foreign_paddle_events ON paddle_events (foreign_subscription_id)
    WHERE foreign_subscription_id IS NOT NULL;
COMMENT ON COLUMN paddle_events.foreign_subscription_id IS
    'The subscription that an event names which is about nothing of ours. Null: it is ours, or names '
    'none.';
