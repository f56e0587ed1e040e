-- Plans that are changed at Paddle: prices by which they are known, payments that add nothing, and
-- problems that are about the same thing.
-- depends: 0010_anonymous_users

ALTER TABLE checkouts ADD COLUMN paddle_price_id text;
COMMENT ON COLUMN checkouts.paddle_price_id IS
    'The price that Paddle made for this checkout: whatever bills it later bills what was sold.';

COMMENT ON TABLE store_subscriptions IS
    'A store''s subscriptions; plan, credits and amount are those of the checkout that began it, or '
    'of the plan it was changed to at Paddle.';

ALTER TABLE payments
    DROP CONSTRAINT credits_are_positive,
    ADD CONSTRAINT credits_not_negative CHECK (credits >= 0);
CREATE INDEX payments_of_subscription ON payments (paddle_subscription_id)
    WHERE paddle_subscription_id IS NOT NULL;
COMMENT ON COLUMN payments.credits IS
    'What it added. 0: a change within a period that was worth no credit, or took some back.';
COMMENT ON COLUMN payments.amount IS
    'What was paid, before tax and after any discount: of so much is a refund a share.';
COMMENT ON COLUMN payments.period_starts_at IS
    'The subscription''s period that was paid: each is paid once. Null: a change within a period.';

ALTER TABLE clawbacks
    DROP CONSTRAINT action_is_known,
    ADD CONSTRAINT action_is_known CHECK (action IN ('refund', 'chargeback', 'downgrade'));
COMMENT ON COLUMN clawbacks.adjustment_id IS
    'Paddle''s id of the adjustment. A downgrade has none: the transaction with which credits were '
    'taken back, and a number.';

ALTER TABLE paddle_events ADD COLUMN subject text;
CREATE INDEX paddle_events_of_transaction ON paddle_events ((content ->> 'id'))
    WHERE event_type = 'transaction.completed';
COMMENT ON COLUMN paddle_events.subject IS
    'What a problem is about, where the same one comes again each month: events that are set aside '
    'with the same subject are one problem.';
