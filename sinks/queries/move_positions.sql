-- Move the positions of partitions on, and name those that were where they were expected. They are locked in order, so
-- that two sinks don't deadlock.
WITH moved AS MATERIALIZED (
    SELECT topic, partition, given.next, given.refused, coalesce(given.topic_id, known.topic_id) AS topic_id
    FROM sink_positions AS known
    JOIN unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[], %s::integer[], %s::text[])
        AS given (topic, partition, expected, next, refused, topic_id) USING (topic, partition)
    WHERE known.next_offset = given.expected
    ORDER BY topic, partition
    FOR UPDATE OF known
)
UPDATE sink_positions AS known
SET next_offset = moved.next, refused_in_a_row = moved.refused, topic_id = moved.topic_id, updated_at = now()
FROM moved
WHERE known.topic = moved.topic AND known.partition = moved.partition
RETURNING known.topic, known.partition
