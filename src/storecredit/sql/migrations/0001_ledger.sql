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
    next_expiry timestamptz,
    -- A user may bear a store's UUID: these are two accounts.
    CONSTRAINT one_account_per_owner UNIQUE (owner_id, owner_kind),
    CONSTRAINT only_stores_go_beyond CHECK (owner_kind = 'store' OR overage_limit = 0)
);
COMMENT ON TABLE accounts IS
    'One row per owner of credits, made together with it. Whoever moves credits locks it; it is '
    'hardly ever updated: what an account has stands in its newest movement.';
COMMENT ON COLUMN accounts.overage_limit IS
    'Credits the owner may use beyond its balance until they are billed; 0: overage is off.';
COMMENT ON COLUMN accounts.next_expiry IS
    'No grant or hold of the account ends before this moment; null: none will.';
CREATE INDEX accounts_that_expire ON accounts (next_expiry) WHERE next_expiry IS NOT NULL;

-- What each type of movement does, and what it is. All else derives from these rows: the functions
-- of movement_types.sql, `storecredit verify`, the documents, the tests.
CREATE TABLE movement_types (
    type text PRIMARY KEY,
    added smallint NOT NULL,
    spent smallint NOT NULL,
    clawed_back smallint NOT NULL,
    overage_used smallint NOT NULL,
    held smallint NOT NULL DEFAULT 0,
    expired smallint NOT NULL DEFAULT 0,
    removed smallint NOT NULL DEFAULT 0,
    balance smallint NOT NULL
        GENERATED ALWAYS AS (added - spent - clawed_back - held - expired - removed) STORED,
    role text NOT NULL CONSTRAINT role_is_known CHECK (role IN (
        'charge', 'return', 'addition', 'clawback', 'bill', 'hold', 'capture', 'release', 'expiry',
        'reissue', 'removal', 'receipt')),
    returns text REFERENCES movement_types,
    owner_kinds text[] NOT NULL,
    description text NOT NULL,
    CONSTRAINT returns_return_something CHECK ((role = 'return') = (returns IS NOT NULL)),
    -- `storecredit verify` looks twice at what is not a plain step between the two.
    CONSTRAINT what_is_spent_comes_off_the_balance CHECK (
        spent = 0 OR held = -spent
        OR (added, clawed_back, overage_used, held, expired, removed) = (0, 0, 0, 0, 0, 0))
);
COMMENT ON TABLE movement_types IS
    'What one credit of each type of movement adds to the balance and to the totals of its account.';
COMMENT ON COLUMN movement_types.role IS
    'charge: pays for work. return: gives a charge back. addition: brings credits in. clawback: takes '
    'them out again. bill: closes the overage used so far. hold: sets credits aside. capture: spends '
    'what was set aside. release: ends that. expiry: ends a grant. reissue: gives what is left of a '
    'grant other terms. removal: the operator takes credits out. receipt: from another owner.';
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
INSERT INTO movement_types
    (type, added, spent, clawed_back, overage_used, held, expired, removed, role, owner_kinds,
     description)
VALUES
    ('hold', 0, 0, 0, 0, 1, 0, 0, 'hold', '{store,user}',
     'Credits set aside for work that is still to be done.'),
    ('capture', 0, 1, 0, 0, -1, 0, 0, 'capture', '{store,user}',
     'Credits of a hold, taken for the work.'),
    ('release', 0, 0, 0, 0, -1, 0, 0, 'release', '{store,user}',
     'Credits of a hold that the work did not need.'),
    ('hold_expiry', 0, 0, 0, 0, -1, 0, 0, 'release', '{store,user}',
     'Credits of a hold whose time was over.'),
    ('expiry', 0, 0, 0, 0, 0, 1, 0, 'expiry', '{store,user}',
     'What was left of a grant when it expired.'),
    ('rollover', 0, 0, 0, 0, 0, 0, 0, 'reissue', '{store,user}',
     'What was left of a period''s grant and is carried into the next one.'),
    ('reissue', 0, 0, 0, 0, 0, 0, 0, 'reissue', '{store,user}',
     'What was left of a grant, given another expiry by the operator.'),
    ('removal', 0, 0, 0, 0, 0, 0, 1, 'removal', '{store,user}',
     'Credits that the operator took out.'),
    ('transfer_out', 0, 0, 0, 0, 0, 0, 1, 'removal', '{store,user}',
     'Credits that the operator moved to another owner.'),
    ('transfer_in', 1, 0, 0, 0, 0, 0, 0, 'receipt', '{store,user}',
     'Credits that the operator moved here from another owner.');

-- What of a movement is rarely not null, as the functions hand it on.
CREATE TYPE movement_rest AS (
    held bigint,
    expired bigint,
    removed bigint,
    grants bigint[],
    origin_seq bigint,
    actor text,
    moved_at timestamptz
);

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
    held_after bigint,
    expired_after bigint,
    removed_after bigint,
    origin_seq bigint,
    session_id uuid,
    type text NOT NULL,
    request_id text NOT NULL,
    description text NOT NULL DEFAULT '',
    grants_after bigint[],
    actor text,
    -- Two movements can never follow the same one, whatever the locks do.
    PRIMARY KEY (account_id, seq),
    CONSTRAINT one_movement_of_a_type_per_request UNIQUE (account_id, request_id, type)
);
-- The look-ups by request and by seq are made by these two keys whatever ANALYZE has seen. When it runs
-- while every account has one movement, or all of them under one request id ('opening'), both keys
-- promise the same rows, and the wrong one may be taken, which reads all of an account's ledger.
ALTER TABLE movements ALTER COLUMN account_id SET (n_distinct = -0.05);
ALTER TABLE movements ALTER COLUMN request_id SET (n_distinct = -0.5);
-- Where an account has hundreds of grants, to compress the list takes six times as long as to write it, and
-- each movement has one.
ALTER TABLE movements ALTER COLUMN grants_after SET STORAGE EXTERNAL;
CREATE INDEX overage_movements ON movements (account_id, seq) WHERE type = 'overage';
-- Looked up by `account_id + 0`: no other index has that, so that none of them, which might seem as cheap
-- while an account is small, is walked through in their place.
CREATE INDEX told_grants ON movements ((account_id + 0), seq) WHERE grants_after IS NOT NULL;
CREATE INDEX movements_of_origin ON movements ((account_id + 0), origin_seq)
    WHERE origin_seq IS NOT NULL;

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
COMMENT ON COLUMN movements.held_after IS
    'Credits set aside by holds; null: none.';
COMMENT ON COLUMN movements.expired_after IS
    'Credits that expired; null: none.';
COMMENT ON COLUMN movements.removed_after IS
    'Credits that the operator took out; null: none.';
COMMENT ON COLUMN movements.grants_after IS
    'What each grant has left, {seq, credits, seq, credits, ...}, in the order in which they are spent; '
    'null: nothing tells the credits apart, and the oldest are spent first.';
COMMENT ON COLUMN movements.origin_seq IS
    'The movement of the same account that this one gives back, ends or carries on, where the request '
    'id does not say so.';
COMMENT ON COLUMN movements.actor IS
    'Who made it, where an operator did; null: the owner itself, or the service.';
COMMENT ON COLUMN movements.request_id IS
    'The request that caused the movement; a refund carries that of its deduction.';
COMMENT ON COLUMN movements.session_id IS
    'The generation session the credits were taken for; null for a direct call of a function.';

-- The terms of every addition. As the ledger: written once, with its movement, and never changed.
CREATE TABLE grants (
    account_id bigint NOT NULL,
    seq bigint NOT NULL,
    amount bigint NOT NULL,
    priority int NOT NULL DEFAULT 100,
    kind text NOT NULL CONSTRAINT grant_kind_is_known CHECK (kind IN ('paid', 'promo')),
    expires_at timestamptz,
    grace interval NOT NULL DEFAULT '30 days'
        CONSTRAINT grace_not_negative CHECK (grace >= '0'::interval),
    rollover_max bigint CONSTRAINT rollover_not_negative CHECK (rollover_max >= 0),
    rollover_until timestamptz,
    PRIMARY KEY (account_id, seq),
    CONSTRAINT rollover_has_an_end CHECK ((rollover_max IS NULL) = (rollover_until IS NULL)),
    CONSTRAINT only_what_expires_rolls_over
        CHECK (rollover_until IS NULL OR rollover_until > expires_at)
);
ALTER TABLE grants ALTER COLUMN account_id SET (n_distinct = -0.5);
COMMENT ON TABLE grants IS
    'The terms of each addition of credits, by the seq of its movement. How many are left stands in '
    'movements.grants_after.';
COMMENT ON COLUMN grants.amount IS
    'How many credits it began with, as its movement says.';
COMMENT ON COLUMN grants.priority IS
    'The lower number is spent first; then what expires sooner, then promo, then the older.';
COMMENT ON COLUMN grants.expires_at IS
    'From this moment on it cannot be spent; null: never.';
COMMENT ON COLUMN grants.grace IS
    'How long credits live that come back to it when it has expired.';
COMMENT ON COLUMN grants.rollover_max IS
    'So many of what is left when it expires live on until rollover_until.';

-- Credits taken by a request of the owner's own, for work that is done elsewhere.
CREATE TABLE spends (
    account_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    metadata json,
    PRIMARY KEY (account_id, request_id)
);
ALTER TABLE spends ALTER COLUMN account_id SET (n_distinct = -0.05);
COMMENT ON TABLE spends IS
    'One row per spend: what was sent with it. What was taken stands in its movement.';
COMMENT ON COLUMN spends.fingerprint IS
    'SHA-256 of the request content: the same request id with other content is refused.';
COMMENT ON COLUMN spends.metadata IS
    'The caller''s own, returned as it was sent.';

CREATE TABLE holds (
    account_id bigint NOT NULL,
    hold_id uuid NOT NULL,
    seq bigint NOT NULL,
    amount bigint NOT NULL,
    captured bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    status text NOT NULL DEFAULT 'held'
        CONSTRAINT hold_status_is_known CHECK (status IN ('held', 'captured', 'released', 'expired')),
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    -- The request that extended it last, and by how much: sent again, it is known.
    extended_by text,
    extended_seconds int,
    description text NOT NULL DEFAULT '',
    metadata json,
    PRIMARY KEY (account_id, hold_id),
    CONSTRAINT ended_holds_have_a_time CHECK ((status = 'held') = (ended_at IS NULL)),
    CONSTRAINT captured_is_of_the_hold CHECK (
        CASE status WHEN 'held' THEN captured IS NULL
            WHEN 'captured' THEN captured BETWEEN 1 AND amount ELSE captured = 0 END)
);
ALTER TABLE holds ALTER COLUMN account_id SET (n_distinct = -0.05);
ALTER TABLE holds ALTER COLUMN request_id SET (n_distinct = -0.5);
CREATE UNIQUE INDEX one_hold_per_request ON holds ((account_id + 0), request_id);
-- Those of one status are looked up by `account_id - 0`, which the indexes above do not have. Captured are
-- most: their list is that of all.
CREATE INDEX open_holds ON holds ((account_id - 0), expires_at, hold_id) WHERE ended_at IS NULL;
CREATE INDEX released_holds ON holds ((account_id - 0), hold_id) WHERE status = 'released';
CREATE INDEX expired_holds ON holds ((account_id - 0), hold_id) WHERE status = 'expired';
COMMENT ON TABLE holds IS
    'One row per hold: held -> captured | released | expired. A final status never changes. One whose '
    'time is over counts as expired, whether its row says so yet or not.';
COMMENT ON COLUMN holds.seq IS
    'Of its movement, which tells the grants it is of.';
COMMENT ON COLUMN holds.captured IS
    'How many credits were taken for the work; null: it has not ended.';
COMMENT ON COLUMN holds.fingerprint IS
    'SHA-256 of the request content: the same request id with other content is refused.';

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
-- Looked up by `account_id + 0`, which the primary key does not have: while all sessions are open, it seems
-- as cheap, and it is the whole account later.
CREATE INDEX open_sessions ON sessions ((account_id + 0), session_id) WHERE completed_at IS NULL;
CREATE INDEX failed_sessions ON sessions ((account_id + 0), session_id)
    WHERE error_code IS NOT NULL;
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
