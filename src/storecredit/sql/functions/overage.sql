-- Overage: what a store used beyond its balance, closed once a month and billed once.
DO $$ BEGIN END $$;
