-- Generation sessions of end users (B2C): as generation.sql, for one user at a time.
DO $$ BEGIN END $$;
