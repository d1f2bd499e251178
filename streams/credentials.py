"""How Faust is to prove who it is: its form of what `schemas.kafka.client_config` gives librdkafka."""

import ssl

import faust
from faust.types.auth import CredentialsT

from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings


def faust_credentials(kafka: KafkaSettings) -> CredentialsT | None:
    """Return the credentials, None for a broker that asks for none. Certificates and host names are always checked.

    Raises ConfigurationError for files that can't be used.
    """
    context = _context(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_secret(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


def _context(kafka: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cannot use kafka.ssl_ca_file {kafka.ssl_ca_file}: {_why(error)}") from error
    if kafka.ssl_certificate_file is not None:
        try:
            # A password is never asked for: nobody sits before a service.
            context.load_cert_chain(kafka.ssl_certificate_file, kafka.ssl_key_file, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"cannot use kafka.ssl_certificate_file {kafka.ssl_certificate_file} with kafka.ssl_key_file "
                f"{kafka.ssl_key_file}: {_why(error)}"
            ) from error
    return context


def _why(error: OSError) -> str:
    return error.strerror or str(error)
