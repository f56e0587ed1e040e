-- What a movement does, as expressions: made from the rows of `movement_types`, for functions and
-- statements that ask for every movement. PostgreSQL puts them into the expression that calls them.

DO $$
DECLARE
    v_effects text;
    v_spents text;
    v_roles text;
BEGIN
    SELECT string_agg(format('WHEN %L THEN %L::int[]', t.type,
               ARRAY[t.balance, t.added, t.spent, t.clawed_back, t.overage_used]), ' '
               ORDER BY t.role <> 'charge', t.role <> 'return', t.type),
           string_agg(format('WHEN %L THEN %s', t.type, t.spent), ' '
               ORDER BY t.spent = 0, t.role <> 'charge', t.type),
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
    'What one credit of a type of movement adds: {balance, added, spent, clawed back, overage used}; '
    'null: no such type. Made from movement_types.';
COMMENT ON FUNCTION movement_spent(text) IS
    'What one credit of a type of movement adds to what was spent, for who asks every movement; null: no '
    'such type. Made from movement_types.';
COMMENT ON FUNCTION movement_role(text) IS
    'What a type of movement is: charge, return, addition, clawback or bill; null: no such type. '
    'Made from movement_types.';
