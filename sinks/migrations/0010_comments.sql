-- What each table, view and column holds: psql shows it (\d+), and docs/schema.md is made of it.

COMMENT ON TABLE delivery_from IS
    'Messages: one row each, as they arrived, and what became of them as a whole. A queue id is used again: host, '
    'queue id and time of arrival name a message.';
COMMENT ON COLUMN delivery_from.arrived_at IS
    'When it arrived. Of a message whose arrival was not seen: the time of its first line (see origin).';
COMMENT ON COLUMN delivery_from.queue_id IS 'Queue id, as logged.';
COMMENT ON COLUMN delivery_from.host IS 'Mail host that logged it.';
COMMENT ON COLUMN delivery_from.origin IS
    'How sure arrived_at is. 2: the line of its arrival was seen, or the long queue id says it. 1: only cleanup''s '
    'message-id line. 0: only later lines; the row may yet join the message that it is a part of.';
COMMENT ON COLUMN delivery_from.sender IS 'Envelope sender; empty for the null sender <>.';
COMMENT ON COLUMN delivery_from.size IS 'Bytes, as the queue manager counts them.';
COMMENT ON COLUMN delivery_from.recipient_count IS
    'Recipients, as the queue manager counts them when the message enters the queue.';
COMMENT ON COLUMN delivery_from.message_id IS 'Message-ID header without <>; empty where the message has none.';
COMMENT ON COLUMN delivery_from.resent_message_id IS 'Resent-Message-ID header without <>.';
COMMENT ON COLUMN delivery_from.client_name IS
    'Name of the SMTP client, as DNS confirmed it; unknown where it did not.';
COMMENT ON COLUMN delivery_from.client_address IS 'IP address of the SMTP client.';
COMMENT ON COLUMN delivery_from.client_port IS 'TCP port of the SMTP client, where it is logged.';
COMMENT ON COLUMN delivery_from.sasl_method IS 'How the client logged in: PLAIN, LOGIN, …';
COMMENT ON COLUMN delivery_from.sasl_username IS 'Who logged in.';
COMMENT ON COLUMN delivery_from.sasl_sender IS 'AUTH= of MAIL FROM: who submitted it first, as a trusted client says.';
COMMENT ON COLUMN delivery_from.uid IS 'User id of a local submission (pickup).';
COMMENT ON COLUMN delivery_from.service IS
    'Service that took it, without the instance''s name: smtpd, submission/smtpd, pickup, …';
COMMENT ON COLUMN delivery_from.instance IS 'syslog_name of the Postfix instance, such as postfix.';
COMMENT ON COLUMN delivery_from.pid IS 'Process id of that service.';
COMMENT ON COLUMN delivery_from.helo IS 'Name that the client gave in HELO or EHLO.';
COMMENT ON COLUMN delivery_from.protocol IS 'SMTP or ESMTP.';
COMMENT ON COLUMN delivery_from.orig_queue_id IS
    'Queue id before this one: before a filter (XFORWARD), or before it was requeued.';
COMMENT ON COLUMN delivery_from.orig_client IS 'Client of that earlier message.';
COMMENT ON COLUMN delivery_from.parent_queue_id IS
    'Message on the same host that this one was made from: bounced, notified about, forwarded.';
COMMENT ON COLUMN delivery_from.parent_reason IS
    'What it was made as, such as sender non-delivery notification, or forwarded.';
COMMENT ON COLUMN delivery_from.queued_at IS 'First time in the active queue.';
COMMENT ON COLUMN delivery_from.removed_at IS 'When the queue manager removed it: finished.';
COMMENT ON COLUMN delivery_from.expired_at IS 'When it was given up, after the queue''s lifetime or by postsuper -e.';
COMMENT ON COLUMN delivery_from.deleted_at IS 'When an administrator deleted it (postsuper -d).';
COMMENT ON COLUMN delivery_from.held_at IS 'When it was put on hold last.';
COMMENT ON COLUMN delivery_from.released_at IS 'When it was released from hold last.';
COMMENT ON COLUMN delivery_from.requeued_at IS
    'When it was requeued (postsuper -r): it goes on under another queue id.';
COMMENT ON COLUMN delivery_from.cancelled_at IS
    'When its transaction was given up before its end (Postfix 3.10 and later log it).';
COMMENT ON COLUMN delivery_from.discarded_at IS
    'When it was dropped on purpose: an access table, a content check, a milter.';
COMMENT ON COLUMN delivery_from.discard_reply IS 'What was logged at that.';
COMMENT ON COLUMN delivery_from.rejected_at IS 'When it was refused as a whole, e.g. for its content.';
COMMENT ON COLUMN delivery_from.reject_stage IS 'Where in the SMTP dialogue, or in which header or body check.';
COMMENT ON COLUMN delivery_from.reject_reply IS 'What the client was told.';
COMMENT ON COLUMN delivery_from.reject_reason IS 'Why, as one of the words of docs/coverage.md.';
COMMENT ON COLUMN delivery_from.subject IS 'Subject, where a header check logs it and stream.keep_subject is on.';
COMMENT ON COLUMN delivery_from.verp_id IS 'What stands behind stream.verp_marker in the sender''s local part.';

COMMENT ON TABLE delivery_to IS
    'Messages by recipient: one row each, with the latest attempt. Rejections of a recipient are here too.';
COMMENT ON COLUMN delivery_to.arrived_at IS 'Of its message.';
COMMENT ON COLUMN delivery_to.queue_id IS 'Of its message.';
COMMENT ON COLUMN delivery_to.host IS 'Of its message.';
COMMENT ON COLUMN delivery_to.recipient IS 'Recipient, after aliases.';
COMMENT ON COLUMN delivery_to.orig_recipient IS 'Recipient before aliases, where it differs; else empty.';
COMMENT ON COLUMN delivery_to.origin IS 'How sure arrived_at is, as in delivery_from.';
COMMENT ON COLUMN delivery_to.last_attempt_at IS
    'When it was tried last. This column and those marked [attempt] change together.';
COMMENT ON COLUMN delivery_to.status IS
    '[attempt] As logged: sent, deferred, bounced, deliverable, undeliverable; or rejected. What a person would say '
    'is in the view deliveries.';
COMMENT ON COLUMN delivery_to.number IS '[attempt] Names the log line among others of its moment.';
COMMENT ON COLUMN delivery_to.service IS
    '[attempt] Agent that tried, without the instance''s name: smtp, relay/smtp, local, virtual, pipe; or service '
    'that rejected.';
COMMENT ON COLUMN delivery_to.dsn IS '[attempt] Enhanced status code (RFC 3463).';
COMMENT ON COLUMN delivery_to.relay IS '[attempt] Where it was delivered to: name[address]:port, local, none, …';
COMMENT ON COLUMN delivery_to.reply IS '[attempt] What the next host or the agent said.';
COMMENT ON COLUMN delivery_to.delay IS '[attempt] Seconds since arrival.';
COMMENT ON COLUMN delivery_to.delays IS
    '[attempt] Seconds before the queue manager / in it / setting up the connection / transmitting.';
COMMENT ON COLUMN delivery_to.connection_use IS
    '[attempt] How many deliveries the connection has served, where it was used again.';
COMMENT ON COLUMN delivery_to.tls IS '[attempt] Encryption, where the delivery''s own line tells it.';
COMMENT ON COLUMN delivery_to.queued_as IS '[attempt] Queue id that the next host''s reply claims.';
COMMENT ON COLUMN delivery_to.next_queue_id IS '[attempt] Queue id on this host to which the mail was forwarded.';
COMMENT ON COLUMN delivery_to.stage IS '[attempt] Of a rejection: RCPT, DATA, END-OF-MESSAGE, header, …';
COMMENT ON COLUMN delivery_to.first_attempt_at IS 'When it was tried first.';
COMMENT ON COLUMN delivery_to.attempts IS 'Delivery attempts so far; a rejection is none.';
COMMENT ON COLUMN delivery_to.history IS
    'Attempts before the latest, oldest first, up to 200: time, rank, number, status, dsn, relay, reply, with tabs '
    'between.';
COMMENT ON COLUMN delivery_to.parser IS '[attempt] Version of the parser that read the line.';
COMMENT ON COLUMN delivery_to.code IS '[attempt] SMTP reply code.';
COMMENT ON COLUMN delivery_to.reason IS '[attempt] Why it was not delivered, as one of the words of docs/coverage.md.';
COMMENT ON COLUMN delivery_to.pid IS
    '[attempt] Process id of the agent: the encryption of its connection is found by it.';

COMMENT ON TABLE noqueue IS
    'What was refused (held, discarded, warned of) before a message had a queue id: one row for each line. Rows '
    'never change.';
COMMENT ON COLUMN noqueue.at IS 'When.';
COMMENT ON COLUMN noqueue.host IS 'Mail host that logged it.';
COMMENT ON COLUMN noqueue.digest IS 'Names the line: BLAKE2b of its process, text and number, 16 hexadecimal digits.';
COMMENT ON COLUMN noqueue.service IS 'Service that refused: smtpd, submission/smtpd, postscreen, …';
COMMENT ON COLUMN noqueue.instance IS 'syslog_name of the Postfix instance.';
COMMENT ON COLUMN noqueue.pid IS 'Its process id.';
COMMENT ON COLUMN noqueue.action IS
    'What was done: reject, reject_warning, hold, discard, milter-reject, proxy-reject, …';
COMMENT ON COLUMN noqueue.stage IS 'Where in the SMTP dialogue: CONNECT, HELO, MAIL, RCPT, DATA, …';
COMMENT ON COLUMN noqueue.client_name IS 'Name of the SMTP client.';
COMMENT ON COLUMN noqueue.client_address IS 'IP address of the SMTP client.';
COMMENT ON COLUMN noqueue.client_port IS 'TCP port of the SMTP client, where it is logged.';
COMMENT ON COLUMN noqueue.code IS 'SMTP reply code.';
COMMENT ON COLUMN noqueue.dsn IS 'Enhanced status code (RFC 3463).';
COMMENT ON COLUMN noqueue.reply IS 'What the client was told.';
COMMENT ON COLUMN noqueue.sender IS 'Envelope sender; empty for <>.';
COMMENT ON COLUMN noqueue.recipient IS 'Recipient, where there was one yet.';
COMMENT ON COLUMN noqueue.protocol IS 'SMTP or ESMTP.';
COMMENT ON COLUMN noqueue.helo IS 'Name that the client gave in HELO or EHLO.';
COMMENT ON COLUMN noqueue.sasl_username IS 'Who had logged in.';
COMMENT ON COLUMN noqueue.parser IS 'Version of the parser that read the line.';
COMMENT ON COLUMN noqueue.reason IS 'Why, as one of the words of docs/coverage.md.';

COMMENT ON TABLE tls_sessions IS
    'Encrypted connections, from clients and to servers: those of a message are found by host, process, peer and '
    'time.';
COMMENT ON COLUMN tls_sessions.at IS 'When the connection was encrypted, or ended.';
COMMENT ON COLUMN tls_sessions.host IS 'Mail host that logged it.';
COMMENT ON COLUMN tls_sessions.digest IS 'Names the line, as in noqueue.';
COMMENT ON COLUMN tls_sessions.parser IS 'Version of the parser that read the line.';
COMMENT ON COLUMN tls_sessions.service IS 'Service: smtpd, submission/smtpd, smtp, relay/smtp, …';
COMMENT ON COLUMN tls_sessions.instance IS 'syslog_name of the Postfix instance.';
COMMENT ON COLUMN tls_sessions.pid IS 'Its process id.';
COMMENT ON COLUMN tls_sessions.direction IS 'from a client, or to a server.';
COMMENT ON COLUMN tls_sessions.trust IS
    'In the peer''s certificate: anonymous (it gave none), untrusted, trusted, verified; empty where an old version '
    'did not say.';
COMMENT ON COLUMN tls_sessions.reused IS 'Whether the connection was there already, and served another delivery.';
COMMENT ON COLUMN tls_sessions.ended IS 'Whether this is the end of an encrypted connection from a client.';
COMMENT ON COLUMN tls_sessions.peer_name IS 'Name of the other side.';
COMMENT ON COLUMN tls_sessions.peer_address IS 'Its IP address.';
COMMENT ON COLUMN tls_sessions.peer_port IS 'Its TCP port.';
COMMENT ON COLUMN tls_sessions.protocol IS 'Such as TLSv1.3.';
COMMENT ON COLUMN tls_sessions.cipher IS 'Such as TLS_AES_256_GCM_SHA384.';

COMMENT ON TABLE known_names IS
    'Senders, recipients and names of clients that rows hold, each once: a search for a part of one looks here first.';
COMMENT ON COLUMN known_names.kind IS 'sender, recipient or client.';
COMMENT ON COLUMN known_names.name IS 'Address, or host name, as logged.';
COMMENT ON COLUMN known_names.seen IS 'Day (UTC) on which a sink wrote a row with it last.';

COMMENT ON TABLE sink_positions IS
    'How far the output topics were stored: changes in the transaction that stores the rows.';
COMMENT ON COLUMN sink_positions.topic IS 'Kafka topic.';
COMMENT ON COLUMN sink_positions.partition IS 'Its partition.';
COMMENT ON COLUMN sink_positions.next_offset IS 'Offset of the first record that is not stored yet.';
COMMENT ON COLUMN sink_positions.updated_at IS 'When a record of it was stored last.';
COMMENT ON COLUMN sink_positions.refused_in_a_row IS
    'How many of the records before next_offset could not be stored, one after the other.';

COMMENT ON TABLE schema_migrations IS 'Which migrations were applied. They never change once applied.';
COMMENT ON COLUMN schema_migrations.name IS 'File of sinks/migrations.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of its text.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';

COMMENT ON TABLE granted_roles IS
    'Roles that journal-postfix migrate gave rights, and gives them again for what it makes anew.';
COMMENT ON COLUMN granted_roles.role IS 'Role of PostgreSQL.';
COMMENT ON COLUMN granted_roles.work IS 'sink: it writes rows. reader: it reads.';

COMMENT ON VIEW deliveries IS
    'One row for each message and recipient, with both sides, and the status that a person would name. A message of '
    'which no recipient was seen has one row too.';
COMMENT ON COLUMN deliveries.host IS 'Mail host.';
COMMENT ON COLUMN deliveries.queue_id IS 'Queue id.';
COMMENT ON COLUMN deliveries.arrived_at IS 'When the message arrived.';
COMMENT ON COLUMN deliveries.sender IS 'Envelope sender; empty for the null sender <>.';
COMMENT ON COLUMN deliveries.recipient IS 'Recipient, after aliases; none where no recipient was seen.';
COMMENT ON COLUMN deliveries.orig_recipient IS 'Recipient before aliases, where it differs.';
COMMENT ON COLUMN deliveries.status IS
    'What became of it: sent, deferred, bounced, expired, deleted, held, discarded, rejected, cancelled, queued; of '
    'probes deliverable, undeliverable.';
COMMENT ON COLUMN deliveries.dsn IS 'Enhanced status code (RFC 3463) of the latest attempt.';
COMMENT ON COLUMN deliveries.relay IS 'Where the latest attempt went: name[address]:port, local, none, …';
COMMENT ON COLUMN deliveries.reply IS
    'What was said at the latest attempt, or when the message was refused or discarded.';
COMMENT ON COLUMN deliveries.delay IS 'Seconds from arrival to the latest attempt.';
COMMENT ON COLUMN deliveries.attempts IS 'Delivery attempts so far.';
COMMENT ON COLUMN deliveries.first_attempt_at IS 'When it was tried first; none where it was not.';
COMMENT ON COLUMN deliveries.last_attempt_at IS 'When it was tried last; none where it was not.';
COMMENT ON COLUMN deliveries.message_id IS 'Message-ID header without <>.';
COMMENT ON COLUMN deliveries.size IS 'Bytes.';
COMMENT ON COLUMN deliveries.recipient_count IS 'Recipients of the whole message.';
COMMENT ON COLUMN deliveries.client_name IS 'Name of the SMTP client that brought it.';
COMMENT ON COLUMN deliveries.client_address IS 'IP address of that client.';
COMMENT ON COLUMN deliveries.sasl_username IS 'Who had logged in.';
COMMENT ON COLUMN deliveries.service IS 'Service that took it: smtpd, submission/smtpd, pickup, …';
COMMENT ON COLUMN deliveries.next_queue_id IS
    'Queue id under which it goes on: forwarded, requeued, or on the next host, where that is known to have come '
    'from here.';
COMMENT ON COLUMN deliveries.parent_queue_id IS
    'Queue id that it comes from: bounced, forwarded, filtered, requeued, or of the host before.';
COMMENT ON COLUMN deliveries.code IS 'SMTP reply code.';
COMMENT ON COLUMN deliveries.reason IS 'Why it was not delivered, as one of the words of docs/coverage.md.';
COMMENT ON COLUMN deliveries.subject IS 'Subject, where it is kept (stream.keep_subject).';
COMMENT ON COLUMN deliveries.verp_id IS 'VERP id of the sender, where it is kept (stream.verp_marker).';
COMMENT ON COLUMN deliveries.tls IS 'Encryption of the connection that it went over: trust, protocol, cipher.';
COMMENT ON COLUMN deliveries.client_tls IS 'Encryption of the connection that it came over.';
COMMENT ON COLUMN deliveries.parent_reason IS
    'What it was made as, where it was made from another: a notification, a forward.';
COMMENT ON COLUMN deliveries.origin IS 'How sure arrived_at is, as in delivery_from.';
COMMENT ON COLUMN deliveries.removed_at IS 'When the queue manager removed the message: finished.';
COMMENT ON COLUMN deliveries.logged_status IS 'Status as the latest attempt''s line has it.';
COMMENT ON COLUMN deliveries.delivery_service IS 'Agent of the latest attempt.';
COMMENT ON COLUMN deliveries.delays IS
    'Where the delay was spent: before the queue manager / in it / connecting / transmitting.';
COMMENT ON COLUMN deliveries.queued_as IS 'Queue id that the next host''s reply claims.';
COMMENT ON COLUMN deliveries.history IS 'Attempts before the latest, as in delivery_to.';
