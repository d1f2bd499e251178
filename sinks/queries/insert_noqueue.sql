-- Store the staged rejections. They never change: one that is there is the same.
INSERT INTO noqueue (
    host, at, digest, service, instance, pid, action, stage, client_name, client_address, client_port, code, dsn,
    reply, sender, recipient, protocol, helo, sasl_username
)
SELECT
    host, at, digest, service, instance, pid, action, stage, client_name, client_address, client_port, code, dsn,
    reply, sender, recipient, protocol, helo, sasl_username
FROM staged_noqueue
ORDER BY at, host, digest
ON CONFLICT (at, host, digest) DO NOTHING
