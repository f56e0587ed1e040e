-- What a movement does, as expressions: made from the rows of `movement_types`, for functions and
-- statements that ask for every movement. PostgreSQL puts them into the expression that calls them.

DO $$
DECLARE
    v_effects text;
    v_spents text;
    v_roles text;
BEGIN
    SELECT string_agg(format('WHEN %L THEN %L::int[]', t.type,
               ARRAY[t.balance, t.added, t.spent, t.clawed_back, t.overage_used, t.held, t.expired,
                   t.removed]), ' '
               ORDER BY t.role <> 'charge', t.role <> 'return', t.type),
           string_agg(format('WHEN %L THEN %s', t.type, t.spent * (t.held = 0)::int), ' '
               ORDER BY t.spent = 0 OR t.held <> 0, t.role <> 'charge', t.type),
           string_agg(format('WHEN %L THEN %L', t.type, t.role), ' '
               ORDER BY t.role <> 'charge', t.role <> 'return', t.type)
    INTO v_effects, v_spents, v_roles
    FROM movement_types t;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION movement_effect(p_type text) RETURNS int[] '
        'LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
        'SELECT CASE p_type ' || v_effects || ' END');
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION movement_spent(p_type text) RETURNS int '
        'LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
        'SELECT CASE p_type ' || v_spents || ' END');
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION movement_role(p_type text) RETURNS text '
        'LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L',
        'SELECT CASE p_type ' || v_roles || ' END');
END;
$$;
COMMENT ON FUNCTION movement_effect(text) IS
    'What one credit of a type of movement adds: {balance, added, spent, clawed back, overage used, '
    'held, expired, removed}; null: no such type. Made from movement_types.';
COMMENT ON FUNCTION movement_spent(text) IS
    'What one credit of a type of movement moves between the balance and what was spent, for who asks '
    'every movement; 0: it does something else; null: no such type. Made from movement_types.';
COMMENT ON FUNCTION movement_role(text) IS
    'What a type of movement is, its role in movement_types; null: no such type. Made from there.';
