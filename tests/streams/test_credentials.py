"""Faust proves who it is as the settings say, and always checks the broker's certificate."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.types.auth import AuthProtocol, SASLMechanism

from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings
from streams.credentials import faust_credentials

SASL = {"sasl_username": "jp", "sasl_password": "s3cret"}


def test_a_plain_broker_gets_none() -> None:
    assert faust_credentials(KafkaSettings()) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize(
    ("protocol", "expected"),
    [("SASL_PLAINTEXT", AuthProtocol.SASL_PLAINTEXT), ("SASL_SSL", AuthProtocol.SASL_SSL)],
)
def test_sasl_is_told_as_set(protocol: Any, expected: AuthProtocol, mechanism: Any) -> None:
    settings = KafkaSettings.model_validate({"security_protocol": protocol, "sasl_mechanism": mechanism, **SASL})
    credentials: Any = faust_credentials(settings)
    assert (credentials.protocol, credentials.mechanism) == (expected, SASLMechanism(mechanism))
    assert (credentials.username, credentials.password) == ("jp", "s3cret")
    assert (credentials.ssl_context is not None) == (protocol == "SASL_SSL")
    assert "s3cret" not in repr(credentials)


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_certificates_and_host_names_are_checked(protocol: Any) -> None:
    credentials: Any = faust_credentials(KafkaSettings.model_validate({"security_protocol": protocol, **SASL}))
    context = credentials.context if protocol == "SSL" else credentials.ssl_context
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"ssl_ca_file": "missing"}, "kafka.ssl_ca_file .*missing"),
        ({"ssl_ca_file": "nonsense"}, "kafka.ssl_ca_file .*nonsense"),
        ({"ssl_certificate_file": "missing", "ssl_key_file": "missing"}, "kafka.ssl_certificate_file .*missing"),
        ({"ssl_certificate_file": "nonsense", "ssl_key_file": "nonsense"}, "kafka.ssl_certificate_file .*nonsense"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(files: dict[str, str], named: str, tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_text("nothing of the kind")
    settings = KafkaSettings.model_validate(
        {"security_protocol": "SSL", **{name: tmp_path / file for name, file in files.items()}}
    )
    with pytest.raises(ConfigurationError, match=named):
        faust_credentials(settings)
