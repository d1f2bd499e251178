"""What ``check`` says of Kafka's certificates: librdkafka only tells that one is not to be trusted, not why."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from journal_postfix.checking.finding import Finding
from schemas.kafka import tls_context
from schemas.settings import KafkaSettings

_CONNECT_SECONDS: Final = 5.0
_SOON: Final = 14
"""Days before its end from which a certificate is worth a word."""


def certificate_findings(kafka: KafkaSettings, now: datetime | None = None) -> Iterator[Finding]:
    """Yield what is wrong, or soon will be, with the certificate of each bootstrap server; nothing without TLS.

    A server that can't be reached is left out: others say so. Raises ConfigurationError for files that can't be used.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return
    context = tls_context(kafka)
    for server in (kafka.bootstrap_servers or "").split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            with (
                socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS) as connection,
                context.wrap_socket(connection, server_hostname=host.strip("[]")) as secured,
            ):
                yield from _ending(server.strip(), secured, now or datetime.now(UTC))
        except ssl.SSLCertVerificationError as error:
            yield Finding(
                "Kafka",
                good=False,
                text=f"the certificate of {server.strip()} is not to be trusted: {error.verify_message}",
                advice=f"if it is the right server: kafka.ssl_ca_file ({kafka.authorities()}), the name in "
                "kafka.bootstrap_servers, or a new certificate",
            )
        except (OSError, ValueError):
            continue


def _ending(server: str, connection: ssl.SSLSocket, now: datetime) -> Iterator[Finding]:
    certificate = connection.getpeercert() or {}
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    days = (ends - now).days
    yield Finding(
        "Kafka",
        good=True,
        text=f"{server} speaks {connection.version()}; its certificate is good until {ends:%Y-%m-%d}",
        advice=f"in {days} days: renew it" if days < _SOON else "",
    )
