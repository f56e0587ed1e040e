-- The fingerprints that the sums of sum_movements.sql are of: 64-bit hashes under the run's seed. All
-- functions: locks none; immutable; SECURITY INVOKER and no SET clause.

CREATE OR REPLACE FUNCTION fingerprint_of_account(
    p_account_id bigint, p_clawed_back float8, p_overage_used float8, p_held float8,
    p_expired float8, p_removed float8, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- As float8 a number is hashed whole, where hashint8extended folds its upper half into the lower
-- one. 0 leaves the seed as it is; half a credit more never is 0.
    SELECT CASE WHEN coalesce(p_clawed_back, p_overage_used, p_held, p_expired, p_removed) IS NULL
        THEN hashfloat8extended(p_account_id, p_seed)
        ELSE hashfloat8extended(coalesce(p_removed, 0) + 0.5,
            hashfloat8extended(coalesce(p_expired, 0) + 0.5,
                hashfloat8extended(coalesce(p_held, 0) + 0.5,
                    hashfloat8extended(coalesce(p_overage_used, 0) + 0.5,
                        hashfloat8extended(coalesce(p_clawed_back, 0) + 0.5,
                            hashfloat8extended(p_account_id, p_seed)))))) END;
$$;
COMMENT ON FUNCTION fingerprint_of_account(
    bigint, float8, float8, float8, float8, float8, bigint) IS
    'A 64-bit hash of an account and the parts of its state that are rarely not null, under a seed.';

CREATE OR REPLACE FUNCTION fingerprint_of_state(
    p_account bigint, p_seq bigint, p_balance float8, p_spent float8
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- Only what was spent is never hashed as 0: of two states, the same numbers in other places differ.
    SELECT hashfloat8extended(p_spent + 0.5, hashfloat8extended(p_balance, p_account # p_seq));
$$;
COMMENT ON FUNCTION fingerprint_of_state(bigint, bigint, float8, float8) IS
    'A 64-bit hash of the state of an account after a movement, given the fingerprint of the account.';

CREATE OR REPLACE FUNCTION fingerprint_of_state_before(
    p_account_id bigint, p_seq bigint, p_type text, p_amount bigint, p_balance bigint,
    p_spent bigint, p_clawed_back bigint, p_overage_used bigint, p_held bigint, p_expired bigint,
    p_removed bigint, p_seed bigint
)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
-- Purpose: of a movement that is not plain, given the state after it: the state that it must have found.
DECLARE
    v_effect int[] := movement_effect(p_type);
    v_amount float8 := p_amount;
BEGIN
    RETURN fingerprint_of_state(
        fingerprint_of_account(p_account_id,
            nullif(coalesce(p_clawed_back, 0) - v_effect[4] * v_amount, 0),
            nullif(coalesce(p_overage_used, 0) - v_effect[5] * v_amount, 0),
            nullif(coalesce(p_held, 0) - v_effect[6] * v_amount, 0),
            nullif(coalesce(p_expired, 0) - v_effect[7] * v_amount, 0),
            nullif(coalesce(p_removed, 0) - v_effect[8] * v_amount, 0), p_seed),
        greatest(p_seq, 0) - 1, p_balance - v_effect[1] * v_amount, p_spent - v_effect[3] * v_amount);
END;
$$;
COMMENT ON FUNCTION fingerprint_of_state_before(bigint, bigint, text, bigint, bigint, bigint, bigint,
    bigint, bigint, bigint, bigint, bigint) IS
    'A 64-bit hash of the state of an account before a movement that is not plain.';

CREATE OR REPLACE FUNCTION fingerprint_of_generation(
    p_account_id bigint, p_session_id uuid, p_request_id text, p_credits bigint, p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The same of a movement and of its session.
    SELECT hashtextextended(p_request_id,
        uuid_hash_extended(p_session_id, hashfloat8extended(p_account_id, p_seed) # p_credits));
$$;
COMMENT ON FUNCTION fingerprint_of_generation(bigint, uuid, text, bigint, bigint) IS
    'A 64-bit hash of an account, a session, the request id of both and the credits, under a seed.';

CREATE OR REPLACE FUNCTION credits_of_new_grant(
    p_type text, p_amount bigint, p_seq bigint, p_grants_after bigint[]
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN (movement_effect(p_type))[2] > 0 OR movement_role(p_type) = 'reissue'
        THEN p_amount ELSE nullif(credits_in_grants(p_grants_after, p_seq), 0) END;
$$;
COMMENT ON FUNCTION credits_of_new_grant(text, bigint, bigint, bigint[]) IS
    'How many credits the grant has that a movement begins; null: it begins none.';

CREATE OR REPLACE FUNCTION fingerprint_of_record(
    p_what text, p_account_id bigint, p_seq bigint, p_credits bigint, p_request_id text,
    p_seed bigint
)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
-- The same of a record and of its movement. p_what: the type of the movement, or 'grant'.
    SELECT hashtextextended(p_what, hashtextextended(p_request_id,
        hashfloat8extended(p_credits + 0.5::float8,
            hashfloat8extended(p_account_id, p_seed) # p_seq)));
$$;
COMMENT ON FUNCTION fingerprint_of_record(text, bigint, bigint, bigint, text, bigint) IS
    'A 64-bit hash of an account and one record of a movement of it, under a seed.';

CREATE OR REPLACE FUNCTION fingerprint_of_records(
    p_account_id bigint, p_seq bigint, p_type text, p_amount bigint, p_request_id text,
    p_origin_seq bigint, p_grants_after bigint[], p_seed bigint
)
RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
-- Purpose: the sum of the hashes of all records that a movement has. What ends a hold is a record of its
--   own, by the seq of the hold. What comes back to a grant that is over begins another one. Of a
--   transfer both ends are the same record, once more and once less.
DECLARE
    v_role text := movement_role(p_type);
    v_sum numeric := 0;
BEGIN
    IF v_role IN ('bill', 'hold', 'capture', 'release') THEN
        v_sum := coalesce(fingerprint_of_record(p_type, p_account_id,
            CASE WHEN v_role IN ('bill', 'hold') THEN p_seq ELSE p_origin_seq END, p_amount,
            p_request_id, p_seed), 0);
    ELSIF p_type IN ('transfer_out', 'transfer_in') THEN
        v_sum := fingerprint_of_record('transfer', 0, 0, p_amount, p_request_id, p_seed)
            * CASE p_type WHEN 'transfer_in' THEN -1 ELSE 1 END::numeric;
    END IF;
    RETURN v_sum + coalesce(fingerprint_of_record('grant', p_account_id, p_seq,
        credits_of_new_grant(p_type, p_amount, p_seq, p_grants_after), '', p_seed), 0);
END;
$$;
COMMENT ON FUNCTION fingerprint_of_records(
    bigint, bigint, text, bigint, text, bigint, bigint[], bigint) IS
    'The sum of 64-bit hashes of all records that one movement has, under a seed.';
