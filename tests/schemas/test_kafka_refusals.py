"""What librdkafka complains of is either a refusal, for a person to mend, or may pass by itself."""

import pytest
from confluent_kafka import KafkaError

from schemas.kafka_refusals import Complaints
from schemas.settings import KafkaSettings

KAFKA = KafkaSettings.model_validate(
    {
        "bootstrap_servers": "k:9093", "security_protocol": "SASL_SSL", "sasl_username": "jp-sink",
        "sasl_password": "canary",
    }
)  # fmt: skip
WHERE = "sasl_ssl://k:9093/bootstrap: "


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (KafkaError._AUTHENTICATION, "SASL authentication error: Authentication failed (after 3ms in state AUTH_REQ)",
         "refuses the log-in of jp-sink.*(SASL authentication error: Authentication failed)"),
        (KafkaError._SSL, "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker …",
         "is not to be trusted"),
        (KafkaError._TRANSPORT, "tlsv13 alert certificate required: SSL alert number 116 (after 0ms)",
         "wants a client certificate"),
        (KafkaError._SSL, "error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48",
         "wants a client certificate"),
        (KafkaError._SSL, "SSL handshake failed: error:0A00010B:SSL routines::wrong version number: …",
         "does not speak TLS at that port"),
    ],
)  # fmt: skip
def test_a_refusal_says_who_refuses_what_and_why(code: int, said: str, told: str) -> None:
    complaints = Complaints(KAFKA)
    complaints(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    complaints(KafkaError(code, WHERE + said))
    refusal = complaints.refusal()
    assert refusal is not None
    assert told.partition(".*")[0] in str(refusal)
    assert told.partition(".*")[2] in str(refusal)
    assert str(refusal).startswith("Kafka at k:9093 ")
    assert "canary" not in str(refusal)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError._SSL, "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?"),
        (KafkaError._TRANSPORT, "Connect to ipv4#127.0.0.1:9093 failed: Connection refused"),
        (KafkaError._RESOLVE, "Failed to resolve 'k:9093': Name or service not known"),
        (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"),
    ],
)
def test_what_may_pass_is_no_refusal_but_told(code: int, said: str) -> None:
    complaints = Complaints(KAFKA)
    complaints(KafkaError(code, f"{WHERE}{said} (after 4ms in state CONNECT)"))
    assert complaints.refusal() is None
    assert complaints.reason(KafkaError(KafkaError._TRANSPORT, "no answer")) == said
