-- Note the positions of partitions that have none yet, and name those that indeed had none.
INSERT INTO sink_positions AS known (topic, partition, next_offset, refused_in_a_row)
SELECT given.topic, given.partition, given.next, given.refused
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[], %s::integer[]) AS given (topic, partition, expected, next, refused)
ORDER BY given.topic, given.partition
ON CONFLICT DO NOTHING
RETURNING known.topic, known.partition
