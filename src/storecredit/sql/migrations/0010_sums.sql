-- What happened in each hour, and the money of each day: made from the ledger beside the busy path, so
-- that nothing that is looked at grows with it.

CREATE TABLE hourly_sums (
    hour timestamptz NOT NULL,
    movements bigint NOT NULL,
    generations bigint NOT NULL,
    credits numeric NOT NULL,
    owner_kind text NOT NULL,
    type text NOT NULL,
    cause text NOT NULL DEFAULT '',
    PRIMARY KEY (hour, owner_kind, type, cause)
);
COMMENT ON TABLE hourly_sums IS
    'What the counted movements of an hour (UTC) come to, by the kind of owner and by type. Which are '
    'counted stands in summed_accounts. `storecredit verify` recomputes it.';
COMMENT ON COLUMN hourly_sums.movements IS
    'How many there are.';
COMMENT ON COLUMN hourly_sums.generations IS
    'How many of the movements are of a generation.';
COMMENT ON COLUMN hourly_sums.credits IS
    'Of how many credits they are.';
COMMENT ON COLUMN hourly_sums.cause IS
    'Of what a failed generation was given back: why it failed, its error_code. Otherwise empty.';

CREATE TABLE daily_sums (
    day date NOT NULL,
    movements bigint NOT NULL,
    generations bigint NOT NULL,
    credits numeric NOT NULL,
    owner_kind text NOT NULL,
    type text NOT NULL,
    cause text NOT NULL DEFAULT '',
    PRIMARY KEY (day, owner_kind, type, cause)
);
COMMENT ON TABLE daily_sums IS
    'hourly_sums by the day (UTC), kept together with them: a year of hours is much to read.';

-- Room for what is counted soon, within the page.
CREATE TABLE summed_accounts (
    account_id bigint PRIMARY KEY,
    owner_id uuid NOT NULL,
    seq bigint NOT NULL,
    balance bigint NOT NULL DEFAULT 0,
    moved_at timestamptz,
    estimated_at timestamptz,
    runs_dry_at timestamptz,
    owner_kind text NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX accounts_by_balance ON summed_accounts (owner_kind, balance, owner_id);
CREATE INDEX accounts_by_movement ON summed_accounts (moved_at);
CREATE INDEX accounts_that_run_dry ON summed_accounts (runs_dry_at) WHERE runs_dry_at IS NOT NULL;
COMMENT ON TABLE summed_accounts IS
    'Up to where an account''s movements are counted in hourly_sums: each once, in the order in which '
    'they were committed. What stands after it is counted soon. Every account has a row from its beginning.';
COMMENT ON COLUMN summed_accounts.seq IS
    'Of the last movement that is counted; 0: none is.';
COMMENT ON COLUMN summed_accounts.balance IS
    'What the account had after that one: to find and order accounts by. What it has stands in its newest '
    'movement. `storecredit verify` compares it.';
COMMENT ON COLUMN summed_accounts.moved_at IS
    'When that one was made. Null: none is counted.';
COMMENT ON COLUMN summed_accounts.owner_id IS
    'As of the account.';
COMMENT ON COLUMN summed_accounts.owner_kind IS
    'As of the account.';
COMMENT ON COLUMN summed_accounts.estimated_at IS
    'When it was last estimated how long the credits of a store last.';
COMMENT ON COLUMN summed_accounts.runs_dry_at IS
    'When that will be: an estimate to search by, for stores alone. Null: not soon.';

CREATE TABLE daily_money (
    day date NOT NULL,
    paid numeric NOT NULL,
    returned numeric NOT NULL,
    currency text NOT NULL,
    PRIMARY KEY (day, currency)
);
COMMENT ON TABLE daily_money IS
    'The payments booked on a day (UTC), and what went back on it, in the currency''s smallest unit. Made '
    'anew until the day after; `storecredit verify` recomputes what is over.';

CREATE TABLE summing (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one_summing CHECK (only_row),
    walked_to bigint NOT NULL DEFAULT 0,
    whole_at timestamptz,
    summed_at timestamptz,
    money_at timestamptz,
    ends bigint[] NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE summing IS
    'How far the sums are.';
COMMENT ON COLUMN summing.walked_to IS
    'The account that the walk over all of them came to.';
COMMENT ON COLUMN summing.whole_at IS
    'When a walk was last finished. Null: none was, and movements of any time may be missing in the sums.';
COMMENT ON COLUMN summing.summed_at IS
    'When the newest movements were last counted.';
COMMENT ON COLUMN summing.money_at IS
    'When daily_money was last made anew.';
COMMENT ON COLUMN summing.ends IS
    'Of how many pages the ledger was when the last passes began, the newest first: where news may stand.';

CREATE INDEX payments_by_booking ON payments (created_at);
CREATE INDEX clawbacks_by_booking ON clawbacks (created_at);
