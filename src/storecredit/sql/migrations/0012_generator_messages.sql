-- What the generator itself said about an attempt that made no image, for the operator.
-- depends: 0011_plan_changes

ALTER TABLE store_generation_sessions ADD COLUMN generator_message text;
ALTER TABLE generation_sessions ADD COLUMN generator_message text;

-- The sweep forgets them when their time is over.
CREATE INDEX kept_store_generator_messages ON store_generation_sessions (completed_at)
    WHERE generator_message IS NOT NULL;
CREATE INDEX kept_generator_messages ON generation_sessions (completed_at)
    WHERE generator_message IS NOT NULL;

COMMENT ON COLUMN store_generation_sessions.generator_message IS
    'What the generator said at the last attempt that made no image. It may quote the prompt: for '
    'the operator alone, and removed when its retention is over.';
COMMENT ON COLUMN store_generation_sessions.attempts IS
    'How often a worker started this session, less the times the generator only asked to wait.';
