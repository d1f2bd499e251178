-- Store the staged rejections. They never change, but for how a newer parser reads them.
INSERT INTO noqueue AS row (
    host, at, digest, parser, service, instance, pid, action, stage, client_name, client_address, client_port, code,
    dsn, reply, reason, sender, recipient, protocol, helo, sasl_username
)
SELECT
    host, at, digest, parser, service, instance, pid, action, stage, client_name, client_address, client_port, code,
    dsn, reply, reason, sender, recipient, protocol, helo, sasl_username
FROM staged_noqueue
ORDER BY at, host, digest
ON CONFLICT (at, host, digest) DO UPDATE SET (
    parser, service, instance, pid, action, stage, client_name, client_address, client_port, code, dsn, reply, reason,
    sender, recipient, protocol, helo, sasl_username
) = (
    excluded.parser, excluded.service, excluded.instance, excluded.pid, excluded.action, excluded.stage,
    excluded.client_name, excluded.client_address, excluded.client_port, excluded.code, excluded.dsn, excluded.reply,
    excluded.reason, excluded.sender, excluded.recipient, excluded.protocol, excluded.helo, excluded.sasl_username
)
WHERE excluded.parser > row.parser
