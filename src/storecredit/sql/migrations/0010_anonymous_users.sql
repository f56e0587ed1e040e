-- Starter credits may be withheld from a user who is anonymous, until that is over.
-- depends: 0009_verification

ALTER TABLE users ADD COLUMN is_bonus_withheld boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN users.is_bonus_withheld IS
    'The starter credits are still to be given, once the user is no longer anonymous.';
