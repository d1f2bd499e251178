-- Merge the staged versions of messages that other versions of the parser have read than the stored ones:
-- schemas.merging.merge_messages, field by field. merge_from has locked their rows before, in key order.
INSERT INTO delivery_from AS row (
    host, queue_id, arrived_at, origin, parser, older, sender, size, recipient_count, message_id, resent_message_id,
    client_name, client_address, client_port, sasl_method, sasl_username, sasl_sender, uid, service, instance, pid,
    helo, protocol, orig_queue_id, orig_client, parent_queue_id, parent_reason, queued_at, attempted_at, removed_at,
    expired_at, deleted_at, held_at, released_at, requeued_at, cancelled_at, discarded_at, discard_reply, subject, verp_id,
    rejected_at, reject_stage, reject_reply, reject_reason
)
SELECT
    come.host,
    come.queue_id,
    come.arrived_at,
    greatest(known.origin, come.origin),
    greatest(known.parser, come.parser),
    nullif(ltrim(
        older_reading('client_address', known.parser, known.older, known.client_address IS NOT NULL, come.parser, come.older, come.client_address IS NOT NULL) ||
        older_reading('client_name', known.parser, known.older, known.client_name IS NOT NULL, come.parser, come.older, come.client_name IS NOT NULL) ||
        older_reading('client_port', known.parser, known.older, known.client_port IS NOT NULL, come.parser, come.older, come.client_port IS NOT NULL) ||
        older_reading('discard_reply', known.parser, known.older, known.discard_reply IS NOT NULL, come.parser, come.older, come.discard_reply IS NOT NULL) ||
        older_reading('helo', known.parser, known.older, known.helo IS NOT NULL, come.parser, come.older, come.helo IS NOT NULL) ||
        older_reading('instance', known.parser, known.older, known.instance IS NOT NULL, come.parser, come.older, come.instance IS NOT NULL) ||
        older_reading('message_id', known.parser, known.older, known.message_id IS NOT NULL, come.parser, come.older, come.message_id IS NOT NULL) ||
        older_reading('orig_client', known.parser, known.older, known.orig_client IS NOT NULL, come.parser, come.older, come.orig_client IS NOT NULL) ||
        older_reading('orig_queue_id', known.parser, known.older, known.orig_queue_id IS NOT NULL, come.parser, come.older, come.orig_queue_id IS NOT NULL) ||
        older_reading('parent_queue_id', known.parser, known.older, known.parent_queue_id IS NOT NULL, come.parser, come.older, come.parent_queue_id IS NOT NULL) ||
        older_reading('parent_reason', known.parser, known.older, known.parent_reason IS NOT NULL, come.parser, come.older, come.parent_reason IS NOT NULL) ||
        older_reading('pid', known.parser, known.older, known.pid IS NOT NULL, come.parser, come.older, come.pid IS NOT NULL) ||
        older_reading('protocol', known.parser, known.older, known.protocol IS NOT NULL, come.parser, come.older, come.protocol IS NOT NULL) ||
        older_reading('reject_reason', known.parser, known.older, known.reject_reason IS NOT NULL, come.parser, come.older, come.reject_reason IS NOT NULL) ||
        older_reading('reject_reply', known.parser, known.older, known.reject_reply IS NOT NULL, come.parser, come.older, come.reject_reply IS NOT NULL) ||
        older_reading('reject_stage', known.parser, known.older, known.reject_stage IS NOT NULL, come.parser, come.older, come.reject_stage IS NOT NULL) ||
        older_reading('resent_message_id', known.parser, known.older, known.resent_message_id IS NOT NULL, come.parser, come.older, come.resent_message_id IS NOT NULL) ||
        older_reading('sasl_method', known.parser, known.older, known.sasl_method IS NOT NULL, come.parser, come.older, come.sasl_method IS NOT NULL) ||
        older_reading('sasl_sender', known.parser, known.older, known.sasl_sender IS NOT NULL, come.parser, come.older, come.sasl_sender IS NOT NULL) ||
        older_reading('sasl_username', known.parser, known.older, known.sasl_username IS NOT NULL, come.parser, come.older, come.sasl_username IS NOT NULL) ||
        older_reading('sender', known.parser, known.older, NOT newer.sender AND known.sender IS NOT NULL, come.parser, come.older, newer.sender AND come.sender IS NOT NULL) ||
        older_reading('service', known.parser, known.older, known.service IS NOT NULL, come.parser, come.older, come.service IS NOT NULL) ||
        older_reading('size', known.parser, known.older, known.size IS NOT NULL, come.parser, come.older, come.size IS NOT NULL) ||
        older_reading('subject', known.parser, known.older, known.subject IS NOT NULL, come.parser, come.older, come.subject IS NOT NULL) ||
        older_reading('uid', known.parser, known.older, known.uid IS NOT NULL, come.parser, come.older, come.uid IS NOT NULL) ||
        older_reading('verp_id', known.parser, known.older, NOT newer.sender AND known.verp_id IS NOT NULL, come.parser, come.older, newer.sender AND come.verp_id IS NOT NULL)
    ), '') AS older,
    CASE WHEN newer.sender THEN come.sender ELSE known.sender END,
    newer_reading(known.size, known.parser, known.older, come.size, come.parser, come.older, 'size'),
    greatest(known.recipient_count, come.recipient_count),
    newer_reading(known.message_id, known.parser, known.older, come.message_id, come.parser, come.older, 'message_id'),
    newer_reading(known.resent_message_id, known.parser, known.older, come.resent_message_id, come.parser, come.older, 'resent_message_id'),
    newer_reading(known.client_name, known.parser, known.older, come.client_name, come.parser, come.older, 'client_name'),
    newer_reading(known.client_address, known.parser, known.older, come.client_address, come.parser, come.older, 'client_address'),
    newer_reading(known.client_port, known.parser, known.older, come.client_port, come.parser, come.older, 'client_port'),
    newer_reading(known.sasl_method, known.parser, known.older, come.sasl_method, come.parser, come.older, 'sasl_method'),
    newer_reading(known.sasl_username, known.parser, known.older, come.sasl_username, come.parser, come.older, 'sasl_username'),
    newer_reading(known.sasl_sender, known.parser, known.older, come.sasl_sender, come.parser, come.older, 'sasl_sender'),
    newer_reading(known.uid, known.parser, known.older, come.uid, come.parser, come.older, 'uid'),
    newer_reading(known.service, known.parser, known.older, come.service, come.parser, come.older, 'service'),
    newer_reading(known.instance, known.parser, known.older, come.instance, come.parser, come.older, 'instance'),
    newer_reading(known.pid, known.parser, known.older, come.pid, come.parser, come.older, 'pid'),
    newer_reading(known.helo, known.parser, known.older, come.helo, come.parser, come.older, 'helo'),
    newer_reading(known.protocol, known.parser, known.older, come.protocol, come.parser, come.older, 'protocol'),
    newer_reading(known.orig_queue_id, known.parser, known.older, come.orig_queue_id, come.parser, come.older, 'orig_queue_id'),
    newer_reading(known.orig_client, known.parser, known.older, come.orig_client, come.parser, come.older, 'orig_client'),
    newer_reading(known.parent_queue_id, known.parser, known.older, come.parent_queue_id, come.parser, come.older, 'parent_queue_id'),
    newer_reading(known.parent_reason, known.parser, known.older, come.parent_reason, come.parser, come.older, 'parent_reason'),
    least(known.queued_at, come.queued_at),
    least(known.attempted_at, come.attempted_at),
    greatest(known.removed_at, come.removed_at),
    greatest(known.expired_at, come.expired_at),
    greatest(known.deleted_at, come.deleted_at),
    greatest(known.held_at, come.held_at),
    greatest(known.released_at, come.released_at),
    greatest(known.requeued_at, come.requeued_at),
    greatest(known.cancelled_at, come.cancelled_at),
    greatest(known.discarded_at, come.discarded_at),
    newer_reading(known.discard_reply, known.parser, known.older, come.discard_reply, come.parser, come.older, 'discard_reply'),
    newer_reading(known.subject, known.parser, known.older, come.subject, come.parser, come.older, 'subject'),
    CASE WHEN newer.sender THEN come.verp_id ELSE known.verp_id END,
    greatest(known.rejected_at, come.rejected_at),
    newer_reading(known.reject_stage, known.parser, known.older, come.reject_stage, come.parser, come.older, 'reject_stage'),
    newer_reading(known.reject_reply, known.parser, known.older, come.reject_reply, come.parser, come.older, 'reject_reply'),
    newer_reading(known.reject_reason, known.parser, known.older, come.reject_reason, come.parser, come.older, 'reject_reason')
FROM staged_from AS come
-- One by one, by the key, and only in the days of these messages.
CROSS JOIN LATERAL (
    SELECT *
    FROM delivery_from AS d
    WHERE d.arrived_at = come.arrived_at AND d.queue_id = come.queue_id AND d.host = come.host
        AND d.arrived_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz
    OFFSET 0
) AS known
-- schemas.merging.sender_order; the VERP id comes along.
CROSS JOIN LATERAL (
    SELECT (
        come.queued_at IS NOT NULL,
        come.sender IS NOT NULL,
        CASE WHEN come.sender IS NULL THEN 0 ELSE reading_version(come.parser, come.older, 'sender') END,
        coalesce(come.sender, ''),
        come.verp_id IS NOT NULL,
        CASE WHEN come.verp_id IS NULL THEN 0 ELSE reading_version(come.parser, come.older, 'verp_id') END,
        coalesce(come.verp_id, '')
    ) > (
        known.queued_at IS NOT NULL,
        known.sender IS NOT NULL,
        CASE WHEN known.sender IS NULL THEN 0 ELSE reading_version(known.parser, known.older, 'sender') END,
        coalesce(known.sender, ''),
        known.verp_id IS NOT NULL,
        CASE WHEN known.verp_id IS NULL THEN 0 ELSE reading_version(known.parser, known.older, 'verp_id') END,
        coalesce(known.verp_id, '')
    ) AS sender
    OFFSET 0
) AS newer
WHERE known.parser <> come.parser OR known.older IS NOT NULL OR come.older IS NOT NULL
ORDER BY come.arrived_at, come.queue_id, come.host
ON CONFLICT (arrived_at, queue_id, host) DO UPDATE SET (
    origin, parser, older, sender, size, recipient_count, message_id, resent_message_id, client_name,
    client_address, client_port, sasl_method, sasl_username, sasl_sender, uid, service, instance, pid, helo,
    protocol, orig_queue_id, orig_client, parent_queue_id, parent_reason, queued_at, attempted_at, removed_at,
    expired_at, deleted_at, held_at, released_at, requeued_at, cancelled_at, discarded_at, discard_reply, subject, verp_id,
    rejected_at, reject_stage, reject_reply, reject_reason
) = (
    excluded.origin, excluded.parser, excluded.older, excluded.sender, excluded.size, excluded.recipient_count,
    excluded.message_id, excluded.resent_message_id, excluded.client_name, excluded.client_address,
    excluded.client_port, excluded.sasl_method, excluded.sasl_username, excluded.sasl_sender, excluded.uid,
    excluded.service, excluded.instance, excluded.pid, excluded.helo, excluded.protocol, excluded.orig_queue_id,
    excluded.orig_client, excluded.parent_queue_id, excluded.parent_reason, excluded.queued_at, excluded.attempted_at,
    excluded.removed_at, excluded.expired_at, excluded.deleted_at, excluded.held_at, excluded.released_at,
    excluded.requeued_at, excluded.cancelled_at, excluded.discarded_at, excluded.discard_reply, excluded.subject,
    excluded.verp_id, excluded.rejected_at, excluded.reject_stage, excluded.reject_reply, excluded.reject_reason
)
WHERE (
    row.origin, row.parser, row.older, row.sender, row.size, row.recipient_count, row.message_id,
    row.resent_message_id, row.client_name, row.client_address, row.client_port, row.sasl_method, row.sasl_username,
    row.sasl_sender, row.uid, row.service, row.instance, row.pid, row.helo, row.protocol, row.orig_queue_id,
    row.orig_client, row.parent_queue_id, row.parent_reason, row.queued_at, row.attempted_at, row.removed_at, row.expired_at,
    row.deleted_at, row.held_at, row.released_at, row.requeued_at, row.cancelled_at, row.discarded_at,
    row.discard_reply, row.subject, row.verp_id, row.rejected_at, row.reject_stage, row.reject_reply,
    row.reject_reason
) IS DISTINCT FROM (
    excluded.origin, excluded.parser, excluded.older, excluded.sender, excluded.size, excluded.recipient_count,
    excluded.message_id, excluded.resent_message_id, excluded.client_name, excluded.client_address,
    excluded.client_port, excluded.sasl_method, excluded.sasl_username, excluded.sasl_sender, excluded.uid,
    excluded.service, excluded.instance, excluded.pid, excluded.helo, excluded.protocol, excluded.orig_queue_id,
    excluded.orig_client, excluded.parent_queue_id, excluded.parent_reason, excluded.queued_at, excluded.attempted_at,
    excluded.removed_at, excluded.expired_at, excluded.deleted_at, excluded.held_at, excluded.released_at,
    excluded.requeued_at, excluded.cancelled_at, excluded.discarded_at, excluded.discard_reply, excluded.subject,
    excluded.verp_id, excluded.rejected_at, excluded.reject_stage, excluded.reject_reply, excluded.reject_reason
)
