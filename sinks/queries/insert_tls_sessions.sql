-- Store the staged sessions. They never change, but for how a newer parser reads them.
INSERT INTO tls_sessions AS row (
    host, at, digest, parser, service, instance, pid, direction, trust, reused, ended, peer_name, peer_address,
    peer_port, protocol, cipher
)
SELECT
    host, at, digest, parser, service, instance, pid, direction, trust, reused, ended, peer_name, peer_address,
    peer_port, protocol, cipher
FROM staged_tls_sessions
ORDER BY host, pid, at, digest
ON CONFLICT (host, pid, at, digest) DO UPDATE SET (
    parser, service, instance, pid, direction, trust, reused, ended, peer_name, peer_address, peer_port, protocol,
    cipher
) = (
    excluded.parser, excluded.service, excluded.instance, excluded.pid, excluded.direction, excluded.trust,
    excluded.reused, excluded.ended, excluded.peer_name, excluded.peer_address, excluded.peer_port, excluded.protocol,
    excluded.cipher
)
WHERE excluded.parser > row.parser
