-- One ledger for every kind of owner: accounts, movements, and the generation sessions that
-- movements pay for.

CREATE TABLE accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    owner_kind text NOT NULL
        CONSTRAINT owner_kind_is_known CHECK (owner_kind IN ('store', 'user')),
    overage_limit bigint NOT NULL DEFAULT 0
        CONSTRAINT overage_limit_not_negative CHECK (overage_limit >= 0),
    -- A user may bear a store's UUID: these are two accounts.
    CONSTRAINT one_account_per_owner UNIQUE (owner_id, owner_kind),
    CONSTRAINT only_stores_go_beyond CHECK (owner_kind = 'store' OR overage_limit = 0)
);
COMMENT ON TABLE accounts IS
    'One row per owner of credits, made together with it. Whoever moves credits locks it; it is '
    'hardly ever updated: what an account has stands in its newest movement.';
COMMENT ON COLUMN accounts.overage_limit IS
    'Credits the owner may use beyond its balance until they are billed; 0: overage is off.';

-- What each type of movement does, and what it is. All else derives from these rows: the functions
-- of movement_types.sql, `storecredit verify`, the documents, the tests.
CREATE TABLE movement_types (
    type text PRIMARY KEY,
    added smallint NOT NULL,
    spent smallint NOT NULL,
    clawed_back smallint NOT NULL,
    overage_used smallint NOT NULL,
    balance smallint NOT NULL GENERATED ALWAYS AS (added - spent - clawed_back) STORED,
    role text NOT NULL CONSTRAINT role_is_known
        CHECK (role IN ('charge', 'return', 'addition', 'clawback', 'bill')),
    returns text REFERENCES movement_types,
    owner_kinds text[] NOT NULL,
    description text NOT NULL,
    CONSTRAINT returns_return_something CHECK ((role = 'return') = (returns IS NOT NULL)),
    -- `storecredit verify` looks twice at what is not a plain step between the two.
    CONSTRAINT what_is_spent_comes_off_the_balance
        CHECK (spent = 0 OR (added = 0 AND clawed_back = 0 AND overage_used = 0))
);
COMMENT ON TABLE movement_types IS
    'What one credit of each type of movement adds to the balance and to the totals of its account.';
COMMENT ON COLUMN movement_types.role IS
    'charge: pays for work. return: gives a charge back. addition: brings credits in. clawback: takes '
    'them out again. bill: closes the overage used so far.';
COMMENT ON COLUMN movement_types.returns IS
    'The type of charge that a return gives back.';

INSERT INTO movement_types
    (type, added, spent, clawed_back, overage_used, role, returns, owner_kinds, description)
VALUES
    ('deduction', 0, 1, 0, 0, 'charge', NULL, '{store,user}',
     'Credits taken from the balance for work.'),
    ('refund', 0, -1, 0, 0, 'return', 'deduction', '{store,user}',
     'A deduction given back, for work that came to nothing.'),
    ('purchase', 1, 0, 0, 0, 'addition', NULL, '{store,user}',
     'Credits bought.'),
    ('subscription', 1, 0, 0, 0, 'addition', NULL, '{store}',
     'The credits of a subscription''s period, or of a change within one.'),
    ('grant', 1, 0, 0, 0, 'addition', NULL, '{store,user}',
     'Credits that the operator gave.'),
    ('signup_bonus', 1, 0, 0, 0, 'addition', NULL, '{user}',
     'The credits that an end user starts with.'),
    ('clawback', 0, 0, 1, 0, 'clawback', NULL, '{store,user}',
     'Credits taken back because their payment was given back.'),
    ('overage', 0, 0, 0, 1, 'charge', NULL, '{store}',
     'Credits used for work beyond the balance, to be billed.'),
    ('overage_bill', 0, 0, 0, -1, 'bill', NULL, '{store}',
     'All overage used so far is closed into one bill.'),
    ('overage_refund', 0, 0, 0, -1, 'return', 'overage', '{store}',
     'Overage given back before it was billed.'),
    ('overage_credit', 1, 0, 0, 0, 'return', 'overage', '{store}',
     'Overage given back after it was billed, as credits.');

CREATE TABLE movements (
    account_id bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    amount bigint NOT NULL CONSTRAINT amount_is_positive CHECK (amount > 0),
    balance_after bigint NOT NULL CONSTRAINT balance_not_negative CHECK (balance_after >= 0),
    spent_after bigint NOT NULL,
    clawed_back_after bigint,
    overage_used_after bigint
        CONSTRAINT overage_used_positive_or_null CHECK (overage_used_after > 0),
    session_id uuid,
    type text NOT NULL,
    request_id text NOT NULL,
    description text NOT NULL DEFAULT '',
    -- Two movements can never follow the same one, whatever the locks do.
    PRIMARY KEY (account_id, seq),
    CONSTRAINT one_movement_of_a_type_per_request UNIQUE (account_id, request_id, type)
);
-- The look-ups by request and by seq are made by these two keys whatever ANALYZE has seen. When it runs
-- while every account has one movement, or all of them under one request id ('opening'), both keys
-- promise the same rows, and the wrong one may be taken, which reads all of an account's ledger.
ALTER TABLE movements ALTER COLUMN account_id SET (n_distinct = -0.05);
ALTER TABLE movements ALTER COLUMN request_id SET (n_distinct = -0.5);
CREATE INDEX overage_movements ON movements (account_id, seq) WHERE type = 'overage';

-- No foreign key to accounts or movement_types: the functions hold the account's lock while they write
-- here, and a foreign key would look its row up once more for every movement. `storecredit verify`
-- names a movement without an account, and one of an unknown type.
COMMENT ON TABLE movements IS
    'The ledger: append-only, seq without gaps per account. The newest movement of an account is its '
    'balance. Written by append_movements only, whose owner may insert and read, and no more.';
COMMENT ON COLUMN movements.amount IS
    'Credits moved, always positive: movement_types says what they do.';
COMMENT ON COLUMN movements.balance_after IS
    'What the account can spend after this movement; follows from the one before, type and amount.';
COMMENT ON COLUMN movements.spent_after IS
    'Deductions less refunds, up to and with this movement.';
COMMENT ON COLUMN movements.clawed_back_after IS
    'Credits taken back because their payment was given back; null: none.';
COMMENT ON COLUMN movements.overage_used_after IS
    'Credits used beyond the balance and not billed yet; null: none.';
COMMENT ON COLUMN movements.request_id IS
    'The request that caused the movement; a refund carries that of its deduction.';
COMMENT ON COLUMN movements.session_id IS
    'The generation session the credits were taken for; null for a direct call of a function.';

CREATE TABLE sessions (
    account_id bigint NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    completed_at timestamptz,
    attempts int NOT NULL DEFAULT 0,
    credits int NOT NULL,
    status text NOT NULL DEFAULT 'queued',
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    error_code text,
    error_message text,
    result_key text,
    generator_message text,
    metadata json,
    input json,
    PRIMARY KEY (account_id, session_id),
    CONSTRAINT ended_sessions_have_a_time
        CHECK ((status IN ('completed', 'failed')) = (completed_at IS NOT NULL)),
    CONSTRAINT only_failed_sessions_have_an_error
        CHECK ((status = 'failed') = (error_code IS NOT NULL))
) WITH (fillfactor = 70);
ALTER TABLE sessions ALTER COLUMN account_id SET (n_distinct = -0.05);
-- An update stays on its page and out of all indexes only if it changes no column that stands in any of
-- them, conditions included. `status` changes at every step; whether a session has ended, and
-- whether with an error, changes once, and the table's constraints say that these are the same thing.
CREATE INDEX open_sessions ON sessions (account_id, session_id) WHERE completed_at IS NULL;
CREATE INDEX failed_sessions ON sessions (account_id, session_id) WHERE error_code IS NOT NULL;
-- The sweep deletes results, and what generators said, whose time is over.
CREATE INDEX kept_results ON sessions (completed_at) WHERE result_key IS NOT NULL;
CREATE INDEX kept_generator_messages ON sessions (completed_at)
    WHERE generator_message IS NOT NULL;

-- As for movements: no foreign key, and no key on the request: the ledger has one charge per request,
-- and a session is written with its charge only.
COMMENT ON TABLE sessions IS
    'One row per generation: queued -> processing -> completed | failed. A final status never changes.';
COMMENT ON COLUMN sessions.fingerprint IS
    'SHA-256 of the request content: the same request id with other content is refused.';
COMMENT ON COLUMN sessions.credits IS
    'What it was charged, by the price list of that time; given back if it fails.';
COMMENT ON COLUMN sessions.input IS
    'What the worker needs (image URLs, prompt); removed when the session ends.';
COMMENT ON COLUMN sessions.attempts IS
    'How often a worker started this session, less the times the generator only asked to wait.';
COMMENT ON COLUMN sessions.result_key IS
    'Where the result image is kept; removed when its retention is over.';
COMMENT ON COLUMN sessions.generator_message IS
    'What the generator said at the last attempt that made no image. It may quote the prompt: for '
    'the operator alone, and removed when its retention is over.';

-- When the ledger was last proven, and what came out; one row.
CREATE TABLE last_verification (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_verification CHECK (only_row),
    verified_at timestamptz NOT NULL,
    discrepancies int NOT NULL CHECK (discrepancies >= 0),
    settled_at timestamptz,
    settled_movements bigint,
    CONSTRAINT settled_movements_have_a_time
        CHECK ((settled_at IS NULL) = (settled_movements IS NULL))
);
COMMENT ON TABLE last_verification IS
    'The moment that the last verify looked at, and how many discrepancies it found.';
COMMENT ON COLUMN last_verification.settled_movements IS
    'How many movements there were from before `settled_at`: there can never be fewer.';

ALTER TABLE movement_types ADD COLUMN credit_kind text;
UPDATE movement_types
SET credit_kind = CASE WHEN type IN ('grant', 'signup_bonus') THEN 'promo' ELSE 'paid' END
WHERE role = 'addition';
ALTER TABLE movement_types ADD CONSTRAINT additions_are_paid_or_promo CHECK (
    CASE role WHEN 'addition' THEN coalesce(credit_kind, '') IN ('paid', 'promo')
        ELSE credit_kind IS NULL END);
COMMENT ON COLUMN movement_types.credit_kind IS
    'Of an addition: paid, or promo (given without a payment). Null: it is none.';
