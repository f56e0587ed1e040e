-- Each attempt at a generation that made no image, with what the generator said then: of the last one alone
-- nobody can tell what had gone before.

ALTER TABLE sessions ADD COLUMN failed_attempts jsonb;
COMMENT ON COLUMN sessions.failed_attempts IS
    'Attempts that made no image where another was to follow, and the one after them that was the last, '
    'oldest first: [{attempt, failed_at, counts, said}]. The last ten; null: there were none. `said` is '
    'what the generator said, and is removed when its retention is over.';
