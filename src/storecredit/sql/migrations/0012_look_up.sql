-- What is looked up with an id in hand: each attempt at a generation that made no image, with what the
-- generator said then (the last one's words alone do not tell what had gone before), and keys by their id.

ALTER TABLE sessions ADD COLUMN failed_attempts jsonb;
COMMENT ON COLUMN sessions.failed_attempts IS
    'Attempts that made no image where another was to follow, and the one after them that was the last, '
    'oldest first: [{attempt, failed_at, counts, said}]. The last ten; null: there were none. `said` is '
    'what the generator said, and is removed when its retention is over.';

CREATE INDEX store_api_keys_by_id ON store_api_keys (key_id);
