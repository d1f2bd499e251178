"""The librdkafka configuration that the settings ask for, one base for every client of every stage."""

from typing import Any

from schemas.settings import KafkaSettings


def client_config(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return what any confluent-kafka client needs to reach the broker. Raises ConfigurationError for a missing secret.

    `kafka.bootstrap_servers` must be set (``up`` sets that of its embedded broker).
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
        config["ssl.endpoint.identification.algorithm"] = "https"
        files = {
            "ssl.ca.location": kafka.ssl_ca_file,
            "ssl.certificate.location": kafka.ssl_certificate_file,
            "ssl.key.location": kafka.ssl_key_file,
        }
        config |= {name: str(file) for name, file in files.items() if file is not None}
    return config
