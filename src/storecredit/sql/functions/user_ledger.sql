-- The ledger of end users (B2C).
DO $$ BEGIN END $$;
