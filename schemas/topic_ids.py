"""Which topic it is that has a name now: Kafka gives each one an id when it is made."""

from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient

from schemas.kafka import quiet

MADE_ANEW: Final = "Kafka has another topic of that name now"
_NONE: Final = str(Uuid(0, 0))


def topic_ids(config: dict[str, Any], names: Sequence[str], seconds: float) -> dict[str, str]:
    """Return the ids of topics, by name. Those that have none (before Kafka 2.8) or can't be asked for are left out.

    *config* is that of `schemas.kafka.client_config`. Blocks for *seconds* at most.
    """
    if not names:
        return {}
    admin = AdminClient(config, logger=quiet)  # held until the answers are there: without it there are none
    asked = admin.describe_topics(TopicCollection([*names]), request_timeout=seconds)
    found = {}
    for name, answer in asked.items():
        try:
            found[name] = str(answer.result().topic_id)
        except KafkaException:
            continue  # whoever reads it learns why
    return {name: topic for name, topic in found.items() if topic != _NONE}


def is_another(known: str | None, now: str | None) -> bool:
    """Tell whether a topic that was read up to somewhere was deleted and made anew since."""
    return bool(known and now) and known != now
