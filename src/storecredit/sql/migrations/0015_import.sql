-- Who was brought along from the system before, so that nobody is brought along twice.
CREATE TABLE imported_owners (
    account_id bigint PRIMARY KEY REFERENCES accounts,
    imported_at timestamptz NOT NULL DEFAULT now(),
    shown_balance bigint,
    balance bigint NOT NULL CONSTRAINT balance_not_negative CHECK (balance >= 0),
    movements bigint NOT NULL,
    has_history boolean NOT NULL
);
COMMENT ON TABLE imported_owners IS
    'The owners that `storecredit import` has brought along, each once, written with their movements.';
COMMENT ON COLUMN imported_owners.shown_balance IS
    'The balance that the system before showed; null: it had none of this owner.';
COMMENT ON COLUMN imported_owners.balance IS
    'What the owner had here right after the import.';
COMMENT ON COLUMN imported_owners.movements IS
    'How many movements were written then.';
COMMENT ON COLUMN imported_owners.has_history IS
    'Whether they tell the history; else one brings the balance.';
COMMENT ON COLUMN sessions.credits IS
    'What it was charged, by the price list of that time; given back if it fails. 0: it was brought along '
    'from another system, has ended, and no movement here is its charge.';
