-- Which topic of that name was stored: one that is deleted and made anew begins again at offset 0, and may be read for
-- the first time when it has grown past next_offset.

ALTER TABLE sink_positions ADD COLUMN topic_id text;

COMMENT ON COLUMN sink_positions.topic_id IS
    'Kafka''s id of the topic; null where it gives none, or nothing was stored since this column came.';
