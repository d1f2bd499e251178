-- Take the part rows that join a message out of the table and stage them under the message's key.
WITH gone AS (
    DELETE FROM delivery_from AS part
    USING part_joins
    WHERE part.arrived_at = part_joins.part_arrived_at
        AND part.queue_id = part_joins.queue_id
        AND part.host = part_joins.host
    RETURNING part.*, part_joins.arrived_at AS new_arrived_at, part_joins.origin AS new_origin
)
INSERT INTO staged_from (
    host, queue_id, arrived_at, origin, parser, older, sender, size, recipient_count, message_id, resent_message_id, client_name,
    client_address, client_port, sasl_method, sasl_username, sasl_sender, uid, service, instance, pid, helo,
    protocol, orig_queue_id, orig_client, parent_queue_id, parent_reason, queued_at, attempted_at, removed_at, expired_at,
    deleted_at, held_at, released_at, requeued_at, cancelled_at, discarded_at, discard_reply, rejected_at,
    reject_stage, reject_reply, reject_reason, subject, verp_id
)
SELECT
    host, queue_id, new_arrived_at, greatest(origin, new_origin), parser, older, sender, size, recipient_count, message_id,
    resent_message_id, client_name, client_address, client_port, sasl_method, sasl_username, sasl_sender, uid,
    service, instance, pid, helo, protocol, orig_queue_id, orig_client, parent_queue_id, parent_reason, queued_at,
    attempted_at, removed_at, expired_at, deleted_at, held_at, released_at, requeued_at, cancelled_at, discarded_at,
    discard_reply, rejected_at, reject_stage, reject_reply, reject_reason, subject, verp_id
FROM gone
