-- Payments that the operator books by hand, because they are nothing that our record knows.

CREATE OR REPLACE FUNCTION book_by_hand(
    p_provider text,
    p_transaction_id text,
    p_subscription_id text,
    p_owner_kind text,
    p_owner_id uuid,
    p_credits int,
    p_amount bigint,
    p_currency text,
    p_paid_at timestamptz,
    p_description text,
    p_actor text DEFAULT NULL
)
RETURNS TABLE (outcome text, payment payments)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the operator says how many credits a provider's transaction is worth: its payment, so
--   that a refund finds it, and the credits in the buyer's ledger, as a purchase. Its event is
--   settled with it. p_actor: who says so. The buyer is whose checkout or subscription it pays; an
--   owner that is named (p_owner_id is not null) must be the same, or says it where no record does.
-- Locks: the checkout's row, the subscription's, then the account. Idempotent by transaction.
-- Outcomes: booked | replayed (by hand before, for the same credits) | already_booked (for others,
--   or by its event) | other_owner | unknown_owner (no record and nobody named, or not known)
--   | conflict (the request id has added other credits). `payment` is what is booked, for the first
--   three. Only `booked` writes.
-- Errors: those of add_to_account, but for request_conflict.
DECLARE
    v_named bigint := (SELECT a.account_id FROM accounts a
                       WHERE a.owner_id = p_owner_id AND a.owner_kind = p_owner_kind);
    v_checkout checkouts;
    v_recorded bigint;
    v_request_id text := 'booking:' || p_transaction_id;
BEGIN
    SELECT c.* INTO v_checkout FROM checkouts c
    WHERE c.provider = p_provider AND c.provider_transaction_id = p_transaction_id FOR UPDATE;
    SELECT s.account_id INTO v_recorded FROM subscriptions s
    WHERE s.provider = p_provider AND s.provider_subscription_id = p_subscription_id FOR UPDATE;
    payment := payment_of(p_provider, p_transaction_id);
    v_recorded := coalesce(payment.account_id, v_checkout.account_id, v_recorded);
    outcome := CASE
        WHEN v_recorded <> coalesce(v_named, -1) AND p_owner_id IS NOT NULL THEN 'other_owner'
        WHEN payment.request_id = v_request_id AND payment.credits = p_credits THEN 'replayed'
        WHEN payment.account_id IS NOT NULL THEN 'already_booked'
        WHEN coalesce(v_recorded, v_named) IS NULL THEN 'unknown_owner' END;
    IF outcome = 'other_owner' THEN
        payment := NULL;
    ELSIF outcome = 'replayed' THEN
        -- An answer stands on what standbys have, too (checkouts.sql).
        PERFORM FROM payments p
        WHERE p.provider = p_provider AND p.provider_transaction_id = p_transaction_id FOR KEY SHARE;
    ELSIF outcome IS NULL THEN
        payment := (p_provider, p_transaction_id, coalesce(v_recorded, v_named),
            v_checkout.checkout_id, p_subscription_id, p_paid_at, NULL, now(), 'purchase',
            p_credits, p_amount, p_currency, v_request_id);
        outcome := book_payment_by_hand(payment, p_description, p_actor);
        -- Another call at the same time may have booked it, for this buyer or another one.
        payment := payment_of(p_provider, p_transaction_id);
        IF outcome = 'conflict' AND payment.request_id = v_request_id THEN
            outcome := CASE payment.credits WHEN p_credits THEN 'replayed' ELSE 'already_booked' END;
        END IF;
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION book_by_hand(
    text, text, text, text, uuid, int, bigint, text, timestamptz, text, text) IS
    'Books a provider''s transaction by hand, for so many credits, once, and settles its event. '
    'Outcome: booked, replayed, already_booked, other_owner, unknown_owner, conflict.';

CREATE OR REPLACE FUNCTION book_payment_by_hand(
    p_payment payments, p_description text, p_actor text)
RETURNS text
LANGUAGE plpgsql
AS $$
-- Purpose: the credits and the row of a payment that the operator has named, and the end of its
--   event. Locks: the account; the event's row. Idempotency: the caller's.
-- Outcomes: booked | already_booked (another call has, at the same time, for another buyer)
--   | conflict. Only `booked` writes. Errors: those of book_payment.
DECLARE
    v_outcome text;
BEGIN
    v_outcome := book_payment(p_payment, p_description, p_actor => p_actor);
    IF v_outcome = 'booked' THEN
        PERFORM settle_booked_event(p_payment.provider, p_payment.provider_transaction_id);
    END IF;
    RETURN v_outcome;
EXCEPTION WHEN unique_violation THEN
    IF payment_of(p_payment.provider, p_payment.provider_transaction_id) IS NULL THEN
        RAISE;
    END IF;
    RETURN 'already_booked';
END;
$$;
COMMENT ON FUNCTION book_payment_by_hand(payments, text, text) IS
    'Books a payment that the operator has named, and settles its event. Outcome: booked, '
    'already_booked, conflict. For book_by_hand.';

CREATE OR REPLACE FUNCTION settle_booked_event(p_provider text, p_transaction_id text)
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
-- Purpose: the operator has booked a transaction by hand, here or in another bucket: its event is settled.
-- Locks: the event's row. Idempotent.
    UPDATE provider_events e
    SET status = 'processed', reason = 'Booked by hand.', settled_at = now()
    WHERE e.provider = p_provider AND e.event_type = 'transaction.completed'
      AND e.content ->> 'id' = p_transaction_id AND e.status IN ('received', 'failing', 'set_aside');
$$;
COMMENT ON FUNCTION settle_booked_event(text, text) IS
    'Settles the event of a transaction that the operator has booked by hand.';

CREATE OR REPLACE FUNCTION payment_of(p_provider text, p_transaction_id text)
RETURNS payments
LANGUAGE plpgsql
AS $$
-- Purpose: the payment of a provider's transaction; null: none is booked. Locks: none.
DECLARE
    v_payment payments;
BEGIN
    SELECT p.* INTO v_payment FROM payments p
    WHERE p.provider = p_provider AND p.provider_transaction_id = p_transaction_id;
    RETURN v_payment;
END;
$$;
COMMENT ON FUNCTION payment_of(text, text) IS
    'The payment of a provider''s transaction; null: none is booked.';
