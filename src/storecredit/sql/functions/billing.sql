-- Checkouts, payments, adjustments and events: how money becomes credits, and back.
DO $$ BEGIN END $$;
