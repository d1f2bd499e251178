"""How Faust is to prove who it is: its form of what `schemas.kafka.client_config` gives librdkafka."""

import faust
from faust.types.auth import CredentialsT

from schemas.kafka import tls_context
from schemas.settings import KafkaSettings


def faust_credentials(kafka: KafkaSettings) -> CredentialsT | None:
    """Return the credentials, None for a broker that asks for none. Certificates and host names are always checked.

    Raises ConfigurationError for files that can't be used.
    """
    context = tls_context(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_secret(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
