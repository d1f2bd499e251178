-- A message that was refused, discarded or cancelled as a whole and has recipients' rows was counted twice: for itself, and
-- for the recipients that the same line, or one before it, was about. Now the recipients count, as in searches.

LOCK TABLE delivery_from IN SHARE ROW EXCLUSIVE MODE;

CREATE FUNCTION counted_fate(
    rejected_at timestamptz, discarded_at timestamptz, deleted_at timestamptz, expired_at timestamptz,
    cancelled_at timestamptz, held_at timestamptz, released_at timestamptz, removed_at timestamptz,
    queued_at timestamptz, origin smallint, client_name text, parent_queue_id text, attempted_at timestamptz
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN attempted_at IS NOT NULL AND counted_fate(
        rejected_at, discarded_at, deleted_at, expired_at, cancelled_at, held_at, released_at, removed_at, queued_at,
        origin, client_name, parent_queue_id
    ) IN ('rejected', 'discarded', 'cancelled') THEN 'queued'
    ELSE counted_fate(
        rejected_at, discarded_at, deleted_at, expired_at, cancelled_at, held_at, released_at, removed_at, queued_at,
        origin, client_name, parent_queue_id
    )
END;

DO $$
DECLARE
    former CONSTANT text := 'queued_at, origin, client_name, parent_queue_id';
    definition text;
BEGIN
    FOR definition IN
        SELECT pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'count\_delivery\_from%'
    LOOP
        EXECUTE replace(definition, former, former || ', attempted_at');
    END LOOP;
END
$$;

INSERT INTO message_counts AS known (hour, host, fate, reason, shard, messages, bytes)
SELECT hour_of(arrived_at), host, side.fate, coalesce(reject_reason, ''), 0, sum(sign), coalesce(sum(sign * size), 0)
FROM delivery_from
CROSS JOIN LATERAL (
    VALUES (
        counted_fate(
            rejected_at, discarded_at, deleted_at, expired_at, cancelled_at, held_at, released_at, removed_at, queued_at,
            origin, client_name, parent_queue_id
        ), -1
    ), ('queued', 1)
) AS side (fate, sign)
WHERE (queued_at IS NULL OR cancelled_at IS NOT NULL OR discarded_at IS NOT NULL OR rejected_at IS NOT NULL)
    AND attempted_at IS NOT NULL
    AND counted_fate(
        rejected_at, discarded_at, deleted_at, expired_at, cancelled_at, held_at, released_at, removed_at, queued_at,
        origin, client_name, parent_queue_id
    ) IN ('rejected', 'discarded', 'cancelled')
GROUP BY 1, 2, 3, 4
ON CONFLICT (hour, host, fate, reason, shard) DO UPDATE SET
    messages = known.messages + excluded.messages, bytes = known.bytes + excluded.bytes;

COMMENT ON COLUMN message_counts.fate IS
    'rejected, discarded, cancelled: as a whole, before any recipient was tried; deleted, expired, held; or queued: its '
    'deliveries say the rest. Mail that an access table held or discarded before it had a queue id counts as cancelled.';
