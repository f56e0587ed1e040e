-- End users: made with their credits at their first authenticated call.
DO $$ BEGIN END $$;
