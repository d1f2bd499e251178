-- Merge the staged versions of messages into the table: schemas.merging.merge_messages. A row that would not change is
-- not written, nor one that another version of the parser has read: that is for merge_readings. In key order, so that
-- two sinks don't deadlock. What compares two senders, three times, is schemas.merging.sender_order.
INSERT INTO delivery_from AS row (
    host, queue_id, arrived_at, origin, parser, older, sender, size, recipient_count, message_id, resent_message_id,
    client_name, client_address, client_port, sasl_method, sasl_username, sasl_sender, uid, service, instance, pid, helo,
    protocol, orig_queue_id, orig_client, parent_queue_id, parent_reason, queued_at, attempted_at, removed_at,
    expired_at, deleted_at, held_at, released_at, requeued_at, cancelled_at, discarded_at, discard_reply, rejected_at,
    reject_stage, reject_reply, reject_reason, subject, verp_id
)
SELECT
    host, queue_id, arrived_at, origin, parser, older, sender, size, recipient_count, message_id, resent_message_id,
    client_name, client_address, client_port, sasl_method, sasl_username, sasl_sender, uid, service, instance, pid, helo,
    protocol, orig_queue_id, orig_client, parent_queue_id, parent_reason, queued_at, attempted_at, removed_at,
    expired_at, deleted_at, held_at, released_at, requeued_at, cancelled_at, discarded_at, discard_reply, rejected_at,
    reject_stage, reject_reply, reject_reason, subject, verp_id
FROM staged_from
ORDER BY arrived_at, queue_id, host
ON CONFLICT (arrived_at, queue_id, host) DO UPDATE SET
    origin = greatest(row.origin, excluded.origin),
    sender = CASE WHEN (
        excluded.queued_at IS NOT NULL, excluded.sender IS NOT NULL, coalesce(excluded.sender, ''),
        excluded.verp_id IS NOT NULL, coalesce(excluded.verp_id, '')
    ) > (
        row.queued_at IS NOT NULL, row.sender IS NOT NULL, coalesce(row.sender, ''),
        row.verp_id IS NOT NULL, coalesce(row.verp_id, '')
    ) THEN excluded.sender ELSE row.sender END,
    size = greatest(row.size, excluded.size),
    recipient_count = greatest(row.recipient_count, excluded.recipient_count),
    message_id = greatest(row.message_id, excluded.message_id),
    resent_message_id = greatest(row.resent_message_id, excluded.resent_message_id),
    client_name = greatest(row.client_name, excluded.client_name),
    client_address = greatest(row.client_address, excluded.client_address),
    client_port = greatest(row.client_port, excluded.client_port),
    sasl_method = greatest(row.sasl_method, excluded.sasl_method),
    sasl_username = greatest(row.sasl_username, excluded.sasl_username),
    sasl_sender = greatest(row.sasl_sender, excluded.sasl_sender),
    uid = greatest(row.uid, excluded.uid),
    service = greatest(row.service, excluded.service),
    instance = greatest(row.instance, excluded.instance),
    pid = greatest(row.pid, excluded.pid),
    helo = greatest(row.helo, excluded.helo),
    protocol = greatest(row.protocol, excluded.protocol),
    orig_queue_id = greatest(row.orig_queue_id, excluded.orig_queue_id),
    orig_client = greatest(row.orig_client, excluded.orig_client),
    parent_queue_id = greatest(row.parent_queue_id, excluded.parent_queue_id),
    parent_reason = greatest(row.parent_reason, excluded.parent_reason),
    queued_at = least(row.queued_at, excluded.queued_at),
    attempted_at = least(row.attempted_at, excluded.attempted_at),
    removed_at = greatest(row.removed_at, excluded.removed_at),
    expired_at = greatest(row.expired_at, excluded.expired_at),
    deleted_at = greatest(row.deleted_at, excluded.deleted_at),
    held_at = greatest(row.held_at, excluded.held_at),
    released_at = greatest(row.released_at, excluded.released_at),
    requeued_at = greatest(row.requeued_at, excluded.requeued_at),
    cancelled_at = greatest(row.cancelled_at, excluded.cancelled_at),
    discarded_at = greatest(row.discarded_at, excluded.discarded_at),
    discard_reply = greatest(row.discard_reply, excluded.discard_reply),
    rejected_at = greatest(row.rejected_at, excluded.rejected_at),
    reject_stage = greatest(row.reject_stage, excluded.reject_stage),
    reject_reply = greatest(row.reject_reply, excluded.reject_reply),
    reject_reason = greatest(row.reject_reason, excluded.reject_reason),
    subject = greatest(row.subject, excluded.subject),
    verp_id = CASE WHEN (
        excluded.queued_at IS NOT NULL, excluded.sender IS NOT NULL, coalesce(excluded.sender, ''),
        excluded.verp_id IS NOT NULL, coalesce(excluded.verp_id, '')
    ) > (
        row.queued_at IS NOT NULL, row.sender IS NOT NULL, coalesce(row.sender, ''),
        row.verp_id IS NOT NULL, coalesce(row.verp_id, '')
    ) THEN excluded.verp_id ELSE row.verp_id END
WHERE row.parser = excluded.parser AND row.older IS NULL AND excluded.older IS NULL AND ((
    row.origin, row.size, row.recipient_count, row.message_id, row.resent_message_id, row.client_name,
    row.client_address, row.client_port, row.sasl_method, row.sasl_username, row.sasl_sender, row.uid, row.service,
    row.instance, row.pid, row.helo, row.protocol, row.orig_queue_id, row.orig_client, row.parent_queue_id,
    row.parent_reason, row.queued_at, row.attempted_at, row.removed_at, row.expired_at, row.deleted_at, row.held_at,
    row.released_at, row.requeued_at, row.cancelled_at, row.discarded_at, row.discard_reply, row.rejected_at, row.reject_stage,
    row.reject_reply, row.reject_reason, row.subject
) IS DISTINCT FROM (
    greatest(row.origin, excluded.origin),
    greatest(row.size, excluded.size), greatest(row.recipient_count, excluded.recipient_count),
    greatest(row.message_id, excluded.message_id), greatest(row.resent_message_id, excluded.resent_message_id),
    greatest(row.client_name, excluded.client_name), greatest(row.client_address, excluded.client_address),
    greatest(row.client_port, excluded.client_port), greatest(row.sasl_method, excluded.sasl_method),
    greatest(row.sasl_username, excluded.sasl_username), greatest(row.sasl_sender, excluded.sasl_sender),
    greatest(row.uid, excluded.uid), greatest(row.service, excluded.service),
    greatest(row.instance, excluded.instance), greatest(row.pid, excluded.pid), greatest(row.helo, excluded.helo),
    greatest(row.protocol, excluded.protocol), greatest(row.orig_queue_id, excluded.orig_queue_id),
    greatest(row.orig_client, excluded.orig_client), greatest(row.parent_queue_id, excluded.parent_queue_id),
    greatest(row.parent_reason, excluded.parent_reason), least(row.queued_at, excluded.queued_at),
    least(row.attempted_at, excluded.attempted_at),
    greatest(row.removed_at, excluded.removed_at), greatest(row.expired_at, excluded.expired_at),
    greatest(row.deleted_at, excluded.deleted_at), greatest(row.held_at, excluded.held_at),
    greatest(row.released_at, excluded.released_at), greatest(row.requeued_at, excluded.requeued_at),
    greatest(row.cancelled_at, excluded.cancelled_at), greatest(row.discarded_at, excluded.discarded_at),
    greatest(row.discard_reply, excluded.discard_reply), greatest(row.rejected_at, excluded.rejected_at),
    greatest(row.reject_stage, excluded.reject_stage), greatest(row.reject_reply, excluded.reject_reply),
    greatest(row.reject_reason, excluded.reject_reason), greatest(row.subject, excluded.subject)
) OR (
    excluded.queued_at IS NOT NULL, excluded.sender IS NOT NULL, coalesce(excluded.sender, ''),
    excluded.verp_id IS NOT NULL, coalesce(excluded.verp_id, '')
) > (
    row.queued_at IS NOT NULL, row.sender IS NOT NULL, coalesce(row.sender, ''),
    row.verp_id IS NOT NULL, coalesce(row.verp_id, '')
))
