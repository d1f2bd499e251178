"""The librdkafka configuration that the settings ask for, one base for every client of every stage."""

import logging
import ssl
from typing import Any, Final

from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings

quiet = logging.getLogger("journal_postfix.librdkafka")
"""For a client's ``logger``: swallows the library's own lines about every broken connection; what matters we tell."""
quiet.propagate = False
quiet.addHandler(logging.NullHandler())

NOTHING_LOST: Final[dict[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "max.in.flight.requests.per.connection": 1,
}
"""What any producer needs for each record to be kept once and in order.

One request at a time: a broker that knows nothing of a producer takes whatever sequence comes first. Where it refuses
the first request, since it is yet to learn that it leads the partition, and takes the second, the first can't be stored
any more, and librdkafka counts it as delivered (KAFKA-15591; Kafka's own fix is for empty partitions).
"""


def client_config(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return what any confluent-kafka client needs to reach the broker.

    `kafka.bootstrap_servers` must be set (``up`` sets that of its embedded broker). Raises ConfigurationError for a
    secret or a certificate that can't be used.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": client_id,
        "security.protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.startswith("SASL"):
        config |= {
            "sasl.mechanisms": kafka.sasl_mechanism,
            "sasl.username": kafka.sasl_username,
            "sasl.password": kafka.sasl_secret(),
        }
    if kafka.security_protocol.endswith("SSL"):
        tls_context(kafka)  # what is wrong with its files is said better here than by librdkafka
        config |= {"ssl.endpoint.identification.algorithm": "https", "ssl.ca.location": str(kafka.authorities())}
        if kafka.ssl_certificate_file is not None:
            config["ssl.certificate.location"] = str(kafka.ssl_certificate_file)
            config["ssl.key.location"] = str(kafka.ssl_key_file or kafka.ssl_certificate_file)
        if (secret := kafka.ssl_key_secret()) is not None:
            config["ssl.key.password"] = secret
    return config


def tls_context(kafka: KafkaSettings) -> ssl.SSLContext:
    """Return how Python's own TLS is to reach the broker: certificates and host names are always checked.

    Raises ConfigurationError for files that can't be used.
    """
    authorities = kafka.authorities()
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        raise ConfigurationError(f"cannot use kafka.ssl_ca_file {authorities}: {_why(error)}") from None
    certificate, key = kafka.ssl_certificate_file, kafka.ssl_key_file
    if certificate is not None:
        # Without one, an empty password: OpenSSL would ask for it, and nobody sits before a service.
        secret = kafka.ssl_key_secret() or ""
        try:
            context.load_cert_chain(certificate, key, password=lambda: secret)
        except OSError as error:
            which = (
                f"with kafka.ssl_key_file {key}" if key is not None else "as it holds no key: set kafka.ssl_key_file"
            )
            raise ConfigurationError(
                f"cannot use kafka.ssl_certificate_file {certificate} {which}: {_why(error)}"
            ) from None
    return context


def _why(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    return "not PEM, or the key is encrypted and kafka.ssl_key_password_file is not its password"
