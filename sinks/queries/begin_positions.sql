-- Note the positions of partitions that have none yet, and name those that indeed had none.
INSERT INTO sink_positions AS known (topic, partition, next_offset, refused_in_a_row, topic_id)
SELECT given.topic, given.partition, given.next, given.refused, given.topic_id
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[], %s::integer[], %s::text[])
    AS given (topic, partition, expected, next, refused, topic_id)
ORDER BY given.topic, given.partition
ON CONFLICT DO NOTHING
RETURNING known.topic, known.partition
