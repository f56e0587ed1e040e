-- Arithmetic with moments on a node of a Citus cluster: PostgreSQL takes that of a moment and a length of time for
-- dependent on the session's time zone, which it is by days and months alone.

CREATE OR REPLACE FUNCTION later(p_at timestamptz, p_by interval)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
-- Purpose: a moment so much later; lengths of time are in hours or less, or of whole days in any zone. Locks: none.
BEGIN
    RETURN p_at + p_by;
END;
$$;
