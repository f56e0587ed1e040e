-- For processes of the build before, which may still be about; see the interface's storecredit_schema.

CREATE OR REPLACE FUNCTION refuse_earlier_build()
RETURNS text
LANGUAGE plpgsql STABLE
AS $$
-- Purpose: answer a process of the build before, which asks for its own tables and would make them
--   anew. Locks: none. Never returns. The SQLSTATE is one that it tells as a sentence.
BEGIN
    RAISE EXCEPTION 'a later storecredit has migrated this database: run that one'
        USING ERRCODE = 'cannot_connect_now';
END;
$$;
COMMENT ON FUNCTION refuse_earlier_build() IS
    'Tells a process of an earlier build, in its own terms, that the database is not for it.';
