-- The errors of the credit functions, each with a SQLSTATE of its own: the only list in SQL.
-- storecredit.ledger.outcomes holds the same list for Python; nobody matches message texts.

CREATE OR REPLACE FUNCTION raise_credit_error(p_error text, p_detail text)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: end the statement with one of the known errors. Locks: none. Never returns.
--   Stable, for those that have their caller's rights: whoever may call them may call it, too.
BEGIN
    CASE p_error
        WHEN 'unknown_store' THEN
            RAISE EXCEPTION 'unknown store: %', p_detail USING ERRCODE = 'SC001';
        WHEN 'invalid_amount' THEN
            RAISE EXCEPTION 'the amount must be at least 1: %', p_detail USING ERRCODE = 'SC002';
        WHEN 'invalid_request_id' THEN
            RAISE EXCEPTION 'a request id has 1 to 200 characters' USING ERRCODE = 'SC003';
        WHEN 'request_conflict' THEN
            RAISE EXCEPTION 'this request id was used for something else: %', p_detail
                USING ERRCODE = 'SC004';
        WHEN 'no_deduction' THEN
            RAISE EXCEPTION 'there is no deduction under this request id: %', p_detail
                USING ERRCODE = 'SC005';
        WHEN 'refund_exceeds_deduction' THEN
            RAISE EXCEPTION 'a refund gives back what was deducted, no more: %', p_detail
                USING ERRCODE = 'SC006';
        WHEN 'invalid_type' THEN
            RAISE EXCEPTION 'credits are not added as this type: %', p_detail
                USING ERRCODE = 'SC007';
        WHEN 'unknown_user' THEN
            RAISE EXCEPTION 'unknown user: %', p_detail USING ERRCODE = 'SC008';
        WHEN 'invalid_overage' THEN
            RAISE EXCEPTION 'no such overage limit, month, price or currency: %', p_detail
                USING ERRCODE = 'SC009';
        WHEN 'unknown_account' THEN
            RAISE EXCEPTION 'unknown account: %', p_detail USING ERRCODE = 'SC010';
        WHEN 'invalid_terms' THEN
            RAISE EXCEPTION 'no such terms of a grant or a hold: %', p_detail
                USING ERRCODE = 'SC011';
    END CASE;
END;
$$;
COMMENT ON FUNCTION raise_credit_error(text, text) IS
    'Raises one of the known credit errors; each has a SQLSTATE of class SC.';

CREATE OR REPLACE FUNCTION refuse_to_write()
RETURNS trigger
LANGUAGE plpgsql
AS $$
-- Purpose: tell who writes to a view of the interface, and has the right to, that credits are moved by
--   functions only. Locks: none. Never returns.
BEGIN
    RAISE EXCEPTION 'permission denied for view %: it is written by functions only', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END;
$$;
COMMENT ON FUNCTION refuse_to_write() IS
    'Refuses to write to a view of the interface.';
