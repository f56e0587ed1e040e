-- Ids on a node of a Citus cluster: each server has sequences of its own, and who is asked for a bucket that another
-- one has (the coordinator, a node that it has left) would draw ids that are older than those that were given.

CREATE OR REPLACE FUNCTION drawn_here(p_sequence text)
RETURNS bigint
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
-- Purpose: the next id of this server. Not nextval() itself, which Citus would call where it is asked. Locks: none.
BEGIN
    RETURN nextval(p_sequence::regclass);
END;
$$;

CREATE OR REPLACE FUNCTION next_entry()
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: the next id of an audit entry, as the server gives it that has the table with one row. Locks: none.
DECLARE
    v_id bigint;
BEGIN
    SELECT drawn_here('audit_log_entry_id_seq') INTO v_id FROM schema_version;
    RETURN v_id;
END;
$$;

CREATE OR REPLACE FUNCTION next_event()
RETURNS bigint
LANGUAGE plpgsql
AS $$
-- Purpose: likewise of an event. Locks: none.
DECLARE
    v_id bigint;
BEGIN
    SELECT drawn_here('events_seq_seq') INTO v_id FROM schema_version;
    RETURN v_id;
END;
$$;
